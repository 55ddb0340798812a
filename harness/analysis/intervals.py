"""Confidence intervals: in other units, held together, held against a margin, and what they could resolve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy import special  # and not stats, whose import takes a second and does the same

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Interval", "Verdict", "detectable", "joint_confidence", "mean_interval", "verdict"]

Verdict: TypeAlias = Literal["faster", "slower", "equivalent", "not resolved", "withheld"]


@dataclass(frozen=True)
class Interval:
    """An estimate with the limits of its confidence interval, all in the same unit."""

    estimate: float
    low: float
    high: float

    def scaled(self, factor: float) -> Interval:
        """The same in another unit."""
        low, high = self.low * factor, self.high * factor
        return Interval(self.estimate * factor, *((high, low) if factor < 0 else (low, high)))

    def rate(self, amount: float, duration: float) -> Interval:
        """For a difference in duration: the change in amount per duration that it causes."""
        changed = (duration + each for each in (self.estimate, self.high, self.low))
        return Interval(*((amount / each if each > 0 else np.inf) - amount / duration for each in changed))


def joint_confidence(confidence: float, intervals: int) -> float:
    """The confidence that each of several intervals needs, so that all of them hold together (Bonferroni)."""
    return 1 - (1 - confidence) / max(intervals, 1)


def mean_interval(values: NDArray[np.float64], confidence: float) -> Interval:
    """The mean with its interval by Student's t; without limits where there is only one value."""
    estimate = float(values.mean())
    if len(values) < 2:
        return Interval(estimate, float("-inf"), float("inf"))
    half = float(special.stdtrit(len(values) - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(estimate, estimate - half, estimate + half)


def detectable(half_width: float, confidence: float, groups: int, power: float = 0.9) -> float:
    """The difference that is resolved with this power where intervals have this half-width, in the same unit.

    A difference as large as the half-width itself is resolved every other time. By the noncentral t distribution, with
    the degrees of freedom of a row in which one step carries all; of others somewhat less is enough.
    """
    critical = special.stdtrit(groups - 1, (1 + confidence) / 2)
    return half_width * float(special.nctdtrinc(groups - 1, 1 - power, critical) / critical)


def verdict(interval: Interval, margin: float) -> Verdict:
    """The verdict that an interval of a difference in time (arm minus baseline) supports.

    `faster` and `slower` where it excludes zero; `equivalent` where it includes zero and lies within
    +-margin (two one-sided tests, Schuirmann 1987); else `not resolved`: no difference was found, which does
    not mean that there is none.
    """
    if interval.high < 0:
        return "faster"
    if interval.low > 0:
        return "slower"
    return "equivalent" if max(-interval.low, interval.high) <= margin else "not resolved"
