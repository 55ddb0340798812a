"""A sign of life of the instrument in shared memory: which pass, step and arm is under way.

Another process can see by it that an arm does not return, also where the arm is in native code and keeps the
interpreter to itself, so that nothing in its own process could say so.
"""

from __future__ import annotations

import mmap
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SIZE", "Beat", "Pulse", "Watch"]

SIZE: Final = 64
"""Bytes of the file."""
WORK, STEP, ARM, TICKS, ACTIVE = range(5)


class Beat(NamedTuple):
    """What a pulse holds.

    Attributes:
        work: the number of passes begun and arms loaded so far.
        step: the last one that began; -1 while arms are loaded.
        arm: its index among the installed arms.
        ticks: how often the process found by itself that it goes on.
        active: whether a pass is under way, or an arm is being loaded, and signs of life are given.
    """

    work: int
    step: int
    arm: int
    ticks: int
    active: bool


class Pulse:
    """Written by the instrument, read by whoever watches it.

    Args:
        path: of a file of `SIZE` bytes; empty for a pulse that nobody else sees.
    """

    def __init__(self, path: str = "") -> None:
        if path:
            with Path(path).open("r+b") as file:
                self.values: memoryview | array[int] = memoryview(mmap.mmap(file.fileno(), SIZE)).cast("q")
        else:
            self.values = array("q", bytes(SIZE))

    def begin(self, active: bool = True) -> None:
        """A pass, or the loading of an arm, begins; `active` says whether `tick` will be called meanwhile."""
        self.values[WORK] += 1
        self.values[STEP] = -1
        self.values[ACTIVE] = int(active)

    def put(self, step: int, arm: int) -> None:
        """A step begins under an arm."""
        self.values[STEP] = step
        self.values[ARM] = arm

    def tick(self) -> None:
        """The process goes on."""
        self.values[TICKS] += 1

    def end(self) -> None:
        """It has ended."""
        self.values[ACTIVE] = 0

    def read(self) -> Beat:
        """As it is now."""
        work, step, arm, ticks, active = self.values[:5]
        return Beat(work, step, arm, ticks, bool(active))


class Watch:
    """Looks from another thread or process whether an arm has stopped returning, and cannot be interrupted.

    Args:
        pulse: of the process that is watched.
        limit_s: after which that process interrupts an arm by itself; 0 for no limit.
        arms: their names.
        clock: gives seconds.
    """

    def __init__(
        self, pulse: Pulse, limit_s: float, arms: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pulse, self._limit_s, self._arms, self._clock = pulse, limit_s, arms, clock
        self._seen, self._looked, self._quiet_s = pulse.read(), clock(), 0.0

    @property
    def patience_s(self) -> float:
        """For how long there may be no sign of life: longer than an arm's interruption takes."""
        return 1.5 * self._limit_s + 5.0

    def hangs(self) -> str:
        """What hangs, in words; empty while all goes on. To be asked several times within the limit."""
        beat, now = self._pulse.read(), self._clock()
        # Where all of it was stopped for a while (Ctrl-Z, a sleeping laptop), that while does not count.
        self._quiet_s += min(now - self._looked, self._limit_s / 2)
        self._looked = now
        if beat != self._seen or not beat.active or not self._limit_s:
            self._seen, self._quiet_s = beat, 0.0
        if self._quiet_s < self.patience_s:
            return ""
        where = f"at step {beat.step}" if beat.step >= 0 else "while it was loaded"
        return (
            f"arm {self._arms[beat.arm]!r} did not return {where} within {self._limit_s:g} s "
            "(protocol.step_timeout_s), and could not be interrupted"
        )
