"""Did one arm's difference grow during the run? A list that is kept, a cache that fills, memory that is not given back.

The drift test looks at the level of all arms together, in which one arm's change is diluted. Here each arm's paired
differences are taken group by group: the machine's speed is in both sides, and groups are independent, so that a line
through them has the usual interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from harness.analysis.changepoint import MIN_LENGTH
from harness.analysis.intervals import Interval
from harness.analysis.metrics import SCOPE
from harness.analysis.statistics import influences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Trend", "find_trends"]


@dataclass(frozen=True)
class Trend:
    """By how much an arm's difference to the baseline, in the scope, grew from the first group to the last one."""

    arm: str
    growth_us: Interval

    @property
    def found(self) -> bool:
        """Whether it grew or shrank at all."""
        return self.growth_us.low > 0 or self.growth_us.high < 0


def find_trends(
    values: Mapping[str, Mapping[str, NDArray[np.float64]]],
    baseline: str,
    confidence: float,
    launches: NDArray[np.int64] | None,
) -> list[Trend]:
    """A line through each arm's differences by group, by least squares; of several launches the mean of their growths.

    Differences are clipped as in `influences`, so that one group with a burst makes no trend.

    Args:
        values: by arm and metric, shape [groups, steps], in nanoseconds.
        baseline: the arm that the others are compared with.
        confidence: of each interval.
        launches: the launch of each group; None for a run that is one launch.

    Returns:
        One for each arm but the baseline; none where a launch has fewer than `MIN_LENGTH` groups.
    """
    of_launch = np.zeros(len(values[baseline][SCOPE]), dtype=np.int64) if launches is None else launches
    parts = [np.flatnonzero(of_launch == launch) for launch in np.unique(of_launch)]
    if min(len(part) for part in parts) < MIN_LENGTH:
        return []
    found = []
    for name in (name for name in values if name != baseline):
        difference = (values[name][SCOPE] - values[baseline][SCOPE]) / values[name][SCOPE].shape[1] / 1e3
        lines = [_growth(influences(difference[part]).pseudo.sum(axis=1)) for part in parts]
        estimate = float(np.mean([growth for growth, _ in lines]))
        error = float(np.sqrt(np.sum([error2 for _, error2 in lines]))) / len(lines)
        half = float(special.stdtrit(len(of_launch) - 2 * len(parts), (1 + confidence) / 2)) * error
        found.append(Trend(name, Interval(estimate, estimate - half, estimate + half)))
    return found


def _growth(series: NDArray[np.float64]) -> tuple[float, float]:
    """Growth from the first value to the last one, and its squared error."""
    time = np.arange(len(series)) - (len(series) - 1) / 2
    slope = float(time @ series / (time @ time))
    residuals = series - series.mean() - slope * time
    error2 = float(residuals @ residuals) / (len(series) - 2) / float(time @ time)
    return slope * (len(series) - 1), error2 * (len(series) - 1) ** 2
