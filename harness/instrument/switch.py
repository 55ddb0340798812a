"""The switch: what every arm's functions run, set for all of them before every step, also when the arm stays.

Setting a function's `__code__` reaches whoever holds the function, in modules, classes, tables and bound methods, and
leaves nothing behind for the step after it: CPython forgets what call sites had been specialised for. An attribute that
is swapped costs the step after a change of arm some 9 to 300 ns more, for 1 to 64 calls. So all are set, always, and
every arm pays the same, before the step's clock starts.

A function that only some arms can express as code (a closure, a bound method, a planted delay) gets a trampoline under
every arm, the host's own among them (`changes.code.trampoline`).
"""

from __future__ import annotations

import functools
import itertools
import statistics
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from harness.changes.code import Code, copied, frozen, trampoline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType

    Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]

__all__ = ["Around", "Placement", "Switch", "joined", "restore_all"]

_ABSENT: Final = object()
TRIES: Final = 15
CALLS: Final = 200
_numbers = itertools.count()
_bound: set[Switch] = set()
"""Switches under way: what their functions run now is not the host's own. They are kept until that is put back."""


@dataclass
class Placement:
    """What one arm puts where; the host's own stands wherever it says nothing.

    Attributes:
        functions: live functions, and what they run under this arm.
        callables: live functions, and what is called in their place.
        values: (namespace, key, value): names whose value is another one under this arm.
        checked: as `callables`, for checking passes: with tests of the arm's contract, which take time.
    """

    functions: dict[FunctionType, Code] = field(default_factory=dict)
    callables: dict[FunctionType, Callable[..., Any]] = field(default_factory=dict)
    values: list[tuple[dict[str, Any], str, Any]] = field(default_factory=list)
    checked: dict[FunctionType, Callable[..., Any]] = field(default_factory=dict)


class Around(NamedTuple):
    """What is around a function in a pass: where the step is probed, and where it is not. None for nothing."""

    probed: Wrapper | None
    bare: Wrapper | None = None


NOTHING: Final = Around(None)


def joined(inner: Wrapper | None, *outer: Wrapper) -> Wrapper | None:
    """Wrappers around one another, the last outermost; None for none."""
    all_of_them = [wrapper for wrapper in (inner, *outer) if wrapper is not None]
    return functools.partial(_wrapped, all_of_them) if all_of_them else None


def _wrapped(wrappers: Sequence[Wrapper], call: Callable[..., Any]) -> Callable[..., Any]:
    return functools.reduce(lambda inner, wrapper: wrapper(inner), wrappers, call)


class _Row(NamedTuple):
    """What is set for one arm, in one kind of step."""

    codes: list[tuple[FunctionType, CodeType, Any, Any]]
    values: list[tuple[dict[str, Any], str, Any]]


