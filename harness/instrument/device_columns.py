"""What is recorded of the device's clock, by name; in a module of its own, so that reports need no torch."""

from __future__ import annotations

from typing import Final

__all__ = ["DEVICE_COLUMNS", "GAP", "IN_SCOPE", "IN_STEP"]

GAP: Final = "device_gap_ns"
IN_SCOPE: Final = "device_scope_ns"
IN_STEP: Final = "device_step_ns"
DEVICE_COLUMNS: Final = (GAP, IN_SCOPE, IN_STEP)
"""Of each step, in nanoseconds of the device: from the end of the step before to the beginning of this one; within the
scope; from this step's beginning to its end (`instrument.device.DeviceClock.take`)."""
