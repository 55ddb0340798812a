"""The probes of one instrument: what each is bound to, and how it is bound for a pass and for a step's scope."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from harness.changes.code import plain_function
from harness.errors import ConfigError
from harness.instrument.switch import Around
from harness.instrument.targets import Target, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import FunctionType

    from harness.instrument.ledger import Ledger
    from harness.instrument.leftovers import Leftovers

__all__ = ["Probes"]


class Probes:
    """Timers by name. A function that arms change is timed by the switch, whoever holds it; any other by its holders.

    Args:
        names: dotted names, or `own` for what the seam swaps.
        ledger: times their calls, under slots from 1 on.
        changed: the functions that arms change.
        scope: the functions of the scope. A probe of one stands inside of it, also where a decorator is around both: it
            would find no scope open from outside.
        own: the seam's short name for the functions in `swapped`; empty where there is no seam.
        swapped: what the seam, or `swap`, names.
        places: names whose value arms change, as `Switch.places`.

    Attributes:
        ledger: what calls are noted by, from the next pass on.

    Raises:
        ConfigError: a probe stands twice, or would take such a name from the arms.
    """

    def __init__(
        self,
        names: Sequence[str],
        ledger: Ledger,
        changed: Sequence[FunctionType],
        scope: Sequence[FunctionType],
        own: str,
        swapped: Sequence[FunctionType],
        places: Collection[tuple[int, str]] = (),
    ) -> None:
        self.ledger: Ledger | Leftovers = ledger
        self.names = list(names)
        self.own_slot = 0
        self._by_holders: list[tuple[int, Target]] = []
        self._by_switch: dict[FunctionType, int] = {}
        self._wrappers: list[Any] = []
        self._modules = 0
        known: list[tuple[str, Target | None, FunctionType | None]] = []
        for slot, name in enumerate(names, start=1):
            target = None if own and name == own else resolve(name)
            function = None if target is None else plain_function(target.function)
            at_seam = target is None or (function is not None and function in swapped)
            if at_seam and own:
                function = swapped[0] if swapped else None
            for other, its_target, its_function in known:
                alike = target is not None and its_target is not None and target.is_same(its_target)
                if (
                    alike
                    or (at_seam and function is not None and function is its_function)
                    or (target is None and its_target is None)
                ):
                    raise ConfigError(f"probes: {other} and {name} are the same function; name it once")
            known.append((name, target, function))
            if at_seam and own:
                self.own_slot = slot
                self._by_switch |= dict.fromkeys(swapped, slot)
            elif function is not None and (
                function in scope or (function in changed and target is not None and target.function is function)
            ):
                self._by_switch[function] = slot
            elif target is not None:
                if taken := [key for space, key in target.module_slots if (id(space), key) in places]:
                    raise ConfigError(
                        f"probes: {name}: arms change what stands under the name {taken[0]}: leave it out"
                    )
                self._by_holders.append((slot, target))

    @property
    def functions(self) -> dict[str, Any]:
        """What is looked for in counting passes, by name: functions that are not timed by the switch."""
        return {target.name: target.function for _, target in self._by_holders}

    @property
    def around(self) -> Mapping[FunctionType, Around]:
        """What the switch puts around functions where a step is probed."""
        ledger = self.ledger
        return {
            function: Around(lambda call, slot=slot: ledger.probe(slot, call))  # type: ignore[misc]
            for function, slot in self._by_switch.items()
        }

    def around_own(self) -> Around:
        """What is around what a seam's object holds itself, where no function of the host is swapped."""
        ledger, slot = self.ledger, self.own_slot
        return Around((lambda call: ledger.probe(slot, call)) if slot else None)

    def bind(self) -> tuple[Callable[[], None], Callable[[], None]]:
        """Put methods' timers on their classes; gives what binds all others when the scope opens, and what unbinds."""
        self._modules = len(sys.modules)
        module_slots = []
        for slot, target in self._by_holders:
            wrapper = self.ledger.probe(slot, target.function)
            self._wrappers.append(wrapper)
            module_slots += [(*place, wrapper, target.function) for place in target.module_slots]
            if target.owner is not None:
                target.replace_attribute(wrapper)

        def open_scope() -> None:
            for namespace, key, wrapper, _ in module_slots:
                namespace[key] = wrapper

        def close_scope() -> None:
            for namespace, key, _, original in module_slots:
                namespace[key] = original

        return open_scope, close_scope

    def restore(self) -> list[str]:
        """Put everything back; gives the names of what could not be put back."""
        imported, unrestored = len(sys.modules) != self._modules, []
        for _, target in self._by_holders:
            target.restore_attribute()
            unrestored += target.restore_module_slots(self._wrappers)
            if imported:
                target.restore_late_imports(self._wrappers)
        self._wrappers = []
        return unrestored
