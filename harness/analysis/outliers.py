"""Outlying steps, and what happened in them: an interrupt by another process, a garbage collection, page faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from harness.analysis.grouping import Groups
from harness.analysis.step_time import step_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.records.tables import Columns

__all__ = ["CAUSES", "FAR", "Cause", "Outliers", "Outlying", "find_outliers", "find_outlying"]

FAR: Final = 5.0
"""Robust standard deviations above what is usual. A normal distribution has one value in three million there."""

CAUSES: Final = {
    "involuntary_switches": "another process had the core (involuntary context switch)",
    "gc_collections": "Python collected garbage",
    "page_faults": "more page faults than is usual in that step",
}
"""Column of the records, and what it means; a step with several causes counts under the first."""


@dataclass(frozen=True)
class Cause:
    """Something that may disturb a step.

    `steps` outlying steps count under it. It happened in `outlying_share` of all outlying steps and in `ordinary_share`
    of the others.
    """

    event: str
    meaning: str
    steps: int
    outlying_share: float
    ordinary_share: float


@dataclass(frozen=True)
class Outliers:
    """The outlying steps. `excess_share` is their time above the usual, as a share of all measured time."""

    steps: int
    outlying: int
    excess_share: float
    unexplained: int
    causes: list[Cause]

    def joined(self, other: Outliers) -> Outliers:
        """These and those of another launch; each share is weighted by the number of steps that it refers to."""
        ordinary, others = self.steps - self.outlying, other.steps - other.outlying
        return Outliers(
            self.steps + other.steps,
            self.outlying + other.outlying,
            _mean(self.excess_share, self.steps, other.excess_share, other.steps),
            self.unexplained + other.unexplained,
            [
                Cause(
                    a.event,
                    a.meaning,
                    a.steps + b.steps,
                    _mean(a.outlying_share, self.outlying, b.outlying_share, other.outlying),
                    _mean(a.ordinary_share, ordinary, b.ordinary_share, others),
                )
                for a, b in zip(self.causes, other.causes, strict=True)
            ],
        )


class Outlying(NamedTuple):
    """Of each row whether it is an outlying step, what the step took, and what the same step usually takes.

    `same` groups the rows of the same step under the same arm, which is looked at twice.
    """

    there: NDArray[np.bool_]
    step_ns: NDArray[np.float64]
    usual_ns: NDArray[np.float64]
    same: Groups


def find_outlying(rows: Columns) -> Outlying | None:
    """Steps that took far longer than the same step usually takes under the same arm; None where nothing varies.

    What is compared is log(step / its median over passes), less the median of its pass: a period in which the machine
    is slow is drift and no outlier. The spread is 1.4826 times the median absolute deviation over all steps.

    Args:
        rows: one row a (pass, step), as `Records.columns`.
    """
    took_ns = step_ns(rows)
    if not (took_ns > 0).all():
        return None
    same = Groups(rows["arm"], rows["probed"], rows["step"])
    usual_ns = same.usual(took_ns)
    residual = np.log(took_ns / usual_ns)
    residual -= Groups(rows["pass"]).usual(residual)
    spread = 1.4826 * float(np.median(np.abs(residual)))
    return None if spread == 0 else Outlying(residual > FAR * spread, took_ns, usual_ns, same)


def find_outliers(rows: Columns, found: Outlying) -> Outliers:
    """The outlying steps of all arms together, and what happened in them.

    Args:
        rows: one row a (pass, step), as `Records.columns`.
        found: what `find_outlying` gives of them.
    """
    outlying, took_ns, usual_ns, same = found
    waiting = outlying.copy()
    causes = []
    for column, meaning in CAUSES.items():
        more = rows[column] > same.usual(rows[column])
        causes.append(
            Cause(column, meaning, int((waiting & more).sum()), _share(more, outlying), _share(more, ~outlying))
        )
        waiting &= ~more
    excess_ns = float(np.maximum(took_ns - usual_ns, 0)[outlying].sum())
    return Outliers(
        steps=len(took_ns),
        outlying=int(outlying.sum()),
        excess_share=excess_ns / float(took_ns.sum()),
        unexplained=int(waiting.sum()),
        causes=causes,
    )


def _share(event: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    """Share of the steps `of` in which the event happened."""
    return float((event & of).sum() / of.sum()) if of.any() else 0.0


def _mean(a: float, weight_a: int, b: float, weight_b: int) -> float:
    return (a * weight_a + b * weight_b) / max(weight_a + weight_b, 1)
