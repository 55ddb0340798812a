"""The end of the program: what it holds is left to the system, which takes back the memory of a whole process at once.

Python would free it object by object. Of torch and vLLM there are millions, and that took 2.2 to 2.5 s at the end of a
run whose engine had been stopped (vLLM 0.32.0, a 2-core AMD EPYC). Launches begin when the ones before have ended.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["leave_at_once"]


def leave_at_once(program: Callable[[], NoReturn]) -> NoReturn:
    """Run a whole program. When it exits, threads are waited for and exit handlers run, as ever, and then it is gone.

    To be called first: handlers run from the last one that was registered to the first. A program that is traced or
    profiled ends as Python does, since whoever looks at it may have a handler of an earlier date.
    """
    ended: list[object] = []
    atexit.register(_leave, ended)
    try:
        program()
    except SystemExit as end:
        ended.append(end.code)
        raise


def _leave(ended: list[object]) -> None:
    if not ended or sys.gettrace() or sys.getprofile():
        return
    status = ended[0]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none, or nobody reads it
            stream.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))  # a text is an error, as to Python
