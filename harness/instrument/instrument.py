"""The instrument: bound to one model runner, it switches arms between steps and times what happens in the scope.

Everything is bound when a pass begins and put back, by identity, when it ends; between passes the engine is
as it was found.
"""

from __future__ import annotations

import functools
import gc
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal

from harness import signals
from harness.changes.census import Census
from harness.errors import told_with_place
from harness.instrument.arms import Faults
from harness.instrument.bindings import Bindings
from harness.instrument.calibration import Calibration, calibrate
from harness.instrument.checking import Checks, Mismatch, of_faults
from harness.instrument.compiled import why_not_run
from harness.instrument.counting import Counter
from harness.instrument.device import DeviceClock, Synchronisations, on_cuda, ranged, synchronizer
from harness.instrument.events import freeze_heap
from harness.instrument.every_call import EveryCall
from harness.instrument.global_state import put_back, snapshot
from harness.instrument.instrumentation import ArmSpec
from harness.instrument.ledger import Ledger
from harness.instrument.limit import Limit
from harness.instrument.loops import Loop, loop_of
from harness.instrument.phases import Phases
from harness.instrument.placing import Placer
from harness.instrument.pristine import reset
from harness.instrument.probes import Probes
from harness.instrument.pulse import Pulse
from harness.instrument.recorder import Recorder
from harness.instrument.scopes import AUTO, JOIN, parts, scope_functions
from harness.instrument.spans import Spans
from harness.instrument.steps import StepRows
from harness.instrument.switch import Around, Switch
from harness.instrument.targets import live_functions
from harness.instrument.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FunctionType

    from harness.instrument.digests import Row
    from harness.instrument.instrumentation import Instrumentation
    from harness.instrument.switch import Wrapper

__all__ = ["Instrument", "PassKind"]

PassKind = Literal["probed", "bare", "mixed", "probing", "check", "soil", "count", "device", "trace"]
"""probed: scope and probes timed. bare: only the step timed. mixed: one or the other, step by step. probing: the scope
timed at every step, its probes bound at some of them: what they cost there.
check: every step's fingerprint compared with native's. soil: as bare, with other KV-cache blocks than any other pass
has, so that what it leaves in the engine's buffers is right for none. count: PyTorch's work counted; times mean none.
device: a CUDA device's own clock read, the host's times mean nothing. trace: as probed, and the pass also gives when
everything began and ended."""

CENSUS_STEPS: Final = (1, 4, 16)
"""At whose beginning a checking pass looks for objects that live over a step."""


