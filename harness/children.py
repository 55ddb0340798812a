"""Child processes: what each must have before it begins, whatever this process was started with.

A script that runs `harness ... &`, and nohup, have SIGINT ignored; children inherit that, and would then not end at the
SIGINT that is to end them (POSIX 2.11, "Signals and Error Handling"; execve(2)).
"""

from __future__ import annotations

import ctypes
import signal
from typing import Final

__all__ = ["begin_as_child"]

PR_SET_PDEATHSIG: Final = 1
"""Of linux/prctl.h."""


def begin_as_child() -> None:
    """Heed SIGINT, and end by SIGTERM when the parent dies in any way: as `preexec_fn` of a child process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
