"""Clocks around the steps of a pass: arms are switched before a step's clock starts, and read off after it stopped.

Where turns of the engine core can be told, a step is one turn, and begins with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.instrument.leftovers import COUNTED
from harness.instrument.steps import StepRows
from harness.instrument.turns import wait_before_step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.instrument.checked_steps import CheckedSteps
    from harness.instrument.counting import Counter
    from harness.instrument.device import DeviceClock
    from harness.instrument.ledger import Ledger
    from harness.instrument.leftovers import Leftovers
    from harness.instrument.loops import Loop
    from harness.instrument.pass_kinds import PassKind
    from harness.instrument.pulse import Pulse
    from harness.instrument.spans import Spans
    from harness.instrument.switch import Switch

__all__ = ["COUNTING", "StepTimer"]

COUNTING: Final = ("count", *COUNTED)
"""Kinds of passes that count, step by step; the collector rests meanwhile."""


class StepTimer:
    """Times one pass after the other, step by step.

    Attributes:
        step: the one under way; -1 before the first.
        arm: the index of the arm that it runs under.
        steps: the rows of the pass.
        kind: what is timed in the pass.
        probing: whether step i is probed; further steps are as the last one.

    Args:
        loop: how the runner goes through a step.
        ledger: has the tape of what each step's probes timed.
        switch: puts a step's arm.
        pulse: is given each step that begins.
        spans: are given what a traced pass remembers.
        checked: is told when a step of a checking pass begins.
        device: is told when a step of a device pass begins.
        clock: gives nanoseconds.
        cpu_clock: gives the nanoseconds for which this thread has had a processor.
    """

    def __init__(
        self,
        loop: Loop,
        ledger: Ledger,
        switch: Switch,
        pulse: Pulse,
        spans: Spans,
        checked: CheckedSteps,
        device: DeviceClock,
        clock: Callable[[], int],
        cpu_clock: Callable[[], int],
    ) -> None:
        self._loop, self._ledger, self._switch, self._pulse, self._spans = loop, ledger, switch, pulse, spans
        self._checked, self._device = checked, device
        self._clock, self._cpu_clock = clock, cpu_clock
        self._counter: Counter | Leftovers  # another one from pass to pass
        self._schedule: Sequence[int] = []
        self._probing_now = False
        self.step, self._begun, self.arm = -1, -1, 0
        self.kind: PassKind = "bare"
        self.probing: Sequence[bool] = [False]
        self.steps = StepRows(loop, ledger)

    def begin(
        self, kind: PassKind, schedule: Sequence[int], probing: Sequence[bool], counter: Counter | Leftovers
    ) -> None:
        """Forget the pass before, and take up a new one, before its wrappers are made.

        Args:
            kind: what is timed.
            schedule: step i runs arm `schedule[i]`; further steps run the last one.
            probing: whether step i is probed; further steps are as the last one.
            counter: is told when a step of a counting pass begins.
        """
        self.kind, self._schedule, self.probing, self._counter = kind, schedule, probing, counter
        self.step, self._begun = -1, -1
        self.steps = StepRows(self._loop, self._ledger)

    def turn(self, step_fn: Callable[[], Any]) -> Callable[[], Any]:
        """Time a turn of the engine core."""
        clock, cpu_clock, steps = self._clock, self._cpu_clock, self.steps

        def timed_turn() -> Any:
            before = self.step
            self._wait_for_turn()
            self._before_step(clock())
            cpu_start = cpu_clock()
            start = clock()
            result = step_fn()
            stop = clock()
            steps.turned(stop - start, cpu_clock() - cpu_start, self.step > before)
            return result

        return timed_turn

    def execute(self, execute_model: Callable[..., Any]) -> Callable[..., Any]:
        """Time an execution of the model, which begins a step where turns cannot be told."""
        clock, cpu_clock, is_step, steps = self._clock, self._cpu_clock, self._loop.is_step, self.steps
        in_turn = self._loop.turn is not None

        def timed_execute_model(work: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_step(work):
                return execute_model(work, *args, **kwargs)
            if not in_turn:
                self._wait_for_turn()
                self._before_step(0)
            self._spans.step = self.step = self.step + 1
            steps.before_execute()
            cpu_start = cpu_clock()
            start = clock()
            result = execute_model(work, *args, **kwargs)
            stop = clock()
            steps.executed(self.arm, self._probing_now, work, start, stop, cpu_clock() - cpu_start)
            if self.kind == "trace":
                self._spans.add("execute_model", start, stop)
            if in_turn:
                steps.beside(clock() - stop)
            return result

        return timed_execute_model

    def sample(self, sample_tokens: Callable[..., Any]) -> Callable[..., Any]:
        """Time the sampling of the step that was executed last."""
        clock, cpu_clock = self._clock, self._cpu_clock
        steps = self.steps

        def timed_sample_tokens(*args: Any, **kwargs: Any) -> Any:
            cpu_start = cpu_clock()
            start = clock()
            result = sample_tokens(*args, **kwargs)
            stop = clock()
            if steps.rows:
                steps.sampled(stop - start, cpu_clock() - cpu_start)
                if self.kind == "trace":
                    self._spans.add("sample_tokens", start, stop)
            return result

        return timed_sample_tokens

    def _wait_for_turn(self) -> None:
        """Before a measured step begins; a turn that executes nothing belongs to the step before."""
        if self.kind == "mixed" and self.step + 1 > self._begun:
            wait_before_step()

    def _before_step(self, now_ns: int) -> None:
        step = self.step + 1
        self.arm = arm = self._schedule[min(step, len(self._schedule) - 1)]
        self._pulse.put(step, arm)
        self._probing_now = self.probing[min(step, len(self.probing) - 1)]
        self.steps.begin(now_ns)
        if step > self._begun:  # else the turn before this one executed nothing
            self._begun = step
            if self.kind == "check":
                self._checked.begin_step(step)
            elif self.kind in COUNTING:
                self._counter.begin_step()
            elif self.kind == "device":
                self._device.begin_step()
        self._switch.put(arm, self._probing_now)
