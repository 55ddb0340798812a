"""What may disturb a step: garbage collections, page faults, involuntary context switches; counted, or kept cheap."""

from __future__ import annotations

import contextlib
import functools
import gc
import resource
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EVENTS", "freeze_heap", "read_events", "uncollected"]

EVENTS: Final = ("gc_collections", "page_faults", "involuntary_switches")
"""The columns, in the order in which `read_events` gives them."""

_WHO: Final = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
"""The thread that runs the model runner, where the system tells threads apart (Linux)."""


def read_events() -> tuple[int, int, int]:
    """How many of each there have been so far; page faults are minor and major ones together (getrusage(2))."""
    usage = resource.getrusage(_WHO)
    collections = sum(generation["collections"] for generation in gc.get_stats())
    return collections, usage.ru_minflt + usage.ru_majflt, usage.ru_nivcsw


@functools.cache  # once a process: counting what is frozen goes through all of it, and takes some 30 ms
def freeze_heap() -> None:
    """Keep garbage collections from scanning what the engine made at its start, unless vLLM has done so itself.

    Its GPU workers and its engine core freeze their heaps, its CPU workers in processes of their own do not (0.32.0):
    there the collection with which each pass begins went through all of torch's objects and took 0.4 s, five times as
    long as the pass.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage meanwhile: what imports make stays, and to look through it again and again takes its time.

    `from vllm import LLM` took 9.8 s this way instead of 11.7 (vLLM 0.32.0, a 2-core AMD EPYC, three tries each in
    turn: 9.5 to 10.3, and 11.3 to 12.3).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
