"""Pure statistics on arrays: no files, no engine.

Notation: a metric's values are x[g, s, a] for group g, step s and arm a; within (g, s) the arms did the same
work moments apart, so differences are taken there and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RESAMPLES", "Interval", "corrected_self", "paired_difference", "total"]

RESAMPLES: Final = 2000
"""Bootstrap resamples: the Monte-Carlo error of a 95 % limit is then a few percent of the half-width."""


@dataclass(frozen=True)
class Interval:
    """An estimate with the limits of its confidence interval, all in the same unit."""

    estimate: float
    low: float
    high: float

    def scaled(self, factor: float) -> Interval:
        """The same in another unit."""
        return Interval(self.estimate * factor, self.low * factor, self.high * factor)


def total(values: NDArray[np.float64]) -> float:
    """Accumulated time of one pass: the sum over steps, averaged over groups.

    Args:
        values: shape [groups, steps].
    """
    return float(values.sum(axis=1).mean())


def paired_difference(
    values: NDArray[np.float64], baseline: NDArray[np.float64], confidence: float, seed: int
) -> Interval:
    """Difference of two arms over a whole pass: sum over steps of the median over groups of x - y.

    The median at each step keeps out the steps that an interrupt or a collection hit: on a shared machine
    their tail is so heavy that a mean says nothing. The sum over steps keeps the weights that users count
    in, a prefill step by its own size and not as one of many. Groups, never steps, are resampled, because
    the steps of a pass share its state (percentile bootstrap; Efron & Tibshirani 1993, ch. 13; blocks as
    the unit after Kuensch 1989).

    Args:
        values: the arm's, shape [groups, steps].
        baseline: the baseline's, same shape, paired.
        confidence: such as 0.95.
        seed: of the resampling.

    Returns:
        The difference a pass, in the unit of `values`. With fewer than 3 groups the limits are infinite.
    """
    differences = values - baseline
    groups = len(differences)
    estimate = float(np.median(differences, axis=0).sum())
    if groups < 3:
        return Interval(estimate, -np.inf, np.inf)
    if not np.any(differences != differences[0]):  # counters, or an arm against itself: nothing varies
        return Interval(estimate, estimate, estimate)

    def statistic(index: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        picked = differences[np.moveaxis(index, axis, -1)]  # [..., groups, steps]
        return np.asarray(np.median(picked, axis=-2).sum(axis=-1))

    result = stats.bootstrap(
        (np.arange(groups),),
        statistic,
        n_resamples=RESAMPLES,
        batch=max(1, 4_000_000 // differences.size),  # keeps the working set near 32 MB
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Interval(estimate, float(result.confidence_interval.low), float(result.confidence_interval.high))


def corrected_self(
    self_ns: NDArray[np.float64],
    calls: NDArray[np.float64],
    nested_calls: NDArray[np.float64],
    inside_ns: float,
    outside_ns: float,
) -> NDArray[np.float64]:
    """Self time without the probes' own cost (Malony & Shende 2004).

    Each call carries the inside part of its own probe, and the outside part of each probe directly within.
    """
    return self_ns - calls * inside_ns - nested_calls * outside_ns
