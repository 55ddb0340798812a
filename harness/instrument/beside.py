"""Passes beside the measured ones that look at functions in another way than by a ledger's clock.

look: what is called inside of opened functions. lines: functions line by line. blocks and tracked: what calls leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.instrument.callees import Callees
from harness.instrument.leftovers import COUNTED, Leftovers
from harness.instrument.line_times import LineTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FunctionType

    from harness.instrument.pass_kinds import PassKind
    from harness.instrument.switch import Around, Switch

__all__ = ["Beside"]


class Beside:
    """What such passes need, of one instrument.

    Attributes:
        leftovers: counts in the ledger's place in this pass; None where the ledger times.

    Args:
        switch: is told of the functions that something is put around, for as long as a pass lasts.
        clock: gives nanoseconds.
    """

    def __init__(self, switch: Switch, clock: Callable[[], int]) -> None:
        self._switch, self._clock = switch, clock
        self._watches: dict[str, Callees | LineTimes] = {}
        self._watch: Callees | LineTimes | None = None
        self._known: list[FunctionType] = []
        self.leftovers: Leftovers | None = None

    def look_into(self, names: Sequence[str], depth: int) -> None:
        """Open these functions in passes of kind "look".

        Raises:
            ConfigError: one of them is no function that is written in Python.
        """
        self._watches["look"] = Callees(names, depth, self._clock)

    def time_lines(self, names: Sequence[str]) -> None:
        """Time these functions line by line in passes of kind "lines".

        Raises:
            ConfigError: one of them is no function that is written in Python.
        """
        self._watches["lines"] = LineTimes(names)

    def begin(self, kind: PassKind, slots: int) -> None:
        """Take up a pass; `slots` are the scope and the probes."""
        self.leftovers = Leftovers(COUNTED[kind], slots) if kind in COUNTED else None
        self._watch = self._watches.get(kind)
        functions = self._watch.functions.values() if self._watch is not None else ()
        self._known = [function for function in functions if function not in self._switch.functions]
        for function in self._known:
            self._switch.know(function)

    def around(self) -> Mapping[FunctionType, Around]:
        """What is around functions in this pass."""
        return self._watch.around() if self._watch is not None else {}

    def end(self, names: Sequence[str]) -> tuple[dict[str, list[int]], list[dict[str, Any]]]:
        """End the pass, when everything has been put back.

        Args:
            names: of the scope and the probes.

        Returns:
            Columns of what was counted, one entry a step, and rows of what was looked at.
        """
        for function in self._known:
            self._switch.forget(function)
        leftovers, watch = self.leftovers, self._watch
        self._known, self._watch, self.leftovers = [], None, None
        return (
            leftovers.take(names) if leftovers is not None else {},
            watch.take() if watch is not None else [],
        )
