"""The device's own clock, beside the host's: where the device worked, and where it waited for the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.analysis.grouping import Groups
from harness.analysis.intervals import mean_interval
from harness.instrument.counters import SYNCHRONISATIONS
from harness.instrument.device_columns import DEVICE_COLUMNS
from harness.seams import NATIVE

if TYPE_CHECKING:
    from harness.analysis.intervals import Interval
    from harness.records.tables import Columns

__all__ = ["DeviceTimes", "device_times", "waiting_notes"]

CONFIDENCE: Final = 0.95
"""Of each interval by itself, since none of them carries a verdict."""


@dataclass(frozen=True)
class DeviceTimes:
    """One arm's times by the device's clock, in microseconds a step, each the mean over passes with its interval.

    Attributes:
        gap_us: from the end of one step to the beginning of the next: the device is idle until the host gives it more
            work. 0 where the host runs ahead.
        scope_us: from when the device gets to the beginning of the scope until it gets to its end: copies and kernels
            of the scope, and waiting for the host between them. Where it is as long as the host's time in the scope,
            the device waits for the host; where the host runs ahead, only the device's own work is left.
        step_us: the same for the whole step.
        passes: how many passes were averaged.
    """

    gap_us: Interval
    scope_us: Interval
    step_us: Interval
    passes: int


def device_times(table: Columns, confidence: float = CONFIDENCE) -> dict[str, DeviceTimes]:
    """Each arm's times from what `records.folder.Records.device` holds; Student's t on the passes' means."""
    found: dict[str, DeviceTimes] = {}
    for arm in dict.fromkeys(table["arm"]) if table else ():
        of_arm = table["arm"] == arm
        passes = Groups(table["pass"][of_arm])
        means = (passes.sums(table[name][of_arm]) / passes.sizes / 1e3 for name in DEVICE_COLUMNS)
        gap, scope, step = (mean_interval(each, confidence) for each in means)
        found[str(arm)] = DeviceTimes(gap, scope, step, len(passes.sizes))
    return found


def waiting_notes(counters: dict[str, dict[str, float]]) -> list[str]:
    """Which arms wait for the device more often than the host's own implementation (or, without it, the best arm).

    Args:
        counters: counts a step, by arm and name of counter.
    """
    waits = {arm: counts[SYNCHRONISATIONS] for arm, counts in counters.items() if SYNCHRONISATIONS in counts}
    unavoidable = waits.get(NATIVE, min(waits.values(), default=0.0))
    return [
        f"{arm} waits for the device {count - unavoidable:.3g} times a step more than "
        f"{NATIVE if NATIVE in waits else 'other arms'}, so its time includes the device's"
        for arm, count in waits.items()
        if count > unavoidable
    ]
