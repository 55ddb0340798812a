"""Processes that tests start: waited for without a limit that a slow machine could reach, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

from harness.children import begin_as_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["HANG_S", "finish", "runs", "session_of", "until"]

HANG_S = 1800
"""What only a hang takes: an engine starts in 15 s on a usual machine, and in some minutes on the slowest seen."""


def until(what: str, there: Callable[[], bool]) -> None:
    """Wait until it is there; fails with what was waited for."""
    deadline = time.monotonic() + HANG_S
    while not there():
        assert time.monotonic() < deadline, f"waited {HANG_S} s for {what}"
        time.sleep(0.02)


def runs(process: psutil.Process) -> bool:
    """Whether a process is at work: one that has ended and whose parent has not looked is not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextlib.contextmanager
def session_of(
    command: Sequence[str], python: str | Path = sys.executable, **how: object
) -> Iterator[subprocess.Popen[str]]:
    """A Python command in a session of its own, which heeds SIGINT; whatever is left of it at the end is killed."""
    process = subprocess.Popen(
        [str(python), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=begin_as_child, **how,
    )  # fmt: skip
    try:
        yield process
    finally:
        for member in _session(process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr; fails if anything of its session still runs some time later."""
    try:
        out, err = process.communicate(timeout=HANG_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)
        raise AssertionError(f"waited {HANG_S} s for the end of {process.args}") from None
    until(f"the end of all that {process.args} had started", lambda: not _session(process.pid))
    return process.returncode, out, err


def _session(leader: int) -> list[psutil.Process]:
    """What still runs in a session."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if os.getsid(process.pid) == leader and runs(process):
                found.append(process)
    return found
