"""What is recorded of each step of a pass: its arm, its signature, its times and what disturbed it; one row each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.instrument.events import EVENTS, read_events

if TYPE_CHECKING:
    from harness.instrument.ledger import Ledger
    from harness.instrument.loops import Loop

__all__ = ["STEP_COLUMNS", "StepRows"]

STEP_COLUMNS: Final = (
    "arm", "probed", "num_reqs", "num_tokens", "num_prefills",
    "begin_ns", "execute_ns", "sample_ns", "bookkeeping_ns", "cpu_ns", *EVENTS,
)  # fmt: skip
"""What every pass records of every step; a probed one adds `PROBE.calls` and the like, a counting one counters."""
SAMPLE: Final = STEP_COLUMNS.index("sample_ns")
CPU: Final = STEP_COLUMNS.index("cpu_ns")
FIRST_EVENT: Final = STEP_COLUMNS.index(EVENTS[0])


class StepRows:
    """The rows of one pass. All of it happens while the step's clock is stopped."""

    def __init__(self, loop: Loop, ledger: Ledger) -> None:
        self._loop, self._ledger = loop, ledger
        self.rows: list[list[int]] = []
        self._marks: list[int] = []
        self._first_ns = 0
        self.about_to_begin()

    @property
    def marks(self) -> list[int]:
        """Where each step's part of the ledger's tape ends; a step that an exception cut short has one but no row."""
        return self._marks[: len(self.rows)]

    def about_to_begin(self) -> None:
        """A step is about to begin: what happens from now on happens in it."""
        self._events_before = read_events()

    def executed(self, arm: int, probed: bool, work: Any, start_ns: int, stop_ns: int, cpu_ns: int) -> None:
        """The model was executed for a step, between two readings of the clock, the instrument's own work included.

        `cpu_ns` is what the thread had of the processor meanwhile.
        """
        mark, bookkeeping_ns = self._ledger.mark()
        if not self.rows:
            self._first_ns = start_ns
        self._marks.append(mark)
        row = [
            arm,
            int(probed),
            *self._loop.batch(work),
            start_ns - self._first_ns,
            stop_ns - start_ns - bookkeeping_ns,
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

    def columns(self) -> dict[str, list[Any]]:
        """One list a column, one entry a step."""
        columns: dict[str, list[Any]] = {key: [row[i] for row in self.rows] for i, key in enumerate(STEP_COLUMNS)}
        columns["step"] = list(range(len(self.rows)))
        return columns

    def _note_events(self, row: list[int]) -> None:
        """What happened since the step began."""
        row[FIRST_EVENT:] = [now - before for now, before in zip(read_events(), self._events_before, strict=True)]
