"""Every Python function that is called inside of opened ones, down to a depth: with calls, and where it can be timed.

Python's profiling hook sees them all. It costs far more than most functions take, so it is set only while an opened
function runs, in a pass in which nothing is measured.
"""

from __future__ import annotations

import functools
import inspect
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.changes.code import plain_function
from harness.errors import ConfigError
from harness.instrument.switch import Around
from harness.instrument.targets import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import CodeType, FrameType, FunctionType

__all__ = ["Callees", "functions_of"]

PART_OF_ITS_FUNCTION: Final = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"})
"""Frames that are none of their own from Python 3.12 on, or run while what uses them does."""
OWN_PACKAGE: Final = "harness"
OWN_FILE: Final = "<harness: trampoline>"
LAZY: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@dataclass
class _Callee:
    """One function, inside of one opened function."""

    code: CodeType
    module: str
    depth: int
    calls: int = 0
    elapsed_ns: int = 0


@dataclass
class _Opened:
    """An opened function: what was called in it, and what is being called."""

    found: dict[int, _Callee] = field(default_factory=dict)
    stack: list[tuple[_Callee, int]] = field(default_factory=list)
    level: int = 0


class Callees:
    """What is called below some functions.

    Args:
        names: of the functions that are opened, in full.
        depth: levels of calls below them.
        clock: gives nanoseconds.

    Raises:
        ConfigError: a name leads to no function that is written in Python.
    """

    def __init__(self, names: Sequence[str], depth: int, clock: Callable[[], int]) -> None:
        self._depth, self._clock = depth, clock
        self.functions = functions_of(names, "profile.into")
        self._opened = {name: _Opened() for name in self.functions}
        self._under_way = _Opened()
        self._ours: dict[int, tuple[CodeType, bool]] = {}

    def around(self) -> Mapping[FunctionType, Around]:
        """What is around the opened functions."""
        return {
            function: Around(*[functools.partial(self._open, self._opened[name])] * 2)
            for name, function in self.functions.items()
        }

    def take(self) -> list[dict[str, Any]]:
        """Give and forget what was called: `name`, `within`, `depth`, `calls` and `elapsed_ns`.

        `why` says why no probe reaches it, and is empty where one does. What took most time comes first; the hook has
        inflated it, so that it is good for an order alone.
        """
        rows = [
            {
                "name": f"{callee.module}.{callee.code.co_qualname}",
                "within": within,
                "depth": callee.depth,
                "calls": callee.calls,
                "elapsed_ns": callee.elapsed_ns,
                "why": _why_not_timed(callee),
            }
            for within, opened in self._opened.items()
            for callee in opened.found.values()
        ]
        self._opened = {name: _Opened() for name in self.functions}
        self._ours.clear()
        return sorted(rows, key=lambda row: (-row["elapsed_ns"], row["name"]))

    def _open(self, opened: _Opened, call: Callable[..., Any]) -> Callable[..., Any]:
        def looked_into(*args: Any, **kwargs: Any) -> Any:
            before, outer = sys.getprofile(), self._under_way
            level = opened.level
            opened.level = 0  # also where it calls itself
            self._under_way = opened
            sys.setprofile(self._see)
            try:
                return call(*args, **kwargs)
            finally:
                sys.setprofile(before)
                opened.level, self._under_way = level, outer

        return looked_into

    def _see(self, frame: FrameType, event: str, _argument: object) -> None:
        if event not in ("call", "return") or self._is_ours(frame):
            return
        opened = self._under_way
        if event == "call":
            level, opened.level = opened.level, opened.level + 1  # the opened function itself is at level 0
            if 1 <= level <= self._depth:
                callee = opened.found.get(id(frame.f_code))
                if callee is None:
                    module = str(frame.f_globals.get("__name__", ""))
                    callee = opened.found[id(frame.f_code)] = _Callee(frame.f_code, module, level)
                callee.depth = min(callee.depth, level)
                callee.calls += 1
                opened.stack.append((callee, self._clock()))
        else:
            opened.level -= 1
            if 1 <= opened.level <= self._depth and opened.stack:
                callee, began_ns = opened.stack.pop()
                callee.elapsed_ns += self._clock() - began_ns

    def _is_ours(self, frame: FrameType) -> bool:
        """Whether a frame is the instrument's own, or part of the one that it was called in."""
        code = frame.f_code
        known = self._ours.get(id(code))
        if known is None:
            module = str(frame.f_globals.get("__name__", ""))
            known = self._ours[id(code)] = (
                code,  # kept, so that no other gets its id
                code.co_name in PART_OF_ITS_FUNCTION
                or code.co_filename == OWN_FILE
                or module.partition(".")[0] == OWN_PACKAGE,
            )
        return known[1]


def functions_of(names: Iterable[str], what: str) -> dict[str, FunctionType]:
    """The functions of these names; what they are for stands in errors.

    Raises:
        ConfigError: one leads to none that is written in Python.
    """
    found = {}
    for name in names:
        held = resolve(name, what=what).function
        function = plain_function(held)
        if function is None:
            raise ConfigError(f"{what} {name!r} is {type(held).__name__}, and no function that is written in Python")
        found[name] = function
    return found


def _why_not_timed(callee: _Callee) -> str:
    """Why no probe reaches a function by its name; empty where one does."""
    name = callee.code.co_qualname
    if "<locals>" in name:
        return "it is made anew inside of another function"
    if "<" in name:
        return "it has no name"
    if callee.code.co_flags & LAZY:
        return "calling it does none of its work: it is a generator or a coroutine"
    held: Any = sys.modules.get(callee.module)
    for part in name.split("."):  # `resolve` would also look for all that hold it, in all modules
        held = inspect.getattr_static(held, part, None)
    if isinstance(held, property | functools.cached_property):
        return "it is a property, in whose place no probe can stand"
    function = plain_function(held)
    if function is None or function.__code__ != callee.code:
        return "another function stands under its name, or none"
    return ""
