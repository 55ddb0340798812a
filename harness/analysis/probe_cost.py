"""What a probe call costs: as an empty one in a hot loop, and as the run's own probes in the scope.

A hot loop flatters: there caches hold nothing but the probe. So a run whose arms call their probes unequally often, so
that the correction does not cancel in differences, also serves passes in which the scope of one arm is timed at each
step, with its probes and without, as drawn. The difference over the calls is the cost of a call, with an interval. Its
width goes into every difference that is corrected by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.statistics import FEWEST, paired_difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.analysis.intervals import Interval
    from harness.records.folder import Records

__all__ = ["ProbeCost", "probe_cost"]


@dataclass(frozen=True)
class ProbeCost:
    """What is subtracted for a probe call: inside its own two clock readings, and outside, from its caller's time.

    `probed` and `alone` are the scope's times with probes and without over the calls of a pass, in nanoseconds, shape
    [groups, steps]; None where the run's own cost was not measured.
    """

    inside_ns: float
    outside_ns: float
    probed: NDArray[np.float64] | None = None
    alone: NDArray[np.float64] | None = None

    @property
    def call_ns(self) -> float:
        """The whole cost of a call."""
        return self.inside_ns + self.outside_ns

    def measured_ns(self, confidence: float) -> Interval | None:
        """The cost of a call in the run itself; None where that was not measured."""
        if self.probed is None or self.alone is None:
            return None
        return paired_difference(self.probed, self.alone, confidence)

    def error(self, confidence: float) -> float:
        """Half of the measured interval's width, relative to what is subtracted; 0 where it was not measured."""
        measured = self.measured_ns(confidence)
        return 0.0 if measured is None or not self.call_ns else abs((measured.high - measured.low) / 2 / self.call_ns)


def probe_cost(records: Records) -> ProbeCost:
    """The cost in the run itself where it was measured, in the hot loop's proportion of inside and outside; else that.

    Args:
        records: of one launch.
    """
    calibration = records.run["calibration"]
    hot = ProbeCost(float(calibration["inside_ns"]), float(calibration["outside_ns"]))
    table = {name: np.asarray(column) for name, column in records.probing.items()}
    if not table or not hot.call_ns:
        return hot
    _, of_row = np.unique(table["group"], return_inverse=True)
    steps = records.run["steps"]["count"]
    complete = (np.bincount(of_row) == 2 * steps) & (np.bincount(of_row, weights=table["probed"]) == steps)
    whole, count = complete[of_row], int(complete.sum())
    order = np.lexsort((table["step"][whole], table["group"][whole]))
    probed = table["probed"][whole][order]
    scope_ns, calls = (table[name][whole][order].astype(np.float64) for name in ("scope_ns", "calls"))
    calls_a_pass = float(calls[probed].sum()) / max(count, 1)
    if count < FEWEST or not calls_a_pass:
        return hot
    with_probes, alone = (scope_ns[here].reshape(count, -1) / calls_a_pass for here in (probed, ~probed))
    found = paired_difference(with_probes, alone, 0.95).estimate / hot.call_ns
    return ProbeCost(hot.inside_ns * found, hot.outside_ns * found, with_probes, alone)
