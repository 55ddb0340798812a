"""Signals that are to end a run, told apart from what an arm raises of its own making.

Ctrl-C, a polite kill and a lost connection (SIGINT, SIGTERM, SIGHUP) raise KeyboardInterrupt in the main thread, and
set a mark. An arm can raise KeyboardInterrupt or SystemExit as well, and it can swallow one that was meant for the run:
only the mark says whether a signal came.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["came", "deferred", "heed", "heeded", "insist", "mark"]

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TERMINALS: Final = (4, 5, *range(136, 144))
"""Major numbers of terminals (Linux, Documentation/admin-guide/devices.txt)."""
_came: list[int] = []
_deferring: list[None] = []


def heed() -> dict[int, Any]:
    """Heed them from now on; gives the handlers that were there.

    One that is ignored stays so, as nohup and a script's `&` ask for it; a polite kill is always heeded. Other threads
    than the main one cannot set handlers, so there nothing changes.
    """
    _came.clear()
    before: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        return before
    for number in ENDING:
        found = signal.getsignal(number)
        if found is not None and (found is not signal.SIG_IGN or number == signal.SIGTERM):
            before[number] = found
            signal.signal(number, _end)
    return before


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Heed them inside; then the former handlers are there again."""
    before = heed()
    try:
        yield
    finally:
        _came.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside they set their mark and raise nothing: for what must be written whole, and takes no time."""
    _deferring.append(None)
    try:
        yield
    finally:
        _deferring.pop()


def came() -> bool:
    """Whether one came since they are heeded (in an engine's own process: since `mark`)."""
    return bool(_came)


def insist() -> None:
    """Raise KeyboardInterrupt if one came: something may have swallowed the first.

    Raises:
        KeyboardInterrupt: one came.
    """
    if _came:
        raise KeyboardInterrupt


def mark() -> None:
    """Have the handlers that an engine's own process has for them set the mark as well; they still do their work."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in ENDING:
        found = signal.getsignal(number)
        if callable(found) and found is not _end and not hasattr(found, "marks"):
            signal.signal(number, _marking(found))


def _marking(handler: Any) -> Any:
    def marking(number: int, frame: Any) -> Any:
        _came.append(number)
        return handler(number, frame)

    marking.marks = True  # type: ignore[attr-defined]
    return marking


def _end(number: int, _frame: object) -> None:
    _came.append(number)
    if number == signal.SIGHUP:
        _let_go_of_terminals()
    if not _deferring:
        raise KeyboardInterrupt


def _let_go_of_terminals() -> None:
    """Put /dev/null in the place of terminals that are gone: writing there would raise in the middle of the ending."""
    with contextlib.suppress(OSError):
        for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
            with contextlib.suppress(OSError):
                found = os.fstat(descriptor)
                terminal = stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) in TERMINALS
                if terminal and not os.isatty(descriptor):
                    null = os.open(os.devnull, os.O_RDWR)
                    os.dup2(null, descriptor)
                    os.close(null)
