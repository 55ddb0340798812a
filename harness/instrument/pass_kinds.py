"""The kinds of passes, by what is watched in them."""

from __future__ import annotations

from typing import Literal

__all__ = ["PassKind"]

PassKind = Literal[
    "probed",
    "bare",
    "mixed",
    "probing",
    "scoped",
    "check",
    "soil",
    "count",
    "device",
    "trace",
    "look",
    "lines",
    "blocks",
    "tracked",
]
"""probed: scope and probes timed. bare: only the step timed. mixed: one or the other, step by step. probing: the scope
timed at every step, its probes bound at some of them: what they cost there. scoped: the same without any probe.
check: every step's fingerprint compared with native's. soil: as bare, with other KV-cache blocks than any other pass
has, so that what it leaves in the engine's buffers is right for none. count: PyTorch's work counted; times mean none.
device: a CUDA device's own clock read, the host's times mean nothing. trace: as probed, and the pass also gives when
everything began and ended. look: what is called inside of opened functions. lines: functions line by line. blocks,
tracked: as probed, and objects are counted instead of nanoseconds (`leftovers`)."""
