"""Functions line by line, by the library line_profiler; its tracer runs only while one of them does."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError
from harness.instrument.callees import functions_of
from harness.instrument.switch import Around

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType, FunctionType

__all__ = ["LineTimes"]

LONGEST: Final = 300
"""Characters of a source line, at most."""


class LineTimes:
    """Hits and time of every line of some functions.

    Args:
        names: of the functions, in full.

    Raises:
        ConfigError: a name leads to no function that is written in Python, or line_profiler is not installed.
    """

    def __init__(self, names: Sequence[str]) -> None:
        try:
            from line_profiler import LineProfiler
        except ImportError as error:
            raise ConfigError(f"profile.lines: line_profiler cannot be imported: {error}") from error
        self.functions = functions_of(names, "profile.lines")
        self._new, self._profiler = LineProfiler, LineProfiler()
        self._of_code = {_place(function.__code__): name for name, function in self.functions.items()}

    def around(self) -> Mapping[FunctionType, Around]:
        """What is around the functions in a new pass."""
        self._profiler = self._new()
        return {function: Around(*[self._traced] * 2) for function in self.functions.values()}

    def take(self) -> list[dict[str, Any]]:
        """All lines of each function, of the pass: `name`, `line` (its number in the file), `hits`, `ns` and `text`."""
        stats = self._profiler.get_stats()
        timed: dict[str, dict[int, tuple[int, float]]] = {name: {} for name in self.functions}
        for (file, first, _), lines in stats.timings.items():
            function = self._of_code.get((file, first))
            for line, hits, ticks in lines if function is not None else ():
                timed[str(function)][line] = (hits, ticks * stats.unit * 1e9)
        return [
            {
                "name": name,
                "line": line,
                "hits": timed[name].get(line, (0, 0.0))[0],
                "ns": timed[name].get(line, (0, 0.0))[1],
                "text": text,
            }
            for name, function in self.functions.items()
            for line, text in _source(function, timed[name]).items()
        ]

    def _traced(self, call: Callable[..., Any]) -> Callable[..., Any]:
        profiler, added = self._profiler, False

        def line_by_line(*args: Any, **kwargs: Any) -> Any:
            nonlocal added
            if not added:  # the one that is called, of all that are made for a pass; it is changed, so it is ours
                profiler.add_function(call)
                added = True
            profiler.enable_by_count()
            try:
                return call(*args, **kwargs)
            finally:
                profiler.disable_by_count()

        return line_by_line


def _place(code: CodeType) -> tuple[str, int]:
    """What line_profiler tells a function by."""
    return code.co_filename, code.co_firstlineno


def _source(function: FunctionType, timed: Mapping[int, object]) -> dict[int, str]:
    """Its lines by number, without what ends them; where there is no source, those that ran, with no text."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return dict.fromkeys(sorted(timed), "")
    return {first + place: line.rstrip()[:LONGEST] for place, line in enumerate(lines)}
