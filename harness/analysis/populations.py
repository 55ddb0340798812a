"""Two kinds of steps: those in which an arm's own functions are called, and the others, where its cost may fall too.

A block is opened in one step of sixteen, say: the mean over all steps then tells of neither kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.analysis.intervals import Interval, verdict
from harness.analysis.metrics import SCOPE
from harness.analysis.own import own_functions
from harness.analysis.statistics import total

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from harness.analysis.measured import Values

__all__ = ["Kind", "Populations", "find_populations", "intervals_of_populations"]

FEWEST: Final = 2
"""Steps of a kind, at least."""


@dataclass(frozen=True)
class Kind:
    """Steps of one kind: how many of a pass, calls of the arm's own functions in one, and the scope's difference."""

    kind: str
    steps: int
    calls: float
    per_step_us: Interval
    verdict: str


@dataclass(frozen=True)
class Populations:
    """Both kinds under one arm; there are none where all steps are of one kind.

    `apart_us` is the difference of the two, and `apart` whether its interval is without zero.
    """

    arm: str
    kinds: list[Kind]
    apart_us: Interval | None
    apart: bool


def intervals_of_populations(run: Mapping[str, Any], values: Mapping[str, Values], baseline: str) -> int:
    """How many intervals can be claimed of them: one a kind, and one of the two kinds' difference."""
    return sum(3 for _, kinds in _of_arms(run, values, baseline) if kinds)


def find_populations(
    run: Mapping[str, Any],
    values: Mapping[str, Values],
    baseline: str,
    in_steps: Callable[[str, NDArray[np.int64]], Interval],
    margin: float,
) -> list[Populations]:
    """For each arm that replaces functions both kinds of steps, as far as there are two.

    Args:
        run: of run.json.
        values: each arm's values by metric.
        baseline: what the arms are compared with.
        in_steps: gives an arm's difference in some steps of a pass, microseconds a step (`Differences.in_steps`).
        margin: relative to the baseline's time in these steps.
    """
    found = []
    for arm, kinds in _of_arms(run, values, baseline):
        told = []
        for kind, (steps, calls) in kinds.items():
            margin_us = margin * total(values[baseline][SCOPE][:, steps]) / len(steps) / 1e3
            per_step = in_steps(arm, steps)
            told.append(Kind(kind, len(steps), calls, per_step, verdict(per_step, margin_us)))
        apart = _apart(told) if told else None
        found.append(Populations(arm, told, apart, apart is not None and not apart.low <= 0 <= apart.high))
    return found


def _of_arms(
    run: Mapping[str, Any], values: Mapping[str, Values], baseline: str
) -> Iterable[tuple[str, dict[str, tuple[NDArray[np.int64], float]]]]:
    probes = run["config"]["probes"]
    for arm, functions in own_functions(run).items():
        own = [name for name in functions if name in probes]
        if own and arm != baseline and arm in values:
            calls = sum(np.maximum(*(_calls(values[each], name) for each in (arm, baseline))) for name in own)
            yield arm, _kinds(np.asarray(calls))


def _calls(values: Values, probe: str) -> NDArray[np.float64]:
    """Calls in each step of a pass, the mean over groups."""
    return np.asarray(values[f"{probe}.calls"].mean(axis=0))


def _kinds(calls: NDArray[np.float64]) -> dict[str, tuple[NDArray[np.int64], float]]:
    """Steps of each kind with the calls in one; empty where there is one kind only."""
    there = calls > 0
    if there.all():
        usual = float(np.median(calls))
        there, names = calls > usual, ("more calls than usual", "no more calls than usual")
    else:
        names = ("its functions are called", "they are not called")
    if min(there.sum(), (~there).sum()) < FEWEST:
        return {}
    return {
        name: (np.flatnonzero(of), float(calls[of].mean())) for name, of in zip(names, (there, ~there), strict=True)
    }


def _apart(kinds: list[Kind]) -> Interval:
    """The first kind's difference less the second's, which are of different steps and so independent."""
    one, other = (kind.per_step_us for kind in kinds)
    half = float(np.hypot((one.high - one.low) / 2, (other.high - other.low) / 2))
    estimate = one.estimate - other.estimate
    return Interval(estimate, estimate - half, estimate + half)
