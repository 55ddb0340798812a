"""Costs that come rarely: each arm's outlying steps, tested against the baseline's, and its longest ones.

A robust difference says what the usual step does, and by design nothing of a cost in one step of twenty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from harness.analysis.outliers import Outlying
    from harness.records.tables import Columns

__all__ = ["RareCosts", "find_rare", "sign_test"]

QUANTILES: Final = (50.0, 99.0, 100.0)


@dataclass(frozen=True)
class RareCosts:
    """The steps of one arm. Times are those of the whole step, in microseconds, from bare steps where there are any.

    Attributes:
        arm: its name.
        p50_us: the median over all steps, prefills and decodes alike.
        p99_us: the 99th percentile.
        max_us: the longest.
        steps: how many were looked at, probed and bare.
        outlying: how many of them took far longer than the same step usually does under the same arm.
        excess_us: their time above the usual, a step (over all steps).
        p_value: of the hypothesis that arm and baseline have as many outlying steps; None of the baseline itself.
        verdict: `more often`, `less often` or `not resolved`; empty of the baseline itself.
    """

    arm: str
    p50_us: float
    p99_us: float
    max_us: float
    steps: int
    outlying: int
    excess_us: float
    p_value: float | None
    verdict: str


def find_rare(
    launches: Iterable[tuple[Columns | None, Outlying | None]], arms: Iterable[str], baseline: str, confidence: float
) -> list[RareCosts]:
    """Of every arm, the baseline first, what comes rarely; nothing where steps vary in no way.

    Within a (group, step) arms were drawn, so that of the places where only one of two equal arms has an outlying step
    each is as likely as the other: the exact sign test (McNemar's, conditional on those places).

    Args:
        launches: of each the rows of its complete groups, as `Records.columns`, and what `find_outlying` gives of them.
        arms: those to be looked at, the baseline among them.
        baseline: what the others are compared with.
        confidence: at which two arms are said to differ.
    """
    kept = [(rows, outlying) for rows, outlying in launches if rows is not None and outlying is not None]
    names = sorted(set(arms), key=lambda name: (name != baseline, name))
    if not kept:
        return []
    of_arms = {name: [np.flatnonzero(rows["arm"] == name) for rows, _ in kept] for name in names}
    of_baseline = _places(kept, of_arms[baseline])
    return [
        _of_arm(kept, name, of_arm, None if name == baseline else of_baseline, confidence)
        for name, of_arm in of_arms.items()
    ]


def sign_test(more: int, fewer: int) -> float:
    """The two-sided p-value of so many places for one of two equal arms and so many for the other."""
    return min(1.0, 2 * float(special.bdtr(min(more, fewer), more + fewer, 0.5)))


def _of_arm(
    kept: Sequence[tuple[Columns, Outlying]],
    name: str,
    rows_of_arm: Sequence[NDArray[np.int64]],
    of_baseline: NDArray[np.bool_] | None,
    confidence: float,
) -> RareCosts:
    times_us, excess_us = [], 0.0
    for (rows, outlying), of_arm in zip(kept, rows_of_arm, strict=True):
        bare = of_arm[~rows["probed"][of_arm]]
        times_us.append(outlying.step_ns[bare if len(bare) else of_arm] / 1e3)
        far = of_arm[outlying.there[of_arm]]
        excess_us += float((outlying.step_ns[far] - outlying.usual_ns[far]).sum()) / 1e3
    places = _places(kept, rows_of_arm)
    p50, p99, longest = np.percentile(np.concatenate(times_us), QUANTILES)
    p_value, verdict = None, ""
    if of_baseline is not None:
        more, fewer = int((places & ~of_baseline).sum()), int((of_baseline & ~places).sum())
        p_value = sign_test(more, fewer)
        often = "more often" if more > fewer else "less often"
        verdict = often if p_value < 1 - confidence else "not resolved"
    count = len(places)
    return RareCosts(
        name, float(p50), float(p99), float(longest), count, int(places.sum()), excess_us / count, p_value, verdict
    )


def _places(kept: Sequence[tuple[Columns, Outlying]], rows_of_arm: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Whether an arm's step is an outlying one, in the order of (launch, group, probed, step)."""
    parts = []
    for (rows, outlying), of_arm in zip(kept, rows_of_arm, strict=True):
        order = np.lexsort((rows["step"][of_arm], rows["probed"][of_arm], rows["group"][of_arm]))
        parts.append(outlying.there[of_arm][order])
    return np.concatenate(parts)
