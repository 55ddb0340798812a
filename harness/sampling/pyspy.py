"""py-spy attached to a running process: start, stop, what it saw, and a clear error where it may not attach.

py-spy stops the process for every sample, unless `--nonblocking` is given. Reading a process that runs on tears stacks:
seen here were frames of one function under another that never called it, a third of all samples lost, and
`_prepare_inputs` at 17 % of a step, of which it takes 10 to 11 % (and took that with stops). So stops are the default,
and what they cost is measured.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.children import begin_as_child
from harness.errors import ProfilerError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["PERMISSION", "Recorder", "Sampled", "find_py_spy"]

PERMISSION: Final = "run as root, or in a container with --cap-add SYS_PTRACE, or set kernel.yama.ptrace_scope to 0"
"""What lets py-spy attach."""
ATTACH_S: Final = 120
"""How long py-spy may take until it samples: with native frames it reads the symbols of every library first."""
WRITE_S: Final = 120
"""How long it may take to write what it has."""


@dataclass(frozen=True)
class Sampled:
    """What py-spy saw.

    Attributes:
        folded: one line a stack: frames from the outermost in, separated by `;`, a blank, and how often it was seen.
        samples: stacks that were seen; each look gives one of every busy thread, and none of an idle process.
        errors: how often py-spy looked and could not read what it saw.
        behind_s: how far it fell behind the rate that was asked for, at worst.
        seconds: from the first look to the last.
    """

    folded: str
    samples: int
    errors: int
    behind_s: float
    seconds: float


def find_py_spy() -> str:
    """Path of the program.

    Raises:
        ProfilerError: it is not installed.
    """
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.is_file() else shutil.which("py-spy")
    if program is None:
        raise ProfilerError("py-spy is not installed: pip install py-spy")
    return program


class Recorder:
    """Samples the stacks of one process for as long as the `with` block lasts; `sampled` is there when it has ended.

    Args:
        pid: the process.
        rate_hz: looks a second.
        at_most_s: when py-spy stops by itself, should this process be gone by then.
        native: also frames of C and C++.
        nonblocking: read the process while it runs on; see above.

    Raises:
        ProfilerError: on entering, py-spy could not attach; on leaving, there is nothing that it saw.
    """

    sampled: Sampled

    def __init__(
        self, pid: int, rate_hz: int, native: bool = False, nonblocking: bool = False, at_most_s: float = 3600.0
    ) -> None:
        self._pid = pid
        self._options = ["--rate", str(rate_hz), "--threads", "--duration", str(math.ceil(at_most_s))]
        self._options += ["--native"] * native + ["--nonblocking"] * nonblocking

    def __enter__(self) -> Recorder:
        program = find_py_spy()
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="harness-py-spy-")
            self._log, self._out = Path(self._folder.name, "log"), Path(self._folder.name, "folded")
            command = [program, "record", "--pid", str(self._pid), "--format", "raw", "--output", str(self._out)]
            with self._log.open("w", encoding="utf-8") as log:
                # In a process group of its own: Ctrl-C is ours to hand on.
                self._process: subprocess.Popen[Any] = subprocess.Popen(  # noqa: S603
                    [*command, *self._options], stdout=log, stderr=log, stdin=subprocess.DEVNULL, process_group=0,
                    preexec_fn=begin_as_child,  # it keeps stopping another process, so it must not outlive us
                )  # fmt: skip
        except OSError as error:
            raise ProfilerError(f"{program} cannot be started: {error.strerror or error}") from error
        try:
            self._wait_until_sampling()
        except BaseException:
            self._abandon()
            raise
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            seconds = time.monotonic() - self._began
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
            self._process.wait(WRITE_S)
            self.sampled = self._read(seconds)
        except subprocess.TimeoutExpired:
            raise ProfilerError(f"py-spy did not write what it saw within {WRITE_S} s; sample for less long") from None
        finally:
            self._abandon()

    @property
    def sampling(self) -> bool:
        """Whether py-spy still samples; it stops by itself when the process ends."""
        return self._process.poll() is None

    def _wait_until_sampling(self) -> None:
        deadline = time.monotonic() + ATTACH_S
        while "Sampling process" not in self._said():
            if self._process.poll() is not None:
                raise ProfilerError(_why(self._said(), self._pid))  # read again: it may have spoken last
            if time.monotonic() > deadline:
                raise ProfilerError(f"py-spy did not attach to process {self._pid} within {ATTACH_S} s")
            time.sleep(0.02)

    def _read(self, seconds: float) -> Sampled:
        said = self._said()
        counts = re.search(r"Samples: (\d+) Errors: (\d+)", said)
        if counts is None or not self._out.is_file():
            raise ProfilerError(_why(said, self._pid))
        behind = [float(found) for found in re.findall(r"([\d.]+)s behind in sampling", said)]
        folded = self._out.read_text(encoding="utf-8", errors="replace")
        return Sampled(folded, int(counts[1]), int(counts[2]), max(behind, default=0.0), seconds)

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _abandon(self) -> None:
        """End py-spy, whatever it does; it lets the process run on when it dies."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()


def _why(said: str, pid: int) -> str:
    """One line on why py-spy ended, and how to fix it."""
    lowered = said.lower()
    if "permission denied" in lowered or "operation not permitted" in lowered:
        return f"py-spy may not attach to process {pid}: {PERMISSION}"
    if "no such file" in lowered or "no such process" in lowered:
        return f"there is no process {pid} for py-spy to attach to (any more)"
    if "python version" in lowered:
        return f"process {pid} is no Python process that py-spy knows; name the one that runs the engine"
    told = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("py-spy>")]
    reasons = [line.partition(": ")[2] for line in told if line.startswith(("Error: ", "Reason: "))] or told
    return f"py-spy gave up on process {pid}: {reasons[-1] if reasons else 'it ended without a reason'}"
