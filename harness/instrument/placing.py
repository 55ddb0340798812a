"""From arms to what the switch puts: of a seam's adapter, of a drop-in, or of a folder of changed files."""

from __future__ import annotations

import functools
import importlib
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.changes.adding import Additions, is_cache
from harness.changes.build import build
from harness.changes.code import Code, frozen, plain_function
from harness.changes.drop_in import drop_in, why_other_signature
from harness.changes.live import LiveRefusal, innermost
from harness.changes.sources import files_in
from harness.errors import ConfigError, GrainError
from harness.instrument.arms import load_arm, load_object
from harness.instrument.callees import functions_of
from harness.instrument.device import ranged
from harness.instrument.planting import plant
from harness.instrument.switch import Placement
from harness.instrument.targets import resolve
from harness.seams import SEAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FunctionType

    from harness.changes.build import Built
    from harness.instrument.arms import Faults
    from harness.instrument.instrumentation import ArmSpec, Instrumentation
    from harness.instrument.loops import Loop

    Call = Callable[..., Any]

__all__ = ["Placer"]

PACKAGE: Final = "vllm"
MOST_TOLD: Final = 5
"""Reasons that one message has."""
OF_CORE: Final = ("vllm.v1.core.", "vllm.v1.engine.")
"""Modules whose code runs in the engine core's process, and not in a worker's."""
APART: Final = (
    "it lies in the engine core, which is in another process than its workers; set host.process: in_process, and leave "
    "tensor_parallel_size and pipeline_parallel_size at 1"
)