class Instrument:
    """Probes, switch and step timer for one model runner.

    Args:
        runner: vLLM's model runner (or anything with the same methods and state).
        instrumentation: what is swapped and timed.
        clock: gives nanoseconds.
        loop: how the runner goes through a step; found automatically for vLLM's V1 and V2 runners.
        cpu_clock: gives the nanoseconds for which this thread has had a processor.
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
        self._outlive: dict[str, int] = {}
        self._step, self._begun, self._arm = -1, -1, 0
        self._pulse = Pulse(instrumentation.pulse)
        self._limit = Limit(instrumentation.step_timeout_s, self._pulse)
        self._faults = Faults(lambda name: self._limit.loading(self.arm_names.index(name)))
        self._placer = Placer(runner, self._loop, instrumentation, self._faults, self._on_error, clock)
        self._switch = Switch([self._placer.place(arm) for arm in arms])
        for function in self._placer.functions:  # also where every arm leaves it as it is
            self._switch.know(function)
        self._watched = list(live_functions(instrumentation.watched))
        for function in self._watched:
            self._switch.know(function)
        self._limit.arms_own = self._switch.arms_own()
        self._ledger = Ledger(clock, synchronizer(runner) if instrumentation.sync else None, cpu_clock)
        self._ranged = instrumentation.nvtx
        self._synchronisations = Synchronisations() if on_cuda(runner) else None
        self.focus(instrumentation.scope, instrumentation.probes)
        freeze_heap()
        self._checks = Checks(instrumentation.left_out)
        self._recorder = Recorder(self._loop, self._loop.core)
        # What arms of V0 are handed and give back is theirs alone, until the model's inputs are made of it.
        whole = self._placer.functions if self._loop.generation != "v0" else ()
        self._watching = Watching(self._changed, self._recorder.call, whole)
        self._device = DeviceClock()
        self._spans = Spans(clock)
        self._bindings = Bindings()
        self._shared = snapshot()
        self._not_reset = ""
        self._kind: PassKind = "bare"
        self._collects = True
        self._schedule: list[int] = []
        self._probing: list[bool] = [False]
        self._probing_now = False
        self._reset()

    def focus(self, scope: str, probes: Sequence[str]) -> None:
        """Time these from the next pass on. A scope of `auto` is nothing yet: the checking passes find it."""
        self._scope = scope
        self._scope_functions = [] if scope == AUTO else scope_functions(self._loop.runner, scope)
        for function in self._scope_functions:
            self._switch.know(function)
        placer = self._placer
        # A probe of a scope's own function stands inside of it, or it would find no scope open.
        switched = (*self._switch.changed, *self._scope_functions)
        self._probes = Probes(probes, self._ledger, switched, placer.short_name, placer.functions)
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
            "turn": _name_of(self._loop.turn),
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
        self._reset()
        self._kind, self._schedule = kind, list(schedule)
        self._probing = list(probed) if kind in ("mixed", "probing") else [kind in ("probed", "trace")]
        why_not = reset(self._loop.core, self._loop.runner, backwards=kind == "soil")
        self._not_reset = self._not_reset or why_not
        self._placer.empty_caches()
        self._collects = gc.isenabled()
        if kind == "count":
            gc.disable()  # so that what the collector tracks can be counted
        gc.collect()  # every pass starts from the same heap; collections inside it are counted
        bind = self._bindings.bind
        for site in self._placer.sites:
            for owner, method, watched in site.watches():
                bind(owner, method, watched(getattr(owner, method)))
        through = self._counter.counted if kind == "count" else _unchanged
        ending = self._device.ending if kind == "device" else _unchanged
        (owner, method), last = self._loop.execute, self._loop.sample
        call = through(getattr(owner, method))
        bind(owner, method, self._timed_execute(call if last is not None else ending(call)))
        if last is not None:
            owner, method = last
            bind(owner, method, self._timed_sample(ending(through(getattr(owner, method)))))
        if self._loop.turn is not None:
            owner, method = self._loop.turn
            bind(owner, method, self._timed_turn(getattr(owner, method)))
        of_values = self._probes.around_own()
        if kind == "check":
            self._recorder.begin(self._bindings)
            self._watching.where = Phases(self._switch.codes)
            if any(site.function is None for site in self._placer.sites):
                of_values = Around(*[self._watching.around_name(self._placer.short_name)] * 2)
        self._switch.bind(self._around(), of_values, checking=kind == "check")
        if kind == "trace":
            self._spans.open()
        self._shared = snapshot()
        self._limit.begin()
        self._switch.put(self._schedule[0], False)  # requests arrive under the first step's arm

    def _around(self) -> dict[FunctionType, Around]:
        """What is around functions in this pass."""
        kind, found = self._kind, {}
        if kind == "check":
            for function in self._changed.values():
                watched = _joined(self._placer.spoiling(function), self._watching.around(function))
                found[function] = Around(watched, watched)
        timed = any(self._probing)
        open_scope, close_scope = self._probes.bind() if timed else (_nothing, _nothing)
        if timed:
            found |= self._probes.around
        for function in self._scope_functions:
            always: list[Wrapper] = [functools.partial(ranged, f"harness: scope {self._scope}")] if self._ranged else []
            if kind == "count":
                always.append(functools.partial(self._counter.counted, scope=True))
            elif kind == "device":
                always.append(self._device.scoped)
            probed = [functools.partial(self._ledger.scope, bind=open_scope, unbind=close_scope)] if timed else []
            bare = (
                [functools.partial(self._ledger.scope, bind=_nothing, unbind=_nothing, probed=False)]
                if kind == "probing"
                else []
            )
            inner = found.get(function, Around(None))
            found[function] = Around(_joined(inner.probed, *always, *probed), _joined(inner.bare, *always, *bare))
        return found

    def end(self) -> dict[str, Any]:
        """Put everything back, and give the pass's columns, failure, mismatches and what could not be put back."""
        self._limit.end()
        changed = put_back(self._shared)
        if self._collects:
            gc.enable()
        self._spans.close()
        unrestored = self._switch.restore() + self._bindings.restore() + self._probes.restore()
        self._steps.close()
        checking, foreign_calls = self._kind == "check", self._ledger.foreign_calls
        columns, marks = self._steps.columns(), self._steps.marks
        if any(self._probing):
            columns["scope.cpu_ns"] = self._ledger.scope_cpu_ns(len(marks))
            names = ["scope", *self.probe_names]
            if self._kind == "trace":
                self._spans.add_calls(self._ledger.calls(marks), [JOIN.join(parts(self._scope)), *self.probe_names])
            settled = self._ledger.accounts(marks, slots=len(names))
            for slot, name in enumerate(names):
                for key in asdict(settled[0][slot]) if settled else ():
                    columns[f"{name}.{key}"] = [getattr(accounts[slot], key) for accounts in settled]
        self._ledger.reset()
        if self._kind == "count":
            columns |= {name: counts[: len(marks)] for name, counts in self._counter.take().items()}
        elif self._kind == "device":
            columns |= {name: times[: len(marks)] for name, times in self._device.take().items()}
        return {
            "columns": columns,
            "failure": None if checking else self._failure,
            "mismatches": self._mismatches(columns["arm"], changed) if checking else [],
            "changed": [] if checking else changed,
            "watched": self._seen(len(marks)) if checking else {},
            "unrestored": unrestored,
            "spans": self._spans.take(),
            "other_threads": foreign_calls,
        }

    def _seen(self, steps: int) -> dict[str, Any]:
        seen = self._watching.take(steps)
        not_run = why_not_run(self._loop.runner, self._changed, seen["calls"], seen["phases"])
        return {**seen, "not_run": not_run, "outlive": dict(self._outlive), "cache_hits": self._placer.hits()}

    def _look_for_objects(self, step: int) -> None:
        """Whether objects that an arm would make differently live from one step to another: then none may change."""
        makers = self._placer.makers
        if makers and step in CENSUS_STEPS and not self._outlive:
            census = Census(classes=makers)
            census.take()
            self._outlive = {each.__qualname__: count for each, count in census.objects.items() if count}

    def _mismatches(self, arms: Sequence[int], changed: Sequence[str]) -> list[dict[str, Any]]:
        """What a checking pass found; an arm that failed, or changed what all share, is not compared further."""
        fingerprint = self._recorder.end()
        found, names = of_faults(self._faults.told), [self.arm_names[arm] for arm in arms]
        mismatch: Mismatch | None = None
        if self._failure is not None:
            mismatch = Mismatch(self._failure["arm"], self._failure["step"], f"raised {self._failure['error']}", True)
        elif changed and names:
            what = f"changed {', '.join(changed)}, for all that came after it"
            mismatch = Mismatch(names[-1], len(names) - 1, what, True)
        elif names:
            mismatch = self._checks.take(fingerprint, names, self.arm_names[0])
        return found if mismatch is None else [*found, asdict(mismatch)]

    @property
    def checked(self) -> dict[str, Any]:
        """How much checking passes compare, and why the engine was not in its first state before each pass."""
        facts = self._checks.facts
        return facts and {**facts, "not_reset": self._not_reset}

    @property
    def fingerprint(self) -> list[Row]:
        """What native served in its last checking pass, as text."""
        return self._checks.reference

    def remove(self) -> None:
        """Take away what arms added to the host's modules, before another instrument is made."""
        self._placer.remove()

    @property
    def under_way(self) -> bool:
        """Whether a pass has begun and not ended."""
        return bool(self._bindings) or self._switch.bound

    def _reset(self) -> None:
        self._step, self._begun, self._failure = -1, -1, None
        self._steps = StepRows(self._loop, self._ledger)
        self._counter.take()
        self._device.forget()
        self._watching.take()

    def _on_error(self, error: BaseException) -> None:
        if signals.came():  # it is not of the arm's making
            raise error
        if self._failure is None:
            step = max(self._step, 0) if self._loop.turn is None else self._step
            self._failure = {"arm": self.arm_names[self._arm], "step": step, "error": told_with_place(error)}

    # The step: arms are switched before its clock starts, its signature is read after the clock stopped. Where turns of
    # the engine core can be told, a step is one turn, and begins with it.

    def _timed_turn(self, step_fn: Callable[[], Any]) -> Callable[[], Any]:
        clock, cpu_clock, steps = self._clock, self._cpu_clock, self._steps

        def timed_turn() -> Any:
            before = self._step
            self._before_step(clock())
            cpu_start = cpu_clock()
            start = clock()
            result = step_fn()
            stop = clock()
            steps.turned(stop - start, cpu_clock() - cpu_start, self._step > before)
            return result

        return timed_turn

    def _timed_execute(self, execute_model: Callable[..., Any]) -> Callable[..., Any]:
        clock, cpu_clock, is_step, steps = self._clock, self._cpu_clock, self._loop.is_step, self._steps
        in_turn = self._loop.turn is not None

        def timed_execute_model(work: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_step(work):
                return execute_model(work, *args, **kwargs)
            if not in_turn:
                self._before_step(0)
            self._spans.step = self._step = self._step + 1
            steps.before_execute()
            cpu_start = cpu_clock()
            start = clock()
            result = execute_model(work, *args, **kwargs)
            stop = clock()
            steps.executed(self._arm, self._probing_now, work, start, stop, cpu_clock() - cpu_start)
            if self._kind == "trace":
                self._spans.add("execute_model", start, stop)
            if in_turn:
                steps.beside(clock() - stop)
            return result

        return timed_execute_model

    def _timed_sample(self, sample_tokens: Callable[..., Any]) -> Callable[..., Any]:
        clock, cpu_clock = self._clock, self._cpu_clock
        steps = self._steps

        def timed_sample_tokens(*args: Any, **kwargs: Any) -> Any:
            cpu_start = cpu_clock()
            start = clock()
            result = sample_tokens(*args, **kwargs)
            stop = clock()
            if steps.rows:
                steps.sampled(stop - start, cpu_clock() - cpu_start)
                if self._kind == "trace":
                    self._spans.add("sample_tokens", start, stop)
            return result

        return timed_sample_tokens

    def _before_step(self, now_ns: int) -> None:
        step = self._step + 1
        self._arm = arm = self._schedule[min(step, len(self._schedule) - 1)]
        self._pulse.put(step, arm)
        self._probing_now = self._probing[min(step, len(self._probing) - 1)]
        self._steps.begin(now_ns)
        if step > self._begun:  # else the turn before this one executed nothing
            self._begun = step
            if self._kind == "check":
                self._watching.begin_step()
                self._look_for_objects(step)
            elif self._kind == "count":
                self._counter.begin_step()
            elif self._kind == "device":
                self._device.begin_step()
        self._switch.put(arm, self._probing_now)


def _joined(inner: Wrapper | None, *outer: Wrapper) -> Wrapper | None:
    """Wrappers around one another, the last outermost; None for none."""
    all_of_them = [wrapper for wrapper in (inner, *outer) if wrapper is not None]
    return functools.partial(_wrapped, all_of_them) if all_of_them else None


def _wrapped(wrappers: Sequence[Wrapper], call: Callable[..., Any]) -> Callable[..., Any]:
    return functools.reduce(lambda inner, wrapper: wrapper(inner), wrappers, call)


def _name_of(place: tuple[Any, str] | None) -> str:
    """The full name of the method that is called there; empty where there is none."""
    function = getattr(getattr(*place), "__func__", None) if place is not None else None
    return "" if function is None else f"{function.__module__}.{function.__qualname__}"


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _nothing() -> None: ...
