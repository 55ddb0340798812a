"""What is recorded of each step of a pass: its arm, its signature, its times and what disturbed it; one row each."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from harness.instrument.events import EVENTS, read_events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.instrument.ledger import Ledger
    from harness.instrument.loops import Loop

__all__ = ["STEP_COLUMNS", "TURN_NS", "StepRows"]

TURN_NS: Final = "turn_ns"
STEP_COLUMNS: Final = (
    "arm", "probed", "num_reqs", "num_tokens", "num_prefills",
    "begin_ns", "execute_ns", "sample_ns", TURN_NS, "bookkeeping_ns", "cpu_ns", *EVENTS,
)  # fmt: skip
"""What every pass records of every step; a probed one adds `PROBE.calls` and the like, a counting one counters.
`turn_ns` is there where the engine core's turns are timed; `cpu_ns` is then the turn's as well."""
SAMPLE: Final = STEP_COLUMNS.index("sample_ns")
TURN: Final = STEP_COLUMNS.index(TURN_NS)
BOOKKEEPING: Final = STEP_COLUMNS.index("bookkeeping_ns")
CPU: Final = STEP_COLUMNS.index("cpu_ns")
FIRST_EVENT: Final = STEP_COLUMNS.index(EVENTS[0])


class StepRows:
    """The rows of one pass. All of it happens while the step's clock is stopped, or is subtracted from its turn.

    A step's row is open from its execution until the next step begins, so that what the engine does for it after the
    model runner (its sampling, the scheduler's update, the output) is still its own.
    """

    def __init__(self, loop: Loop, ledger: Ledger) -> None:
        self._loop, self._ledger = loop, ledger
        self.rows: list[list[int]] = []
        self.marks: list[int] = []
        """Where each closed step's part of the ledger's tape ends."""
        self._first_ns = self._turn_began_ns = 0
        self._beside_ns = 0  # within this turn, of the instrument's own
        self.begin()

    def begin(self, now_ns: int = 0) -> None:
        """A step is about to begin, and the one before ends: what happens from now on belongs to it."""
        self.close()
        if not self.rows:
            self._ledger.take_bookkeeping()  # before the first step: of requests that arrived, and in no turn
        self._turn_began_ns, self._beside_ns = now_ns, 0
        self._events_before = read_events()

    def close(self) -> None:
        """The last step is over."""
        if len(self.marks) < len(self.rows):
            mark, bookkeeping_ns = self._ledger.mark()
            self.marks.append(mark)
            self.rows[-1][BOOKKEEPING] += bookkeeping_ns

    def before_execute(self) -> None:
        """What the instrument did in this turn up to now is none of the execution's."""
        self._beside_ns += self._ledger.take_bookkeeping()

    def executed(self, arm: int, probed: bool, work: Any, start_ns: int, stop_ns: int, cpu_ns: int) -> None:
        """The model was executed for a step, between two readings of the clock, the instrument's own work included.

        `cpu_ns` is what the thread had of the processor meanwhile.
        """
        bookkeeping_ns = self._ledger.take_bookkeeping()
        self._beside_ns += bookkeeping_ns
        begin_ns = self._turn_began_ns if self._loop.turn is not None else start_ns
        if not self.rows:
            self._first_ns = begin_ns
        row = [
            arm,
            int(probed),
            *self._loop.batch(work),
            begin_ns - self._first_ns,
            stop_ns - start_ns - bookkeeping_ns,
            0,
            0,
            bookkeeping_ns,
            cpu_ns,
            *(0 for _ in EVENTS),
        ]  # in the order of STEP_COLUMNS
        self._note_events(row)
        self.rows.append(row)  # one append, so that an interrupt leaves a whole row or none

    def sampled(self, elapsed_ns: int, cpu_ns: int) -> None:
        """The last step's tokens were sampled, which is part of it."""
        self.rows[-1][SAMPLE] += elapsed_ns
        self.rows[-1][CPU] += cpu_ns
        self._note_events(self.rows[-1])

    def beside(self, elapsed_ns: int) -> None:
        """The instrument itself took so long in the middle of this turn."""
        self._beside_ns += elapsed_ns

    def turned(self, elapsed_ns: int, cpu_ns: int, executed: bool) -> None:
        """A turn of the engine core has ended; one that `executed` no step belongs to the step before."""
        if not self.rows:
            return
        row = self.rows[-1]
        rest_ns = self._ledger.take_bookkeeping()
        row[BOOKKEEPING] += rest_ns
        row[TURN] += elapsed_ns - self._beside_ns - rest_ns
        row[CPU] = cpu_ns + (0 if executed else row[CPU])
        if not executed:
            self.marks[-1] = self._ledger.extend()
        self._note_events(row)

    def columns(self) -> dict[str, list[Any]]:
        """One list a column, one entry a step."""
        columns: dict[str, list[Any]] = {key: [row[i] for row in self.rows] for i, key in enumerate(STEP_COLUMNS)}
        if self._loop.turn is None:
            del columns[TURN_NS]
        columns["step"] = list(range(len(self.rows)))
        return columns

    def settled(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """What the ledger has timed in each step, which it forgets: one list a column, one entry a step.

        Args:
            names: of the ledger's slots, the scope first; slot i's columns are `NAME.calls` and the like.
        """
        columns = {"scope.cpu_ns": self._ledger.scope_cpu_ns(len(self.marks))}
        settled = self._ledger.accounts(self.marks, slots=len(names))
        for slot, name in enumerate(names):
            for key in asdict(settled[0][slot]) if settled else ():
                columns[f"{name}.{key}"] = [getattr(accounts[slot], key) for accounts in settled]
        return columns

    def _note_events(self, row: list[int]) -> None:
        """What happened since the step began."""
        row[FIRST_EVENT:] = [now - before for now, before in zip(read_events(), self._events_before, strict=True)]
