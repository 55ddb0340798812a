"""Child processes: what each must have before it begins, whatever this process was started with.

A script that runs `harness ... &`, and nohup, have SIGINT ignored; children inherit that, and would then not end at the
SIGINT that is to end them (POSIX 2.11, "Signals and Error Handling"; execve(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from multiprocessing import spawn
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ENGINE_OWNER",
    "begin_as_child",
    "end_forks_with_engine_owner",
    "end_with_engine_owner",
    "tied_to_this_process",
]

ENGINE_OWNER: Final = "HARNESS_ENGINE_OWNER"
"""The environment variable with the id of the process that starts engines in processes of their own."""

PR_SET_PDEATHSIG: Final = 1
"""Of linux/prctl.h."""


def begin_as_child() -> None:
    """Heed SIGINT, and end by SIGTERM when the parent dies in any way: as `preexec_fn` of a child process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_with_engine_owner(forked_by: int | None = None) -> None:
    """In an engine's own process, as early as can be: end at once when the process that started it dies in any way.

    Another parent than the one that started it says that this one has died already.

    Args:
        forked_by: the process that forked this one; None where it was spawned, which the owner does itself. A process
            that the engine forks ends with the engine by vLLM's own pipe.
    """
    owner = int(os.environ.get(ENGINE_OWNER) or 0)
    if not owner or owner == os.getpid() or forked_by not in (None, owner):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        os._exit(1)


def end_forks_with_engine_owner() -> None:
    """Have processes that this one and its children fork call `end_with_engine_owner`, as vLLM's do for a GPU."""
    forking: list[int] = []
    os.register_at_fork(
        before=lambda: forking.append(os.getpid()),
        after_in_parent=forking.clear,
        after_in_child=lambda: end_with_engine_owner(forking.pop()),
    )


@contextlib.contextmanager
def tied_to_this_process() -> Iterator[None]:
    """Processes that multiprocessing spawns inside call `end_with_engine_owner` before anything else.

    Multiprocessing has no place for that: a spawned process imports what its parent was started with, but not where
    that is a package's `__main__`. So the program that it runs begins with it.
    """
    original = spawn.get_command_line

    def command_line(**kwargs: Any) -> list[str]:
        command: list[str] = original(**kwargs)
        if "-c" in command:
            program = command.index("-c") + 1
            command[program] = (
                f"import runpy; runpy.run_path({__file__!r})['end_with_engine_owner'](); {command[program]}"
            )
        return command

    spawn.get_command_line = command_line
    try:
        yield
    finally:
        spawn.get_command_line = original
