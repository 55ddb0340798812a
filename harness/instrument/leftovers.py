"""What each function leaves behind: how many more objects there are after a call than before it.

It stands in a ledger's place, and reads a count of objects instead of a clock. What it notes goes into memory that it
has had from the start, so that a call's own note is none of what the call leaves.
"""

from __future__ import annotations

import gc
import statistics
import sys
from array import array
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from harness.instrument.ledger import CLOSED, SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.instrument.steps import StepRows

__all__ = ["CALLS", "COUNTED", "OBJECTS", "Leftovers", "tracked"]

OBJECTS: Final = "objects"
CALLS: Final = "calls"
"""Columns `NAME.objects` and `NAME.calls` of such a pass."""
BALLAST: Final = 100_000
"""Objects held through a pass, since the collector's count stays at 0 where more old objects go than new ones come."""
BATCHES: Final = 5
CALLS_A_BATCH: Final = 50
OF_STEPS: Final = ("before_execute", "executed", "sampled", "beside")
"""Methods of `StepRows` that are called inside of a turn: what they keep is the instrument's own."""


def tracked() -> int:
    """How many objects that the collector tracks have been made since it last ran, less those that have gone since."""
    return gc.get_count()[0]


COUNTED: Final[dict[str, Callable[[], int]]] = {"blocks": sys.getallocatedblocks, "tracked": tracked}
"""By the kind of pass: what is read. Blocks of memory, of Python's own allocator; objects that the collector tracks.

Neither sees what comes out of Python's free lists, or goes into them: they fill in a pass's first steps.
"""


class Leftovers:
    """Counts for one pass.

    Only calls on the thread that opened the scope count, and only while it is open.

    Args:
        read: gives a number of objects.
        slots: the scope and the probes; one more is the instrument's own.
    """

    def __init__(self, read: Callable[[], int], slots: int) -> None:
        self._read, self._own_slot = read, slots
        self._left = array("q", bytes(8 * (slots + 1)))
        self._calls = array("q", bytes(8 * (slots + 1)))
        self._within = array("q", [0])  # what the calls inside of the one under way have left
        self._open = [CLOSED]
        self._steps: list[tuple[list[int], list[int]]] = []
        self._begun = False
        self._inside = (0, 0)
        self._ballast: list[Any] = []
        self.foreign_calls = 0

    def ready(self, steps: StepRows) -> None:
        """Find what a call's own reading adds, and take what the steps' rows keep out of the counts.

        To be called when the collector has run, and before any wrapper is made.
        """
        self._ballast = [[] for _ in range(BALLAST)]
        self._inside = self._calibrated(), self._calibrated(keyword=2)
        for name in OF_STEPS:
            setattr(steps, name, self.probe(self._own_slot, getattr(steps, name)))

    def begin_step(self) -> None:
        """What follows belongs to a new step; what came before the first one is its own."""
        if self._begun:
            self._close()
        self._begun = True

    def take(self, names: Sequence[str]) -> dict[str, list[int]]:
        """Give `NAME.objects` and `NAME.calls` for the scope and the probes, one entry a step."""
        self._close()
        found: dict[str, list[int]] = {}
        for slot, name in enumerate(names):
            found[f"{name}.{OBJECTS}"] = [left[slot] for left, _ in self._steps]
            found[f"{name}.{CALLS}"] = [calls[slot] for _, calls in self._steps]
        self._steps, self._ballast = [], []
        return found

    def probe(self, slot: int, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `function` so that what its calls leave is counted under `slot` while the scope is open."""
        read, left, calls, within, opened_by = self._read, self._left, self._calls, self._within, self._open
        plain, named = self._inside

        def counted(*args: Any, **kwargs: Any) -> Any:
            if opened_by[0] != get_ident():
                return function(*args, **kwargs)
            outside = within[0]
            within[0] = 0
            before = read()
            try:
                return function(*args, **kwargs)
            finally:
                more = read() - before - (named if kwargs else plain)
                left[slot] += more - within[0]
                calls[slot] += 1
                within[0] = outside + more

        counted.__wrapped__ = function  # type: ignore[attr-defined]
        return counted

    def scope(
        self, function: Callable[..., Any], bind: Callable[[], None], unbind: Callable[[], None], probed: bool = True
    ) -> Callable[..., Any]:
        """Wrap the scope's function; it binds the probes, and only while it runs anything counts."""
        opened_by, counted = self._open, self.probe(SCOPE, function)

        def opened(*args: Any, **kwargs: Any) -> Any:
            if opened_by[0]:  # the scope called itself
                return function(*args, **kwargs)
            bind()
            opened_by[0] = get_ident() if probed else CLOSED
            try:
                return counted(*args, **kwargs)
            finally:
                opened_by[0] = CLOSED
                unbind()

        opened.__wrapped__ = function  # type: ignore[attr-defined]
        return opened

    def _close(self) -> None:
        """Keep what has been counted, and count from nothing."""
        self._steps.append((self._left.tolist(), self._calls.tolist()))
        for slot in range(len(self._left)):
            self._left[slot] = self._calls[slot] = 0

    def _calibrated(self, **named: int) -> int:
        """What a call of nothing seems to leave: its own first reading, and a copy of what is given by name."""
        nothing = self.probe(SCOPE, _nothing)
        found = []
        self._open[0] = get_ident()
        for _ in range(BATCHES):
            self._left[SCOPE] = 0
            for _ in range(CALLS_A_BATCH):
                nothing(1, **named)
            found.append(self._left[SCOPE] / CALLS_A_BATCH)
        self._open[0] = CLOSED
        self._left[SCOPE] = self._calls[SCOPE] = self._within[0] = 0
        return round(statistics.median(found))


def _nothing(_argument: object, *, keyword: object = None) -> None: ...
