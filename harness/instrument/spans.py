"""What a traced pass remembers: when everything began and ended."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Spans"]


class Spans:
    """(step, name, start_ns, stop_ns) of steps, samplings and garbage collections; `add_calls` adds the ledger's."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._spans: list[tuple[int, str, int, int]] = []
        self._collecting_since = 0
        self.step = 0

    def open(self) -> None:
        """Begin to watch garbage collections."""
        self._spans = []
        gc.callbacks.append(self._on_collection)

    def close(self) -> None:
        """Stop watching them; may be called repeatedly."""
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    def add(self, name: str, start_ns: int, stop_ns: int) -> None:
        """Something of the current step."""
        self._spans.append((self.step, name, start_ns, stop_ns))

    def add_calls(self, calls: Sequence[Sequence[tuple[int, int, int]]], names: Sequence[str]) -> None:
        """The ledger's calls of each step: (slot, start, stop), of which slot i has the name `names[i]`."""
        for step, of_step in enumerate(calls):
            self._spans += [(step, names[slot], start, stop) for slot, start, stop in of_step]

    def take(self) -> list[list[Any]]:
        """Give everything so far, and forget it."""
        taken, self._spans = self._spans, []
        return [list(span) for span in taken]

    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting_since = self._clock()
        else:
            self.add(f"garbage collection, generation {info['generation']}", self._collecting_since, self._clock())
