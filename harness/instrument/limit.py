"""How long an arm may take for one step: then it is interrupted, and its step is done by the host's own function.

A timer of the system has a signal sent every quarter of the limit; its handler, which runs in the main thread between
two instructions of Python or in the middle of a wait, looks whether a step has begun since, and where not, whether an
arm is at work. So on the timed path there is nothing but the handler itself, some microseconds long, four times a
limit. What keeps the interpreter to itself, such as native code in an endless loop, gets no signal: a process that
watches the pulse ends it (`running.guard`, `hosts.processes`).
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import harness.seams
from harness.errors import ArmTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from harness.instrument.pulse import Beat, Pulse

__all__ = ["Limit"]

SEAMS: Final = str(Path(harness.seams.__file__).parent)
"""Arms are called from functions that are written there."""
LONGEST_TICK_S: Final = 15.0


class Limit:
    """A time limit on arms.

    Args:
        seconds: that an arm may take for a step, or to be loaded; 0 for no limit.
        pulse: says whether a step has begun.
    """

    def __init__(self, seconds: float, pulse: Pulse) -> None:
        self._seconds, self._pulse = seconds, pulse
        self._seen: Beat | None = None
        self._since = 0.0
        self._everything = False
        self._armed = False

    def begin(self, everything: bool = False) -> None:
        """Watch from now on; with `everything` whatever runs is an arm's own code."""
        self._pulse.begin()
        self._everything, self._seen = everything, None
        free = signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, signal.SIG_IGN)
        if self._seconds and free and threading.current_thread() is threading.main_thread():
            self._armed = True
            signal.signal(signal.SIGALRM, self._tick)
            tick_s = min(self._seconds / 4, LONGEST_TICK_S)
            signal.setitimer(signal.ITIMER_REAL, tick_s, tick_s)

    def end(self) -> None:
        """Watch no longer; may be called repeatedly."""
        self._pulse.end()
        if self._armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            self._armed = False

    @contextlib.contextmanager
    def loading(self, arm: int) -> Iterator[None]:
        """While an arm is loaded."""
        self.begin(everything=True)
        self._pulse.put(-1, arm)
        try:
            yield
        finally:
            self.end()

    def _tick(self, _number: int, frame: FrameType | None) -> None:
        now, beat = time.monotonic(), self._pulse.read()
        if beat != self._seen or not (self._everything or _in_an_arm(frame)):
            self._pulse.tick()
            self._seen, self._since = self._pulse.read(), now
        elif now - self._since >= self._seconds:  # again at each tick, should the arm swallow the first
            raise ArmTimeout(f"it had not returned after {self._seconds:g} s (protocol.step_timeout_s)")


def _in_an_arm(frame: FrameType | Any) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(SEAMS):
            return True
        frame = frame.f_back
    return False
