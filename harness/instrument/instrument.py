"""The instrument: bound to one model runner, it switches arms between steps and times what happens in the scope.

Everything is bound when a pass begins and put back, by identity, when it ends; between passes the engine is
as it was found.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

from harness import signals
from harness.errors import told_with_place
from harness.instrument.arms import Faults
from harness.instrument.beside import Beside
from harness.instrument.bindings import Bindings
from harness.instrument.calibration import Calibration, calibrate
from harness.instrument.checked_steps import CheckedSteps
from harness.instrument.counting import Counter
from harness.instrument.device import DeviceClock, Synchronisations, on_cuda, synchronizer
from harness.instrument.events import freeze_heap
from harness.instrument.every_call import EveryCall
from harness.instrument.global_state import put_back, snapshot
from harness.instrument.instrumentation import ArmSpec
from harness.instrument.ledger import Ledger
from harness.instrument.leftovers import COUNTED
from harness.instrument.limit import Limit
from harness.instrument.loops import Loop, loop_of
from harness.instrument.placing import Placer
from harness.instrument.pristine import reset, reset_after
from harness.instrument.probes import Probes
from harness.instrument.pulse import Pulse
from harness.instrument.scope_timing import TIMING_SCOPE, OfScope, nothing
from harness.instrument.scopes import AUTO, JOIN, parts, scope_functions
from harness.instrument.spans import Spans
from harness.instrument.step_timer import COUNTING, StepTimer
from harness.instrument.switch import Around, Switch
from harness.instrument.targets import live_functions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FunctionType

    from harness.instrument.digests import Row
    from harness.instrument.instrumentation import Instrumentation
    from harness.instrument.pass_kinds import PassKind

__all__ = ["Instrument", "name_of"]


class Instrument:
    """Probes, switch and step timer for one model runner.

    Args:
        runner: vLLM's model runner (or anything with the same methods and state).
        instrumentation: what is swapped and timed.
        clock: gives nanoseconds.
        loop: how the runner goes through a step; found automatically for vLLM's V1 and V2 runners.
        cpu_clock: gives the nanoseconds for which this thread has had a processor.

    Attributes:
        beside: what passes of kinds "look", "lines", "blocks" and "tracked" need.
    """

    def __init__(
        self,
        runner: Any,
        instrumentation: Instrumentation,
        clock: Callable[[], int] = time.perf_counter_ns,
        loop: Loop | None = None,
        cpu_clock: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self._loop = loop or loop_of(runner)
        self._clock, self._cpu_clock = clock, cpu_clock
        arms = [ArmSpec(*arm) for arm in instrumentation.arms]
        self.arm_names = [arm.name for arm in arms]
        self._failure: dict[str, Any] | None = None
        self._pulse = Pulse(instrumentation.pulse)
        self._limit = Limit(instrumentation.step_timeout_s, self._pulse)
        self._faults = Faults(lambda name: self._limit.loading(self.arm_names.index(name)))
        self._placer = Placer(runner, self._loop, instrumentation, self._faults, self._on_error, clock)
        try:
            self._prepare(arms, instrumentation)
        except BaseException:
            self.remove()  # nobody has the instrument yet who could
            raise

    def _prepare(self, arms: Sequence[ArmSpec], instrumentation: Instrumentation) -> None:
        self._switch = Switch([self._placer.place(arm) for arm in arms])
        for function in self._placer.functions:  # also where every arm leaves it as it is
            self._switch.know(function)
        self._watched = list(live_functions(instrumentation.watched))
        for function in self._watched:
            self._switch.know(function)
        self._limit.arms_own = self._switch.arms_own()
        runner, clock, cpu_clock = self._loop.runner, self._clock, self._cpu_clock
        self._ledger = Ledger(clock, synchronizer(runner) if instrumentation.sync else None, cpu_clock)
        self.beside = Beside(self._switch, clock)
        self._ranged = instrumentation.nvtx
        self._synchronisations = Synchronisations() if on_cuda(runner) else None
        self.focus(instrumentation.scope, instrumentation.probes)
        freeze_heap()
        self._checked = CheckedSteps(self._loop, self._placer, self._switch, self._changed, instrumentation.left_out)
        self._device = DeviceClock()
        self._spans = Spans(clock)
        self._bindings = Bindings()
        self._shared = snapshot()
        self._not_reset = ""
        self._collects = True
        self._timer = StepTimer(
            self._loop, self._ledger, self._switch, self._pulse, self._spans, self._checked, self._device,
            clock, cpu_clock,
        )  # fmt: skip
        self._forget()

    def focus(self, scope: str, probes: Sequence[str]) -> None:
        """Time these from the next pass on. A scope of `auto` is nothing yet: the checking passes find it."""
        self._scope = scope
        self._scope_functions = [] if scope == AUTO else scope_functions(self._loop.runner, scope)
        for function in self._scope_functions:
            self._switch.know(function)
        placer = self._placer
        self._probes = Probes(
            probes, self._ledger, self._switch.changed, self._scope_functions, placer.short_name, placer.functions,
            self._switch.places,
        )  # fmt: skip
        self.probe_names = self._probes.names
        self._counter = Counter(self._synchronisations, EveryCall(self._probes.functions))

    @property
    def _changed(self) -> dict[str, FunctionType]:
        """The functions that arms change, by their full names."""
        changed = dict.fromkeys([*self._placer.functions, *self._switch.changed, *self._watched])
        return {f"{function.__module__}.{function.__qualname__}": function for function in changed}

    def calibrate(self) -> Calibration:
        """Cost of an empty probe, in this process and now."""
        return calibrate(self._clock)

    def describe(self) -> dict[str, Any]:
        """What is switched, for run.json."""
        through = self._switch.trampolined
        return {
            "functions": sorted(self._changed),
            "trampolines": sorted(name for name, function in self._changed.items() if function in through),
            "turns": self._loop.turn is not None,
            "turn": name_of(self._loop.turn),
            **self._switch.costs(self._clock),
            "arms": self._placer.describe(),
        }

    # A pass: begin, then the engine steps by itself, then end.

    def begin(self, kind: PassKind, schedule: Sequence[int], probed: Sequence[bool] = ()) -> None:
        """Bind everything for one pass.

        Args:
            kind: what is timed.
            schedule: step i runs arm `schedule[i]`; further steps run the last one.
            probed: in a mixed pass or one of kind "probing", whether step i is probed; further steps are as the last
                one. A method probe stays on its class in the other steps of such a pass, where it passes calls
                straight on.
        """
        if self.under_way:
            raise RuntimeError("a pass is under way; end it before the next one begins")
        self._forget()
        probing = list(probed) if kind in ("mixed", "probing") else [kind in ("probed", "trace", *COUNTED)]
        self.beside.begin(kind, 1 + len(self.probe_names))
        self._probes.ledger = self.beside.leftovers or self._ledger
        self._timer.begin(kind, list(schedule), probing, self.beside.leftovers or self._counter)
        why_not = reset(self._loop.core, self._loop.runner, backwards=kind == "soil")
        self._not_reset = self._not_reset or why_not
        self._placer.empty_caches()
        self._collects = gc.isenabled()
        if kind in COUNTING:
            gc.disable()  # so that what the collector tracks can be counted
        gc.collect()  # every pass starts from the same heap; collections inside it are counted
        if self.beside.leftovers is not None:
            self.beside.leftovers.ready(self._timer.steps)
        bind = self._bindings.bind
        for site in self._placer.sites:
            for owner, method, watched in site.watches():
                bind(owner, method, watched(getattr(owner, method)))
        # Before the loop's own methods are bound, which may be probed as well.
        opening = self._probes.bind() if any(probing) else (nothing, nothing)
        through = self._counter.counted if kind == "count" else _unchanged
        ending = self._device.ending if kind == "device" else _unchanged
        (owner, method), last = self._loop.execute, self._loop.sample
        call = through(getattr(owner, method))
        bind(owner, method, self._timer.execute(call if last is not None else ending(call)))
        if last is not None:
            owner, method = last
            bind(owner, method, self._timer.sample(ending(through(getattr(owner, method)))))
        if self._loop.turn is not None:
            owner, method = self._loop.turn
            bind(owner, method, self._timer.turn(getattr(owner, method)))
        of_values = self._probes.around_own()
        if kind == "check":
            self._checked.begin(self._bindings)
            of_values = self._checked.around_values()
        self._switch.bind(self._around(opening), of_values, checking=kind == "check")
        if kind == "trace":
            self._spans.open()
        self._shared = snapshot()
        self._limit.begin()
        self._switch.put(schedule[0], probing[0])  # requests arrive under the first step's arm

    def _around(self, opening: tuple[Callable[[], None], Callable[[], None]]) -> dict[FunctionType, Around]:
        """What is around functions in this pass; `opening` binds the probes where the scope opens, and unbinds them."""
        kind, timed = self._timer.kind, any(self._timer.probing)
        found = self._checked.around() if kind == "check" else {**self.beside.around()}
        if timed:
            found |= self._probes.around
        of_scope = OfScope(kind, timed, self._probes.ledger, opening, self._scope if self._ranged else "")
        for function in self._scope_functions:
            found[function] = of_scope.around(found.get(function, Around(None)), self._counter, self._device)
        return found

    def end(self, cut: bool = False) -> dict[str, Any]:
        """Put everything back, and give the pass's columns, failure, mismatches and what could not be put back.

        After a checking pass, unless it was `cut` short, also why the engine cannot be put in its first state.
        """
        self._limit.end()
        changed = put_back(self._shared)
        if self._collects:
            gc.enable()
        self._spans.close()
        unrestored = self._switch.restore() + self._bindings.restore() + self._probes.restore()
        timer, steps = self._timer, self._timer.steps
        steps.close()
        checking, foreign_calls = timer.kind == "check", self._ledger.foreign_calls
        columns, marks = steps.columns(), steps.marks
        counted, found = self.beside.end(["scope", *self.probe_names])
        if counted:
            columns |= {name: counts[: len(marks)] for name, counts in counted.items()}
        elif any(timer.probing) or timer.kind in TIMING_SCOPE:
            if timer.kind == "trace":
                self._spans.add_calls(self._ledger.calls(marks), [JOIN.join(parts(self._scope)), *self.probe_names])
            columns |= steps.settled(["scope", *self.probe_names])
        self._ledger.reset()
        if timer.kind == "count":
            columns |= {name: counts[: len(marks)] for name, counts in self._counter.take().items()}
        elif timer.kind == "device":
            columns |= {name: times[: len(marks)] for name, times in self._device.take().items()}
        return {
            "columns": columns,
            "failure": None if checking else self._failure,
            "mismatches": self._mismatches(columns["arm"], changed) if checking else [],
            "changed": [] if checking else changed,
            "watched": self._checked.seen(len(marks)) if checking else {},
            "unrestored": unrestored,
            "not_reset": reset_after(self._loop.core, self._loop.runner) if checking and not cut else "",
            "spans": self._spans.take(),
            "found": found,
            "other_threads": foreign_calls,
        }

    def _mismatches(self, arms: Sequence[int], changed: Sequence[str]) -> list[dict[str, Any]]:
        names, native = [self.arm_names[arm] for arm in arms], self.arm_names[0]
        return self._checked.mismatches(names, native, self._faults.told, self._failure, changed)

    @property
    def checked(self) -> dict[str, Any]:
        """How much checking passes compare, and why the engine was not in its first state before each pass."""
        facts = self._checked.facts
        return facts and {**facts, "not_reset": self._not_reset}

    @property
    def fingerprint(self) -> list[Row]:
        """What native served in its last checking pass, as text."""
        return self._checked.reference

    def remove(self) -> None:
        """Take away what arms added to the host's modules, before another instrument is made."""
        self._placer.remove()

    @property
    def under_way(self) -> bool:
        """Whether a pass has begun and not ended."""
        return bool(self._bindings) or self._switch.bound

    def _forget(self) -> None:
        """Forget whatever a pass that was cut short has left."""
        self._failure = None
        self._counter.take()
        self._device.forget()
        self._checked.forget()

    def _on_error(self, error: BaseException) -> None:
        if signals.came():  # it is not of the arm's making
            raise error
        if self._failure is None:
            step = max(self._timer.step, 0) if self._loop.turn is None else self._timer.step
            self._failure = {"arm": self.arm_names[self._timer.arm], "step": step, "error": told_with_place(error)}


def name_of(place: tuple[Any, str] | None) -> str:
    """The full name of the method that is called there; empty where there is none."""
    function = getattr(getattr(*place), "__func__", None) if place is not None else None
    return "" if function is None else f"{function.__module__}.{function.__qualname__}"


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function
