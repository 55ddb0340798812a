"""The instrument: bound to one model runner, it swaps arms between steps and times what happens in the scope.

Everything is bound when a pass begins and put back, by identity, when it ends; between passes the engine is
as it was found.
"""

from __future__ import annotations

import functools
import gc
import importlib
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import ConfigError
from harness.instrument.arms import Faults, load_arm
from harness.instrument.bindings import Bindings
from harness.instrument.calibration import Calibration, calibrate
from harness.instrument.checking import Checker, of_faults
from harness.instrument.counting import Counter
from harness.instrument.device import DeviceClock, Synchronisations, on_cuda, ranged, synchronizer
from harness.instrument.events import freeze_heap
from harness.instrument.every_call import EveryCall
from harness.instrument.global_state import put_back, snapshot
from harness.instrument.ledger import Ledger
from harness.instrument.limit import Limit
from harness.instrument.loops import Loop, loop_of
from harness.instrument.output_checking import OutputChecker
from harness.instrument.pulse import Pulse
from harness.instrument.scopes import JOIN, Scopes
from harness.instrument.spans import Spans
from harness.instrument.steps import StepRows
from harness.instrument.swaps import Swaps
from harness.instrument.targets import Target, resolve
from harness.seams import SEAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.instrument.instrumentation import Instrumentation

__all__ = ["Instrument", "PassKind"]

PassKind = Literal["probed", "bare", "mixed", "probing", "check", "count", "device", "trace"]
"""probed: scope and probes timed. bare: only the step timed. mixed: one or the other, step by step. probing: the scope
timed at every step, its probes bound at some of them: what they cost there.
check: every arm compared with native. count: PyTorch's work counted, times mean nothing. device: a CUDA device's own
clock read, the host's times mean nothing. trace: as probed, and the pass also gives when everything began and ended."""


