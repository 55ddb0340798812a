"""Every call of a probed function in the scope, whoever holds it: what a probe did not see is told by this.

A probe replaces a function under the names that hold it, in modules and classes. A default argument, a closure, a table
or a bound method that was kept earlier holds the function itself, and goes around the probe. Python's profiling hook
(`sys.setprofile`) sees those calls as well. It costs far too much to be timed, so it is set in counting passes alone.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import CodeType, FrameType

__all__ = ["EveryCall"]


class EveryCall:
    """Counts calls of functions by what is called, and not by the name that it is called by.

    Functions of Python are told by their code, those made by one decorator by what they close over; built-in ones by
    themselves. Other callables (`functools.lru_cache`, `torch.jit`) cannot be told, and are left out. Calls that
    built-in code makes of built-in functions (`map(torch.tensor, ...)`) are not seen.

    Args:
        functions: by name, such as a probe's.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._of_code: dict[CodeType, list[tuple[str, dict[str, Any]]]] = {}
        self._built_in: dict[Any, str] = {}
        for name, function in functions.items():
            if isinstance(function, FunctionType):
                self._of_code.setdefault(function.__code__, []).append((name, _closed_over(function)))
            elif isinstance(function, BuiltinFunctionType):
                self._built_in[function] = name
        known = [name for same in self._of_code.values() for name, _ in same] + list(self._built_in.values())
        self.names = [name for name in functions if name in known]
        self._steps: list[dict[str, int]] = []

    def begin_step(self) -> None:
        """What follows belongs to a new step."""
        self._steps.append(dict.fromkeys(self.names, 0))

    def take(self) -> dict[str, list[int]]:
        """Give one list a function, one entry a step, and forget them."""
        steps, self._steps = self._steps, []
        return {name: [step[name] for step in steps] for name in self.names}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the calls of this thread while this is entered; a profiler that was there rests meanwhile."""
        before = sys.getprofile()
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _see(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self._steps:
            return
        if event == "call":
            for name, closed_over in self._of_code.get(frame.f_code, ()):
                if not closed_over or _closes_over(frame, closed_over):
                    self._steps[-1][name] += 1
        elif event == "c_call" and isinstance(argument, BuiltinFunctionType):
            built_in = self._built_in.get(argument)
            if built_in is not None:
                self._steps[-1][built_in] += 1


def _closed_over(function: FunctionType) -> dict[str, Any]:
    """What a function closes over, by name; variables that have no value yet are left out."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # empty
            continue
    return found


def _closes_over(frame: FrameType, expected: dict[str, Any]) -> bool:
    local = frame.f_locals
    return all(local.get(name) is value for name, value in expected.items())
