"""The processes of an engine that does not live in this one: whether they are alive, and ending them.

vLLM's client waits without limit for an answer that a dead engine can no longer give (a call by
`collective_rpc` after or while an engine process dies never returns), so calls are made in a thread, and the
processes are watched meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psutil

from harness.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.instrument.pulse import Watch

__all__ = ["EngineProcesses"]

Result = TypeVar("Result")

POLL_S: Final = 0.1
GRACE_S: Final = 5.0
"""How long vLLM's own, better error may take to arrive once a process of the engine is gone."""

TRACKER: Final = "multiprocessing.resource_tracker"
"""Python's process that clears up what killed processes leave: it heeds no SIGTERM, and ends with its owner."""


class EngineProcesses:
    """The descendants of this process that came with the engine."""

    def __init__(self) -> None:
        self._before = {process.pid for process in psutil.Process().children(recursive=True)}
        self._processes: list[psutil.Process] = []
        self.lost: str = ""
        self.watch: Watch | None = None

    def gather(self) -> None:
        """The engine has started: remember its processes."""
        descendants = psutil.Process().children(recursive=True)
        self._processes = [process for process in descendants if process.pid not in self._before]

    def dead(self) -> psutil.Process | None:
        """A process of the engine that has ended, if one has."""
        return next((process for process in self._processes if not _runs(process)), None)

    def call(self, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        """Call into the engine; give up when a process of it has died and no answer came.

        Raises:
            HostError: a process of the engine died.
            BaseException: whatever the call itself raised.
        """
        if self.lost:
            raise HostError(self.lost)
        answer: dict[str, Any] = {}
        done = threading.Event()

        def work() -> None:
            try:
                answer["value"] = function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 (handed on to the caller's thread below)
                answer["error"] = error
            finally:
                done.set()

        threading.Thread(target=work, daemon=True, name="harness-engine-call").start()
        try:
            while not done.wait(POLL_S):
                if (process := self.dead()) is not None and not done.wait(GRACE_S):
                    self.lost = f"the engine died: its process {process.pid} has ended"
                    raise HostError(self.lost)
                if self.watch is not None and (hangs := self.watch.hangs()):
                    self.lost = f"{hangs}; the engine was ended"
                    self._kill()
                    raise HostError(self.lost)
        except KeyboardInterrupt:
            self.lost = "the engine was left in the middle of a call"
            raise
        if "error" in answer:
            if self.dead() is not None:
                self.lost = "the engine died"
                raise HostError(self.lost) from answer["error"]
            raise answer["error"]
        value: Result = answer["value"]
        return value

    def end(self) -> None:
        """Terminate whatever still runs of the engine, and kill what does not end."""
        left = self._left()
        try:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.terminate()
            psutil.wait_procs(left, timeout=5)
        finally:  # also where Ctrl-C came meanwhile
            self._kill()

    def _kill(self) -> None:
        for process in (left := self._left()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)

    def _left(self) -> list[psutil.Process]:
        """What still runs of the engine; what it started in the meantime as well."""
        known = {process.pid: process for process in self._processes}
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                known |= {child.pid: child for child in process.children(recursive=True)}
        return [process for process in known.values() if not _is_tracker(process) and _runs(process)]


def _is_tracker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(TRACKER in word for word in process.cmdline())
    return False


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
