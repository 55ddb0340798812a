"""Turns of engines in several processes that stand side by side: each waits, before a step, until it is its own.

Who hands out turns is outside; here is only where a step waits, before any clock of it has started.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["taken", "wait_before_step"]

_WAITS: Final[list[Callable[[], None]]] = []


@contextmanager
def taken(wait: Callable[[], None]) -> Iterator[None]:
    """Have each measured step of this process wait by this; an engine in another process knows nothing of it."""
    _WAITS.append(wait)
    try:
        yield
    finally:
        _WAITS.remove(wait)


def wait_before_step() -> None:
    """Wait for this process's turn, where turns are taken."""
    for wait in _WAITS:
        wait()
