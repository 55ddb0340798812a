"""A small process beside a run whose engine is in the run's own process: it ends a run that can no longer end itself.

An arm that hangs in native code keeps the interpreter to itself, so that no thread and no handler of a signal runs. The
guard sees by the pulse that nothing goes on, writes how the run ended, says so, and kills the run's process. It sleeps
otherwise, and ends when the run does, in whatever way.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.instrument.pulse import SIZE, Pulse, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["guarded"]

LOOKS: Final = 4
"""Within the limit."""


@contextlib.contextmanager
def guarded(folder: Path, limit_s: float, arms: Sequence[str]) -> Iterator[str]:
    """Start a guard, and end it afterwards; gives the path of the pulse that it watches.

    Args:
        folder: the run's.
        limit_s: how long an arm may take for a step; 0 for no limit, and no guard.
        arms: the names of the arms, as they are installed.
    """
    if not limit_s:
        yield ""
        return
    descriptor, name = tempfile.mkstemp(prefix="harness-pulse-")
    with os.fdopen(descriptor, "wb") as pulse:
        pulse.write(bytes(SIZE))
    told = json.dumps([name, str(folder), limit_s, list(arms), os.getpid()])
    process = subprocess.Popen(  # noqa: S603 (our own interpreter)
        [sys.executable, "-m", __name__, told], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
    )
    try:
        yield name
    finally:
        with contextlib.suppress(OSError):
            process.communicate()  # the end of its input ends it
        Path(name).unlink(missing_ok=True)


def watch(path: str, folder: Path, limit_s: float, arms: Sequence[str], pid: int) -> int:
    """Watch until the run ends, or end it; the exit status."""
    watched = Watch(Pulse(path), limit_s, arms)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of its input is what ends it
    while not select.select([sys.stdin], [], [], limit_s / LOOKS)[0]:
        if hangs := watched.hangs():
            os.kill(pid, signal.SIGSTOP)  # or it might write its own ending meanwhile
            message = f"{hangs}; the run was ended, and what had been measured is kept"
            sys.stderr.write(f"harness: {message}\nharness: its table: python -m harness report {folder}\n")
            sys.stderr.flush()
            try:
                _end(folder, message)
            finally:
                os.kill(pid, signal.SIGKILL)
            break
    Path(path).unlink(missing_ok=True)
    return 0


def _end(folder: Path, message: str) -> None:
    from harness.records.folder import RunFolder, read_facts
    from harness.running.run import Outcome, facts_at_end

    facts: dict[str, Any] = read_facts(folder)
    facts.pop("schema")
    RunFolder.existing(folder).write_run({**facts, **facts_at_end(Outcome("failed", 1, message))})


if __name__ == "__main__":
    of_path, of_folder, *rest = json.loads(sys.argv[1])
    sys.exit(watch(of_path, Path(of_folder), *rest))
