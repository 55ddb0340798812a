"""Child processes: what each must have before it begins, whatever this process was started with.

A script that runs `harness ... &`, and nohup, have SIGINT ignored; children inherit that, and would then not end at the
SIGINT that is to end them (POSIX 2.11, "Signals and Error Handling"; execve(2)).
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

__all__ = ["ENGINE_OWNER", "begin_as_child", "end_with_engine_owner"]

ENGINE_OWNER: Final = "HARNESS_ENGINE_OWNER"
"""The environment variable with the id of the process that starts engines in processes of their own."""

PR_SET_PDEATHSIG: Final = 1
"""Of linux/prctl.h."""


def begin_as_child() -> None:
    """Heed SIGINT, and end by SIGTERM when the parent dies in any way: as `preexec_fn` of a child process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_with_engine_owner() -> None:
    """In an engine's own process: end at once when the process that started the engine dies in any way.

    vLLM starts such a process by multiprocessing, so nothing can be set between fork and exec. A spawned one imports
    what its parent was started with, which calls this. Workers of that process end with it by vLLM's own pipe.
    """
    owner = int(os.environ.get(ENGINE_OWNER) or 0)
    if not owner or owner == os.getpid():
        return
    if os.getppid() == owner:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        os.kill(owner, 0)
    except ProcessLookupError:  # it died before that
        os._exit(1)
    except PermissionError:
        pass
