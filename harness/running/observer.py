"""Who is told how a run goes: a terminal, or nobody."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Observer"]


class Observer(Protocol):
    """Is told how the run goes."""

    def note(self, text: str) -> None:
        """Something that the user should know now."""
        ...

    def stage(self, name: str, passes: int, seconds: float | None = None) -> None:
        """A stage of so many passes begins, and takes about so long, where that can be told."""
        ...

    def advance(self) -> None:
        """One pass of the stage has ended."""
        ...