class Switch:
    """All arms over the same functions and names.

    Args:
        placements: one an arm, in the order in which schedules name them.
    """

    def __init__(self, placements: Sequence[Placement]) -> None:
        self._placements = list(placements)
        self._native: dict[FunctionType, Code] = {}
        self._own: list[dict[FunctionType, Code]] = [{} for _ in self._placements]
        for placement in self._placements:
            for function in (*placement.functions, *placement.callables):
                self.know(function)
        found = {(id(space), key): (space, key) for each in self._placements for space, key, _ in each.values}
        self._values = [(space, key, space.get(key, _ABSENT)) for space, key in found.values()]
        self._rows: list[tuple[_Row, _Row]] = []
        self._slots: list[tuple[dict[str, Any], str]] = []
        self.bound = False

    def know(self, function: FunctionType) -> None:
        """Take a function that no arm changes into what is set: something may be put around it."""
        if function not in self._native:
            self._must_be_free(function)
            self._native[function] = Code.of(function)
            for own, placement in zip(self._own, self._placements, strict=True):
                # Every arm has a code object of its own, also of what it leaves as it is: each warms up by itself.
                own[function] = placement.functions.get(function) or copied(self._native[function])

    def forget(self, function: FunctionType) -> None:
        """Leave a function alone again that no arm changes, between passes: setting it costs something at each step."""
        if function not in self.changed:
            for known in (self._native, *self._own):
                known.pop(function, None)

    @property
    def functions(self) -> tuple[FunctionType, ...]:
        """All that arms change, and all that something can be put around."""
        return tuple(self._native)

    @property
    def changed(self) -> tuple[FunctionType, ...]:
        """All that arms change."""
        named = {f: None for each in self._placements for f in (*each.functions, *each.callables)}
        return tuple(named)

    @property
    def trampolined(self) -> frozenset[FunctionType]:
        """Functions that are called through a trampoline, under every arm and in every kind of pass."""
        return frozenset(function for each in self._placements for function in each.callables)

    def codes(self, function: FunctionType) -> list[CodeType]:
        """What a function runs, under one arm or another."""
        if function not in self._native:
            return [function.__code__]
        found = [self._native[function].code, *(own[function].code for own in self._own)]
        for placement in self._placements:
            given = placement.callables.get(function)
            found += [given.__code__] if isinstance(given, FunctionType) else []
        return found

    def arms_own(self) -> frozenset[CodeType]:
        """Code that only an arm runs, and not the host by itself."""
        given = [code for each in self._placements for code, _, _ in each.functions.values()]
        calls = [call for each in self._placements for call in each.callables.values()]
        calls += [value for each in self._placements for _, _, value in each.values]
        return frozenset([*given, *(call.__code__ for call in calls if isinstance(call, FunctionType))])

    @property
    def places(self) -> frozenset[tuple[int, str]]:
        """The names whose value arms change: the namespace by its id, and the key."""
        return frozenset((id(space), key) for space, key, _ in self._values)

    @property
    def named(self) -> dict[FunctionType, str]:
        """The functions that stand under names whose value arms change, each with such a name; native's as well."""
        places = [*self._values, *(place for each in self._placements for place in each.values)]
        return {
            value: f"{space['__name__']}.{key}"
            for space, key, value in places
            if isinstance(value, FunctionType) and "__name__" in space
        }

    def bind(self, around: Mapping[FunctionType, Around], of_values: Around = NOTHING, checking: bool = False) -> None:
        """Prepare what is set in this pass.

        Args:
            around: what is around functions.
            of_values: what is around values that arms switch and that can be called.
            checking: take what checks the arms' contracts.
        """
        for function in self._native:
            self._must_be_free(function)
        self.bound = True
        _bound.add(self)
        names = {function: f"_harness_{next(_numbers)}" for function in self._native}
        jumps = {function: trampoline(function, name) for function, name in names.items()}
        self._slots = [(function.__globals__, name) for function, name in names.items()]
        through = self.trampolined

        def row(arm: int, wrapper_of: Callable[[FunctionType], Wrapper | None], wrap_values: Wrapper | None) -> _Row:
            placement = self._placements[arm]
            given = {**placement.callables, **(placement.checked if checking else {})}
            codes: list[tuple[FunctionType, CodeType, Any, Any]] = []
            of_arm = {(id(space), key): value for space, key, value in placement.values}
            values = [
                (space, key, _through(of_arm.get((id(space), key), value), wrap_values))
                for space, key, value in self._values
            ]
            for function, own in self._own[arm].items():
                wrapper = wrapper_of(function)
                if wrapper is None and function not in through:
                    codes.append((function, *own))
                    continue
                call = given.get(function) or frozen(function, own)
                codes.append((function, *jumps[function]))
                values.append((function.__globals__, names[function], call if wrapper is None else wrapper(call)))
            return _Row(codes, values)

        self._rows = [
            (
                row(arm, lambda function: around.get(function, NOTHING).bare, of_values.bare),
                row(arm, lambda function: around.get(function, NOTHING).probed, of_values.probed),
            )
            for arm in range(len(self._placements))
        ]

    def put(self, arm: int, probed: bool) -> None:
        """Have everything run as under this arm."""
        codes, values = self._rows[arm][probed]
        for space, key, value in values:
            if value is _ABSENT:
                space.pop(key, None)
            else:
                space[key] = value
        for function, code, defaults, kwdefaults in codes:
            function.__code__ = code
            function.__defaults__ = defaults
            function.__kwdefaults__ = kwdefaults

    def costs(self, clock: Callable[[], int]) -> dict[str, float]:
        """What the switch itself costs here: nanoseconds before each step, and of a call through a trampoline."""
        self.bind({})
        try:
            put_ns = _median_ns(clock, lambda: self.put(0, False))
        finally:
            self.restore()
        namespace = {"slot": _nothing}
        jump = FunctionType(_nothing.__code__, namespace)
        trampoline(jump, "slot").put(jump)
        return {
            "put_ns": put_ns,
            "trampoline_ns": max(_median_ns(clock, jump) - _median_ns(clock, _nothing), 0.0),
        }

    def restore(self) -> list[str]:
        """Put the host's own back; gives the names of what somebody else has changed meanwhile, and is left so."""
        if not self.bound:
            return []
        rows = [row for of_arm in self._rows for row in of_arm]
        codes = {(function, id(code)) for row in rows for function, code, _, _ in row.codes}
        values = {(id(space), key, id(value)) for row in rows for space, key, value in row.values}
        strange = []
        for function, native in self._native.items():
            if function.__code__ is native.code or (function, id(function.__code__)) in codes:
                native.put(function)
            if not native.is_in(function):
                strange.append(function.__qualname__)
        for space, key, value in self._values:
            held = space.get(key, _ABSENT)
            if held is not value and (id(space), key, id(held)) not in values:
                strange.append(key)
            elif value is _ABSENT:
                space.pop(key, None)
            else:
                space[key] = value
        for space, name in self._slots:
            space.pop(name, None)
        self._rows, self._slots = [], []
        self.bound = False
        _bound.discard(self)
        return strange

    def _must_be_free(self, function: FunctionType) -> None:
        if any(function in other.functions for other in _bound if other is not self):
            raise RuntimeError(f"{function.__qualname__} is being switched; end that pass before")


def _through(value: Any, wrapper: Wrapper | None) -> Any:
    return wrapper(value) if wrapper is not None and callable(value) else value


def _median_ns(clock: Callable[[], int], call: Callable[[], Any]) -> float:
    """Of one call, in a hot loop."""
    found = []
    for _ in range(TRIES):
        begun = clock()
        for _ in range(CALLS):
            call()
        found.append((clock() - begun) / CALLS)
    return statistics.median(found)


def _nothing() -> None: ...


def restore_all() -> None:
    """Put the host's own back wherever a pass was not ended."""
    for switch in list(_bound):
        switch.restore()
