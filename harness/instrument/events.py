"""What may disturb a step, counted: garbage collections, page faults, involuntary context switches."""

from __future__ import annotations

import gc
import resource
from typing import Final

__all__ = ["EVENTS", "read_events"]

EVENTS: Final = ("gc_collections", "page_faults", "involuntary_switches")
"""The columns, in the order in which `read_events` gives them."""

_WHO: Final = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
"""The thread that runs the model runner, where the system tells threads apart (Linux)."""


def read_events() -> tuple[int, int, int]:
    """How many of each there have been so far; page faults are minor and major ones together (getrusage(2))."""
    usage = resource.getrusage(_WHO)
    collections = sum(generation["collections"] for generation in gc.get_stats())
    return collections, usage.ru_minflt + usage.ru_majflt, usage.ru_nivcsw
