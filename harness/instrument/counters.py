"""What a counting pass counts, by name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

__all__ = ["COUNTERS", "SEEN_CALLS", "SYNCHRONISATIONS", "TRACKED", "Counts"]


@dataclass(slots=True)
class Counts:
    """What one step made PyTorch do.

    `scope_` counts inside the scope, `step_` in the whole step (execute_model and sample_tokens). A dispatch is a
    call of an ATen operator below autograd, in eager code; what a compiled or captured graph does inside is not seen.
    Copies are those from host memory to another device, with their bytes. Synchronisations are what PyTorch's sync
    debug mode sees of the host waiting for a CUDA device.
    """

    scope_aten_dispatches: int = 0
    scope_device_copies: int = 0
    scope_device_copy_bytes: int = 0
    scope_synchronisations: int = 0
    step_aten_dispatches: int = 0
    step_device_copies: int = 0
    step_device_copy_bytes: int = 0


SYNCHRONISATIONS: Final = "scope_synchronisations"
TRACKED: Final = "tracked_objects"
"""Column beside the counters: how many more objects the garbage collector tracks after the step than before."""
COUNTERS: Final = tuple(field.name for field in fields(Counts))
SEEN_CALLS: Final = "seen_calls"
"""Column `PROBE.seen_calls`: how often a probed function ran in the scope, whoever held it (`every_call`)."""
