"""Timers with the smallest footprint that Python allows, and the arithmetic that turns them into self times.

The hot path of a probe is two clock reads and one append to a list (the *tape*). Nothing is looked up,
summed or nested there: that happens after the scope has closed, from the order in which calls ended.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass
from itertools import chain
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["SCOPE", "Account", "Ledger", "settle"]

SCOPE: Final = 0
"""Slot of the scope itself; the probes follow from 1."""
CLOSED: Final = 0
"""Stands for the thread where no scope is open; no thread has it as its number."""


@dataclass(slots=True)
class Account:
    """What one slot (the scope or a probe) has spent in one step.

    `self_ns` is without the calls nested directly inside; `total_ns` counts a recursive call once, by its
    outermost frame. `nested_calls` is how many probe calls ran directly inside: each of those costs its
    caller the part of a probe that lies outside its own two clock reads.
    """

    calls: int = 0
    total_ns: int = 0
    self_ns: int = 0
    nested_calls: int = 0


class Ledger:
    """One tape for the probes of one scope, and the wrappers that write on it.

    Calls count only while the scope is open, and only those of the thread that opened it: those of others overlap with
    it, so that no self time could be told from them. They are counted in `foreign_calls`, and left out.

    Args:
        clock: gives nanoseconds.
        synchronize: called at the end of each probed call, before its clock stops; with None nothing waits.
        cpu_clock: gives the nanoseconds for which this thread has had a processor; read around the scope, outside its
            own time.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.perf_counter_ns,
        synchronize: Callable[[], Any] | None = None,
        cpu_clock: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self._clock, self._synchronize, self._cpu_clock = clock, synchronize, cpu_clock
        self._cpu_ns = [0]  # of each step so far, the one under way last
        self._tape: list[tuple[int, int, int]] = []
        self._open = [CLOSED]  # the thread that opened the scope, in a cell that wrappers read without a look-up
        self.foreign_calls = 0
        self._pass = array("q")  # the tapes of all steps so far, one after the other
        self._bookkeeping_ns = 0

    def probe(self, slot: int, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `function` so that its calls are timed under `slot` while the scope is open."""
        clock, push, opened_by = self._clock, self._tape.append, self._open
        called = function if self._synchronize is None else _finished(function, self._synchronize)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if opened_by[0] != get_ident():
                if opened_by[0]:
                    self.foreign_calls += 1
                return function(*args, **kwargs)
            start = clock()
            try:
                return called(*args, **kwargs)
            finally:
                stop = clock()
                push((slot, start, stop))  # one append, which no other thread can come between

        timed.__wrapped__ = function  # type: ignore[attr-defined]
        return timed

    def scope(
        self, function: Callable[..., Any], bind: Callable[[], None], unbind: Callable[[], None], probed: bool = True
    ) -> Callable[..., Any]:
        """Wrap the scope's function: bind the probes around it, and count separately the time that this takes.

        Unless `probed`, the scope is timed, and its probes rest.
        """
        opener = get_ident if probed else _nobody
        clock, cpu_clock, tape, opened_by = self._clock, self._cpu_clock, self._tape, self._open

        def timed(*args: Any, **kwargs: Any) -> Any:
            if opened_by[0]:  # the scope called itself
                return function(*args, **kwargs)
            entered = start = clock()
            cpu_start = cpu_clock()
            try:
                bind()
                opened_by[0] = opener()
                start = clock()
                return function(*args, **kwargs)
            finally:
                stop = clock()
                opened_by[0] = CLOSED
                unbind()
                tape.append((SCOPE, start, stop))
                self._pass.extend(array("q", chain.from_iterable(tape)))
                tape.clear()
                self._cpu_ns[-1] += cpu_clock() - cpu_start
                self._bookkeeping_ns += clock() - stop + start - entered

        timed.__wrapped__ = function  # type: ignore[attr-defined]
        return timed

    def take_bookkeeping(self) -> int:
        """The nanoseconds of bookkeeping since this was last asked, or since the last mark."""
        bookkeeping_ns, self._bookkeeping_ns = self._bookkeeping_ns, 0
        return bookkeeping_ns

    def mark(self) -> tuple[int, int]:
        """End a step: where the pass's tape stands now, and the nanoseconds of bookkeeping that were not yet taken."""
        self._cpu_ns.append(0)
        return len(self._pass), self.take_bookkeeping()

    def extend(self) -> int:
        """What came since the last mark is part of the step that it ended: where the pass's tape stands now."""
        self._cpu_ns[-2:] = [sum(self._cpu_ns[-2:]), 0]
        return len(self._pass)

    def scope_cpu_ns(self, steps: int) -> list[int]:
        """For how long the thread had a processor in each step's scope, binding the probes included."""
        return self._cpu_ns[:steps]

    def reset(self) -> None:
        """Forget everything, also what an interrupt left half done."""
        self._open[0] = CLOSED
        self.foreign_calls = 0
        self._cpu_ns = [0]
        self._tape.clear()
        self._pass = array("q")
        self._bookkeeping_ns = 0

    def calls(self, marks: Sequence[int]) -> list[list[tuple[int, int, int]]]:
        """Each step's calls as they were timed: (slot, start, stop), in the order in which they ended."""
        starts = [0, *marks[:-1]] if marks else []
        tapes = [iter(self._pass[start:stop]) for start, stop in zip(starts, marks, strict=True)]
        return [list(zip(tape, tape, tape, strict=True)) for tape in tapes]

    def accounts(self, marks: Sequence[int], slots: int) -> list[list[Account]]:
        """Settle the pass, step by step, and begin a new one.

        Args:
            marks: where each step's tape ends, as `mark` gave it.
            slots: number of slots, the scope included.

        Returns:
            For each step, one account a slot.
        """
        tape, self._pass = self._pass, array("q")
        starts = [0, *marks[:-1]] if marks else []
        return [settle(tape[start:stop], slots) for start, stop in zip(starts, marks, strict=True)]


def _nobody() -> int:
    return CLOSED


def _finished(function: Callable[..., Any], synchronize: Callable[[], Any]) -> Callable[..., Any]:
    """`function`, which returns only when the device is done with what it was given: the issue's own way of timing."""

    def and_waited(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        synchronize()
        return result

    return and_waited


def settle(tape: Iterable[int], slots: int) -> list[Account]:
    """Turn a tape (slot, start, stop of each call, in the order in which calls ended) into accounts.

    Calls end inside out, so a call has as its children those not yet claimed that began after it did.
    """
    accounts = [Account() for _ in range(slots)]
    # Calls that ended and wait for their caller: start, elapsed, and for each slot within (itself
    # included) the time of its outermost frames, which a recursive caller replaces by its own.
    waiting: list[tuple[int, int, dict[int, int]]] = []
    values = iter(tape)
    for slot, start, stop in zip(values, values, values, strict=True):
        elapsed = stop - start
        nested_ns = nested_calls = 0
        outermost: dict[int, int] = {}
        while waiting and waiting[-1][0] >= start:
            _, child_ns, within = waiting.pop()
            nested_ns += child_ns
            nested_calls += 1
            for inner, ns in within.items():
                outermost[inner] = outermost.get(inner, 0) + ns
        account = accounts[slot]
        account.calls += 1
        account.self_ns += elapsed - nested_ns
        account.nested_calls += nested_calls
        account.total_ns += elapsed - outermost.get(slot, 0)
        outermost[slot] = elapsed
        waiting.append((start, elapsed, outermost))
    return accounts
