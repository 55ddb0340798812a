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
    from types import CodeType, FrameType

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
        self._looked = self._quiet_s = 0.0
        self._everything = False
        self._armed = False
        self.arms_own: frozenset[CodeType] = frozenset()
        """Code that arms run in the host's functions, beside what is called from a seam."""

    def begin(self, everything: bool = False) -> None:
        """Watch from now on; with `everything` whatever runs is an arm's own code."""
        self._everything, self._seen = everything, None
        free = signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, signal.SIG_IGN)
        self._armed = bool(self._seconds) and free and threading.current_thread() is threading.main_thread()
        self._pulse.begin(self._armed)
        if self._armed:
            signal.signal(signal.SIGALRM, self._tick)
            signal.siginterrupt(signal.SIGALRM, False)  # native code need not know of it
            signal.setitimer(signal.ITIMER_REAL, self._tick_s, self._tick_s)

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
        # Where all of it was stopped for a while (Ctrl-Z, a sleeping laptop), that while does not count.
        self._quiet_s += min(now - self._looked, 2 * self._tick_s)
        self._looked = now
        if beat != self._seen or not (self._everything or self._in_an_arm(frame)):
            self._pulse.tick()
            self._seen, self._quiet_s = self._pulse.read(), 0.0
        elif self._quiet_s >= self._seconds:  # again at each tick, should the arm swallow the first
            raise ArmTimeout(f"it had not returned after {self._seconds:g} s (protocol.step_timeout_s)")

    @property
    def _tick_s(self) -> float:
        return min(self._seconds / 4, LONGEST_TICK_S)

    def _in_an_arm(self, frame: FrameType | Any) -> bool:
        while frame is not None:
            if frame.f_code in self.arms_own or frame.f_code.co_filename.startswith(SEAMS):
                return True
            frame = frame.f_back
        return False
