"""What a checking pass sees of the functions that arms change: their calls, what these were given and gave, and where.

Every call is seen, whoever holds the function, since the function itself leads here.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections import Counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

from harness.instrument.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from harness.instrument.phases import Phases
    from harness.instrument.switch import Wrapper

__all__ = ["Watching"]


class Watching:
    """Counts calls step by step, and hands each on to be recorded.

    Args:
        functions: by the name that is shown.
        record: is given name, arguments, keyword arguments and result of each call of a function in `whole`.
        whole: functions that arms replace by name, so that what they are given and give is compared. A patch may change
            what its own functions say to each other, as long as the step is the same.
    """

    def __init__(
        self, functions: Mapping[str, FunctionType], record: Callable[..., None], whole: Collection[FunctionType]
    ) -> None:
        self._names: dict[Any, str] = {function: name for name, function in functions.items()}
        self._record = record
        self._whole = {name for name, function in functions.items() if function in whole}
        self._steps: list[Counter[str]] = []
        self._before: Counter[str] = Counter()
        self._phases: dict[str, Counter[str]] = {}
        self._thread = 0
        self.on_other_threads: Counter[str] = Counter()
        self.where: Phases | None = None

    def begin_step(self) -> None:
        """What follows belongs to a new step, of this thread."""
        self._steps.append(Counter())
        self._thread = threading.get_ident()

    def around(self, function: FunctionType) -> Wrapper:
        """What is put around a function."""
        return functools.partial(self._watched, self._names[function])

    def around_name(self, name: str) -> Wrapper:
        """What is put around something that has no function of its own."""
        self._names.setdefault(name, name)
        return functools.partial(self._watched, name)

    def around_named(self, named: Mapping[FunctionType, str]) -> Wrapper:
        """What is put around values, of which these functions are watched, under these names."""
        self._names |= {name: name for name in named.values()}

        def wrapper(value: Callable[..., Any]) -> Callable[..., Any]:
            name = named.get(value) if isinstance(value, FunctionType) else None
            return value if name is None else functools.update_wrapper(self._watched(name, value), value)

        return wrapper

    def take(self, count: int = 0) -> dict[str, Any]:
        """Give the calls in each step by function, those before the first, and in which phases they lay; forget them.

        Args:
            count: how many steps there were; what was begun beyond them belongs to the last.
        """
        steps, self._steps = self._steps[:count], self._steps[count:]
        for beyond in self._steps if steps else ():
            steps[-1].update(beyond)
        self._steps = []
        phases, self._phases = self._phases, {}
        before, self._before = self._before, Counter()
        threads, self.on_other_threads = self.on_other_threads, Counter()
        return {
            "calls": {name: [step[name] for step in steps] for name in self._names.values()},
            "calls_before": dict(before),
            "phases": {name: dict(found) for name, found in phases.items()},
            "on_other_threads": dict(threads),
        }

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                if self._thread:
                    self.on_other_threads[name] += 1
                return call(*args, **kwargs)
            if not self._steps:
                self._before[name] += 1  # as requests arrive
            else:
                self._steps[-1][name] += 1
                if self.where is not None:
                    phase = name if name in PHASES else self.where.of(sys._getframe(1))
                    self._phases.setdefault(name, Counter())[phase] += 1
            result = call(*args, **kwargs)
            if name in self._whole:
                self._record(name, args, kwargs, result)
            return result

        return watched