class Placer:
    """Loads arms, one by one, and gives what each puts where.

    Args:
        runner: vLLM's model runner.
        loop: how it goes through a step.
        instrumentation: names the seam, or the function that drop-ins replace.
        faults: takes what an arm's code raises while it is loaded; the host's own then stands in its place.
        on_error: is given what an arm raises in a step, where the host's own can do that step instead.
        clock: for planted delays.
    """

    def __init__(
        self,
        runner: Any,
        loop: Loop,
        instrumentation: Instrumentation,
        faults: Faults,
        on_error: Callable[[BaseException], None],
        clock: Callable[[], int],
    ) -> None:
        self._faults, self._on_error, self._clock = faults, on_error, clock
        self._nvtx, self._at = instrumentation.nvtx, instrumentation.seam or instrumentation.swap
        self.sites: list[Any] = []
        self.functions: list[FunctionType] = []
        self.short_name = ""
        self.built: dict[str, Built] = {}
        self._loop, self._additions = loop, Additions()
        self._caches: dict[str, Any] = {}
        if instrumentation.seam:
            seam = SEAMS[instrumentation.seam]
            self.short_name = seam.probe
            self.sites = importlib.import_module(seam.place(loop.generation, type(runner)).module).sites(runner)
            self.functions = list(dict.fromkeys(site.function for site in self.sites if site.function is not None))
        elif instrumentation.swap:
            self.functions = [_swapped(instrumentation.swap)]
            if loop.core is None and self.functions[0].__module__.startswith(OF_CORE):
                raise ConfigError(f"swap {instrumentation.swap!r}: {APART}")

    def place(self, arm: ArmSpec) -> Placement:
        """What an arm puts where."""
        if arm.folder:
            return self._changed(arm)
        if arm.at:
            return self._behind(arm)
        if self.sites:
            return self._at_seam(arm)
        placement = self._drop_in(arm) if arm.reference else Placement()
        if arm.delay_ns is None and not self._nvtx:
            return placement
        for function in self.functions:  # one, or none where nothing is swapped
            call = placement.callables.get(function) or frozen(function, placement.functions.pop(function, None))
            placement.callables[function] = self._around(arm)(call)
        return placement

    def describe(self) -> dict[str, Any]:
        """What each arm of changed files puts, adds and cannot put, for run.json."""
        return {
            name: {
                "swapped": sorted(built.names.values()),
                "called_through": sorted(built.names[function] for function in built.callables),
                "values": sorted(f"{space.get('__name__', '')}.{key}" for space, key, _ in built.values),
                "added": list(built.added),
                "left": [
                    {"name": change.full_name, "why": change.why}
                    for change in built.changes
                    if change.grain == "nothing"
                ],
            }
            for name, built in self.built.items()
        }

    def remove(self) -> None:
        """Take away what arms added to the host's modules."""
        for built in self.built.values():
            built.remove()
        self._additions.remove()

    @property
    def makers(self) -> set[type]:
        """Classes whose `__init__` an arm changes: none of their objects may outlive a step."""
        return {each for built in self.built.values() for each in built.makers}

    @property
    def imported(self) -> list[str]:
        """Changed modules that have been imported since they were set aside: as they are installed."""
        return sorted({name for built in self.built.values() for name in built.imported})

    def empty_caches(self) -> None:
        """Forget what arms have cached, so that every pass begins alike."""
        for cached in self._caches.values():
            cached.cache_clear()

    def hits(self) -> dict[str, int]:
        """How often arms found something in their caches since these were emptied, by the cache's name."""
        return {name: int(cached.cache_info().hits) for name, cached in self._caches.items()}

    def spoiling(self, function: FunctionType) -> Callable[[Call], Call] | None:
        """What is around a seam's function in checking passes, so that what an arm leaves unwritten is seen.

        Else there might still lie what native wrote, in the pass before or for another step.
        """
        sites = {id(site.owner): site for site in self.sites if site.function is function and hasattr(site, "spoil")}
        if not sites:
            return None

        def spoiled(call: Call) -> Call:
            def spoil(owner: Any, *args: Any, **kwargs: Any) -> Any:
                if (site := sites.get(id(owner))) is not None:
                    site.spoil(*args, **kwargs)
                return call(owner, *args, **kwargs)

            return spoil

        return spoiled

    def _around(self, arm: ArmSpec) -> Callable[[Call], Call]:
        name = f"harness: {self._at}={arm.name}"
        return lambda call: (
            ranged(name, plant(call, arm.delay_ns, self._clock))
            if self._nvtx
            else plant(call, arm.delay_ns, self._clock)
        )

    def _behind(self, arm: ArmSpec) -> Placement:
        """A delay behind a function that no arm changes."""
        function = functions_of([arm.at], "a delay behind")[arm.at]
        return Placement(callables={function: self._around(arm)(frozen(function))})

    def _at_seam(self, arm: ArmSpec) -> Placement:
        own: Any = None
        if arm.reference:
            own = self._faults.of(arm.name, functools.partial(load_arm, arm.name, arm.reference))
        if own is None and arm.delay_ns is None and not self._nvtx:
            return Placement()

        def implement(site: Any, strict: bool) -> Call:
            made = own and self._faults.of(arm.name, lambda: site.implement(own, self._on_error, strict=strict))
            call: Call = made or site.native
            return call

        placement, around = Placement(), self._around(arm)
        for site in self.sites:
            if site.function is None:
                placement.values.append((vars(site), site.attribute, around(implement(site, False))))
        for function in self.functions:
            of_it = [site for site in self.sites if site.function is function]
            for strict, calls in ((False, placement.callables), (True, placement.checked)):
                calls[function] = around(
                    _dispatched(function, [(site.owner, implement(site, strict)) for site in of_it])
                )
        return placement

    def _drop_in(self, arm: ArmSpec) -> Placement:
        (function,) = self.functions
        own = self._faults.of(arm.name, functools.partial(load_object, arm.reference))
        if own is None:
            return Placement()
        if not callable(own) or isinstance(own, type):
            raise ConfigError(
                f"arm {arm.name!r}: {arm.reference} is no function; a drop-in is one, as what it replaces"
            )
        if why := why_other_signature(function, own):
            raise ConfigError(f"arm {arm.name!r}: {why}")
        self._caches |= {
            f"{arm.name}: {name}": held
            for name, held in getattr(own, "__globals__", {}).items()
            if is_cache(held) and held.__module__ == own.__module__
        }
        placed = drop_in(function, own, self._additions)
        if isinstance(placed, Code):
            return Placement(functions={function: placed})
        return Placement(callables={function: placed})

    def _changed(self, arm: ArmSpec) -> Placement:
        """Of a folder of changed files: all of them, or none.

        Raises:
            GrainError: something of it cannot be switched in this engine.
        """
        root = Path(str(sys.modules[PACKAGE].__file__)).parents[1]
        built = self.built[arm.name] = build(arm.name, files_in(Path(arm.folder), root), root, arm.only)
        reasons = [f"{change.full_name}: {change.why}" for change in built.refused]
        if self._loop.core is None:
            reasons += [
                f"{name}: {APART}" for function, name in built.names.items() if function.__module__.startswith(OF_CORE)
            ]
        if reasons:
            built.remove()
            told = "; ".join(reasons[:MOST_TOLD]) + (
                f"; and {len(reasons) - MOST_TOLD} more" if len(reasons) > MOST_TOLD else ""
            )
            raise GrainError(f"arm {arm.name!r} cannot be switched between steps: {told}")
        self._caches |= {f"{arm.name}: {name}": cached for name, cached in built.caches.items()}
        return Placement(dict(built.functions), dict(built.callables), list(built.values))


def _swapped(name: str) -> FunctionType:
    held = resolve(name, what="swap").function
    function = plain_function(held)
    try:
        innermost(held)
    except LiveRefusal as refusal:
        raise ConfigError(f"swap {name!r} {refusal}") from refusal
    if function is None:
        raise ConfigError(f"swap {name!r} is {type(held).__name__}, and no function that is written in Python")
    return function


def _dispatched(function: FunctionType, made: Sequence[tuple[Any, Call]]) -> Call:
    """What is called in the place of a method that several objects share: each object's own, and else the host's."""
    if isinstance(made[0][0], types.ModuleType):
        return made[0][1]
    native = frozen(function)
    of = {id(owner): call for owner, call in made}  # the owners live as long as their runner

    def dispatch(owner: Any, *args: Any, **kwargs: Any) -> Any:
        call = of.get(id(owner))
        return native(owner, *args, **kwargs) if call is None else call(*args, **kwargs)

    return dispatch
