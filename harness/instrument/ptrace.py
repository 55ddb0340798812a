"""Who may trace the engine's process: py-spy reads the stacks of a process by way of ptrace(2)."""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["admit_tracers"]

PR_SET_PTRACER: Final = 0x59616D61
PR_SET_PTRACER_ANY: Final = 2**64 - 1
"""Of linux/prctl.h."""


def admit_tracers() -> None:
    """Let any process of this user trace this one.

    Where Linux' Yama lets a process be traced by its ancestors only, py-spy, which is a child or a cousin of an engine,
    would be refused (prctl(2), PR_SET_PTRACER). Elsewhere the call is refused, and nothing is lost.
    """
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(PR_SET_PTRACER_ANY), 0, 0, 0)
