"""Who is informed of a run's progress: a terminal, or nobody."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Observer"]


class Observer(Protocol):
    """Is informed of the run's progress."""

    def note(self, text: str) -> None:
        """Something that the user should know now."""
        ...

    def stage(self, name: str, passes: int, seconds: float | None = None) -> None:
        """A stage of so many passes begins; `seconds` is about how long it takes, None where that is not known."""
        ...

    def advance(self) -> None:
        """One pass of the stage has ended."""
        ...
