"""How much of a host function's time shows up in the step, and how much hides behind the device.

The baseline is run with delays planted at the seam: the slope of the (bare) step's time on the delay is the share
of that host time that is exposed. On a CPU it is 1; on a GPU the host may be waiting anyway. After Curtsinger &
Berger, "Coz: finding code that counts with causal profiling" (SOSP 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.analysis.metrics import STEP
from harness.analysis.statistics import slope, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.analysis.statistics import Interval

__all__ = ["PLANTED_US", "Exposure", "exposure", "planted_name"]

PLANTED_US: Final = (0.0, 5.0, 20.0)


@dataclass(frozen=True)
class Exposure:
    """How much of the seam's time shows up in the step.

    `slope` is in microseconds of step per microsecond planted; `share` of a step would be saved if the seam's
    function took no time (None where that function was not probed).
    """

    slope: Interval
    share: Interval | None


def planted_name(delay_us: float) -> str:
    """Name of the arm that is the baseline with a delay behind it."""
    return f"planted {delay_us:g} us"


def exposure(
    values: dict[str, dict[str, NDArray[np.float64]]],
    baseline: str,
    probe: str,
    probe_ns: float,
    confidence: float,
    launches: NDArray[np.int64] | None = None,
) -> Exposure | None:
    """The slope of the step on the planted delay, and what a step would gain if the seam's function took no time.

    Args:
        values: by arm and metric, shape [groups, steps], in nanoseconds.
        baseline: the arm behind which the delays were planted.
        probe: the seam's probe; where it is not among the probes, only the slope is given.
        probe_ns: cost of a probe call, which is subtracted from the function's total time.
        confidence: of the intervals.
        launches: the launch of each group, as in `paired_difference`.

    Returns:
        None where the planted arms or bare steps were not measured.
    """
    names = [planted_name(delay) for delay in PLANTED_US]
    if any(STEP not in values.get(name, {}) for name in names):
        return None
    responses = np.stack([values[name][STEP] for name in names]) / 1e3
    exposed = slope(np.array(PLANTED_US), responses, confidence, launches)
    of_baseline = values[baseline]
    if f"{probe}.total_ns" not in of_baseline:
        return Exposure(exposed, None)
    calls = of_baseline[f"{probe}.calls"] + of_baseline[f"{probe}.nested_calls"]
    seam_ns = total(of_baseline[f"{probe}.total_ns"] - calls * probe_ns)
    return Exposure(exposed, exposed.scaled(seam_ns / total(of_baseline[STEP])))
