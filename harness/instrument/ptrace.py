"""Who may trace the engine's process: py-spy reads the stacks of a process by way of ptrace(2)."""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["admit_tracers", "dismiss_tracers"]

PR_SET_PTRACER: Final = 0x59616D61
PR_SET_PTRACER_ANY: Final = 2**64 - 1
"""Of linux/prctl.h."""
NOBODY: Final = 0
"""Takes back what was admitted (prctl(2), PR_SET_PTRACER)."""


def admit_tracers() -> None:
    """Let any process of this user trace this one.

    Where Linux' Yama lets a process be traced by its ancestors only, py-spy, which is a child or a cousin of an engine,
    would be refused (prctl(2), PR_SET_PTRACER). Elsewhere the call is refused, and nothing is lost.
    """
    _set_tracer(PR_SET_PTRACER_ANY)


def dismiss_tracers() -> None:
    """Take that back: only ancestors may trace this process again, where Yama is at work."""
    _set_tracer(NOBODY)


def _set_tracer(which: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(which), 0, 0, 0)
