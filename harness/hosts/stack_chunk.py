"""A large chunk of the interpreter's stack, so that no call under measurement happens to lie across the edge of one.

CPython from 3.11 on keeps the frames of Python functions in chunks of 16 KiB. A call whose frame does not fit into what
is left of a chunk gets a new one from the system, and gives it back when it returns (Python/pystate.c, push_chunk and
_PyThreadState_PopFrame). Where a function that is called often happens to lie at such an edge, each of its calls costs
a mapping, an unmapping and page faults: microseconds, where it should be tens of nanoseconds.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_in_large_chunk"]

SLOTS: Final = 70_000
"""Of 8 bytes: the chunk is the next power of two, 1 MiB, and some 460 KiB of it are left for frames of 2,000 calls."""


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


call_in_large_chunk: Callable[..., Any] = FunctionType(
    _call.__code__.replace(co_stacksize=SLOTS, co_name="call_in_large_chunk", co_qualname="call_in_large_chunk"),
    globals(),
    "call_in_large_chunk",
)
"""Call a function from a frame that has a large chunk to itself, so that whatever is called inside shares it."""