class Instrument:
    """Probes, seam and step timer for one model runner.

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
        seam, arms, scope = instrumentation.seam, instrumentation.arms, instrumentation.scope
        self._loop = loop or loop_of(runner)
        self._clock, self._cpu_clock = clock, cpu_clock
        self._scopes = Scopes(runner, scope)
        spec = SEAMS[seam]
        self._sites = importlib.import_module(spec.place(self._loop.generation, type(runner)).module).sites(runner)
        self.arm_names = [name for name, *_ in arms]
        self._pulse = Pulse(instrumentation.pulse)
        self._limit = Limit(instrumentation.step_timeout_s, self._pulse)
        self._faults = Faults(lambda name: self._limit.loading(self.arm_names.index(name)))
        implementations = [
            self._faults.of(name, functools.partial(load_arm, name, reference)) if reference else None
            for name, reference, _ in arms
        ]

        self._ledger = Ledger(clock, synchronizer(runner) if instrumentation.sync else None, cpu_clock)
        self.probe_names = list(instrumentation.probes)
        self._targets: list[tuple[int, Target]] = []
        seam_slot = self._resolve_probes(spec.probe)

        self._around_scope = functools.partial(ranged, f"harness: scope {scope}") if instrumentation.nvtx else None
        self._swaps = Swaps(
            self._sites,
            [(name, made, delay_ns) for (name, _, delay_ns), made in zip(arms, implementations, strict=True)],
            clock,
            lambda name, function: ranged(f"harness: {seam}={name}", function) if instrumentation.nvtx else function,
            functools.partial(self._ledger.probe, seam_slot) if seam_slot else None,
            self._faults,
        )
        freeze_heap()
        checker = OutputChecker if self._sites[0].by_outputs else Checker
        self._checker = checker(
            self._sites, dict(zip(self.arm_names, implementations, strict=True)), self._faults, self._checking
        )
        every_call = EveryCall({target.name: target.function for _, target in self._targets})
        self._counter = Counter(Synchronisations() if on_cuda(runner) else None, every_call)
        self._device = DeviceClock()
        self._spans = Spans(clock)
        self._bindings = Bindings()
        self._shared = snapshot()
        self._kind: PassKind = "bare"
        self._schedule: list[int] = []
        self._probing: list[bool] = [False]
        self._probing_now = False
        self._reset()

    def _checking(self, arm: str) -> None:
        self._pulse.put(self._step, self.arm_names.index(arm))

    def _resolve_probes(self, seam_probe: str) -> int:
        """Find every probe's target; the slot of the seam's own function, or 0 where it is not probed."""
        seam_slot = 0
        native = getattr(self._sites[0].native, "__func__", self._sites[0].native)
        for slot, name in enumerate(self.probe_names, start=1):
            target = None if name == seam_probe else resolve(name)
            if target is None or target.function is native:  # the seam's own function, also by its full name
                same = self.probe_names[seam_slot - 1] if seam_slot else ""
                seam_slot = slot
            else:
                same = next((known.name for _, known in self._targets if known.is_same(target)), "")
                self._targets.append((slot, target))
            if same:
                raise ConfigError(f"probes: {same} and {name} are the same function; name it once")
        return seam_slot

    def calibrate(self) -> Calibration:
        """Cost of an empty probe, in this process and now."""
        return calibrate(self._clock)

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
        if self._bindings:
            raise RuntimeError("a pass is under way; end it before the next one begins")
        self._reset()
        self._kind, self._schedule = kind, list(schedule)
        self._probing = list(probed) if kind in ("mixed", "probing") else [kind in ("probed", "trace")]
        gc.collect()  # every pass starts from the same heap; collections inside it are counted
        bind = self._bindings.bind
        for site in self._sites:
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
        self._scopes.reset()
        if self._around_scope is not None:
            self._scopes.wrap(self._bindings, self._around_scope, switched=False)
        if kind == "count":
            self._scopes.wrap(self._bindings, functools.partial(self._counter.counted, scope=True), switched=False)
        elif kind == "check" and isinstance(self._checker, OutputChecker):
            self._scopes.wrap(self._bindings, self._checker.around, switched=False)
        elif kind == "device":
            self._scopes.wrap(self._bindings, self._device.scoped, switched=False)
        if any(self._probing):
            module_slots = []
            for slot, target in self._targets:
                wrapper = self._ledger.probe(slot, target.function)
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

            timed = functools.partial(self._ledger.scope, bind=open_scope, unbind=close_scope)
            alone = functools.partial(self._ledger.scope, bind=_nothing, unbind=_nothing, probed=False)
            self._scopes.wrap(self._bindings, timed, switched=True, otherwise=alone if kind == "probing" else None)
        self._swaps.bind(self._bindings)
        if kind == "trace":
            self._spans.open()
        self._shared = snapshot()
        self._limit.begin()

    def end(self) -> dict[str, Any]:
        """Put everything back, and give the pass's columns, failure, mismatches and what could not be put back."""
        self._limit.end()
        changed = put_back(self._shared)
        unrestored, foreign_calls = self._restore(), self._ledger.foreign_calls
        columns, marks = self._steps.columns(), self._steps.marks
        if any(self._probing):
            columns["scope.cpu_ns"] = self._ledger.scope_cpu_ns(len(marks))
            names = ["scope", *self.probe_names]
            if self._kind == "trace":
                self._spans.add_calls(self._ledger.calls(marks), [JOIN.join(self._scopes.names), *self.probe_names])
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
            "failure": self._swaps.failure(),
            "mismatches": of_faults(self._faults, self._kind) + self._checker.take_mismatches(),
            "changed": changed,
            "seam_calls": self._checker.take_calls(),
            "unrestored": unrestored,
            "spans": self._spans.take(),
            "other_threads": foreign_calls,
        }

    @property
    def under_way(self) -> bool:
        """Whether a pass has begun and not ended."""
        return bool(self._bindings)

    def _reset(self) -> None:
        self._step = -1
        self._steps = StepRows(self._loop, self._ledger)
        self._wrappers: list[Any] = []
        self._modules = len(sys.modules)
        self._counter.take()
        self._device.forget()

    def _restore(self) -> list[str]:
        self._spans.close()
        unrestored = self._bindings.restore()
        imported = len(sys.modules) != self._modules
        for _, target in self._targets:
            target.restore_attribute()
            unrestored += target.restore_module_slots(self._wrappers)
            if imported:
                target.restore_late_imports(self._wrappers)
        return unrestored

    # The step: arms are swapped before its clock starts, its signature is read after the clock stopped.

    def _timed_execute(self, execute_model: Callable[..., Any]) -> Callable[..., Any]:
        clock, cpu_clock, is_step = self._clock, self._cpu_clock, self._loop.is_step

        def timed_execute_model(work: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_step(work):
                return execute_model(work, *args, **kwargs)
            self._before_step()
            cpu_start = cpu_clock()
            start = clock()
            result = execute_model(work, *args, **kwargs)
            stop = clock()
            self._steps.executed(self._arm, self._probing_now, work, start, stop, cpu_clock() - cpu_start)
            if self._kind == "trace":
                self._spans.add("execute_model", start, stop)
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

    def _before_step(self) -> None:
        self._spans.step = self._step = self._step + 1
        self._arm = arm = self._schedule[min(self._step, len(self._schedule) - 1)]
        self._pulse.put(self._step, arm)
        if self._kind == "check":
            self._checker.bind(self._step)
            return
        self._probing_now = self._probing[min(self._step, len(self._probing) - 1)]
        self._scopes.switch(self._probing_now)
        self._swaps.put(self._step, arm, self._probing_now)
        if self._kind == "count":
            self._counter.begin_step()
        elif self._kind == "device":
            self._device.begin_step()
        self._steps.about_to_begin()


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _nothing() -> None: ...
