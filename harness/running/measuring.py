"""The measured passes of a run: planned before the first, each written as soon as it has ended."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.analysis.stopping import looks
from harness.errors import HarnessError, RecordsError
from harness.instrument import turns
from harness.running.planning import MIN_GROUPS, beside_s, plan_run
from harness.running.schedule import complete_blocks, drawn_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.config.experiment import Protocol, Until
    from harness.hosts.base import Host, PassResult
    from harness.records.folder import RunFolder
    from harness.running.baton import Baton
    from harness.running.observer import Observer
    from harness.running.planning import Plan
    from harness.workload.requests import Request

__all__ = ["Measuring"]


@dataclass
class Measuring:
    """The passes in which every step runs under every arm.

    Attributes:
        requests: the workload.
        installed: every arm that the host knows; schedules name them by their index.
        arms: those to be measured.
        steps: steps a pass.
        verify: raises HarnessError where a pass, named for the message, went wrong or did other work.
        check_again: compares all arms with native, given after how many groups, and whether these were the last.
        half_width_us: for `protocol.until`: gives the half-width of the widest interval so far.
        facts: the run's facts, which are filled here.
        baton: where other launches' engines stand beside this one, says when it is its turn.
        calls_a_pass: how often each arm's probes are called in a pass, known after the first group.
    """

    protocol: Protocol
    host: Host
    folder: RunFolder
    observer: Observer
    requests: Sequence[Request]
    installed: Sequence[str]
    arms: Sequence[str]
    steps: int
    verify: Callable[[PassResult, str], None]
    check_again: Callable[[int, bool], None]
    half_width_us: Callable[[], float]
    facts: dict[str, Any]
    baton: Baton | None = None
    begun: bool = field(default=False, init=False)
    calls_a_pass: Counter[str] = field(default_factory=Counter, init=False)
    _under_way: int | None = field(default=None, init=False)
    _group: int = field(default=0, init=False)
    _turns_of_steps: bool = field(default=False, init=False)
    _by_step: bool = field(default=False, init=False)
    _steps_left: int = field(default=0, init=False)

    @property
    def _treatments(self) -> list[tuple[int, bool]]:
        """What a step can run under: each arm probed and, unless the protocol says otherwise, bare as well."""
        ways = (True, False)[: 1 + self.protocol.bare]
        return [(self.installed.index(name), probed) for name in self.arms for probed in ways]

    def plan(self, pass_s: float) -> Plan:
        """Fix the number of groups, by how long a pass took, before anything is measured."""
        plan = plan_run(self.protocol, len(self.arms), pass_s)
        self.facts["plan"] = plan.as_dict()
        return plan

    def run(self, plan: Plan) -> None:
        """Measure all groups of the plan, or stop at a look; by turns, where engines stand side by side."""
        protocol, treatments = self.protocol, self._treatments
        if self.baton is not None:
            plan = self._agreed(plan, self.baton)
        schedule = complete_blocks(
            len(treatments), self.steps, plan.groups, protocol.seed, protocol.order, protocol.between
        )
        checks = drawn_checks(plan.groups, protocol.seed)
        self.begun = True
        self.facts |= {"passes_planned": schedule.shape[0] * schedule.shape[1], "arms_measured": list(self.arms)}
        if protocol.until is not None:
            self.facts["looks"] = looks(plan.groups)
        self.folder.write_run(self.facts)  # from here on the passes can be read, whatever becomes of this process
        if self.baton is None:  # else who hands out turns tells of all
            self.observer.stage("measuring", self.facts["passes_planned"], plan.expected_s)
        began, checked_s = time.monotonic(), 0.0
        for self._group, group in enumerate(schedule):
            for steps_of_pass in group:
                with turns.taken(self._before_step) if self._turns_of_steps else contextlib.nullcontext():
                    self._one_pass([treatments[chosen] for chosen in steps_of_pass])
            if protocol.until is not None and self._enough(protocol.until, time.monotonic() - began):
                break
            if self._group + 1 in checks and checked_s <= beside_s(plan):
                checked_s -= time.monotonic()
                self.check_again(self._group + 1, False)
                checked_s += time.monotonic()
        if self.baton is not None:
            self.facts["by_turns"] = "steps" if self._by_step else "pass"
            self.baton.rest()
        self.check_again(self._group + 1, True)

    def _agreed(self, plan: Plan, baton: Baton) -> Plan:
        """The plan with as many groups as the launches beside it measure, when all are ready and it is its turn."""
        self.folder.write_run(self.facts)  # what was found so far, for those that are started next
        groups, self._steps_left = baton.ready(plan.groups, plan.expected_s)
        self._turns_of_steps = self._steps_left > 0
        agreed = dataclasses.replace(plan, groups=groups, expected_s=plan.expected_s * groups / plan.groups)
        self.facts["plan"] = agreed.as_dict()
        return agreed

    def _before_step(self) -> None:
        """Wait for the next turn, where this one has no steps left."""
        self._by_step = True
        if self.baton is not None and not self._steps_left:
            self._steps_left = self.baton.hand_on()
        self._steps_left -= 1

    def _enough(self, until: Until, elapsed_s: float) -> bool:
        """Whether to stop: at a look with all intervals narrow enough, or because the time is over."""
        groups = self._group + 1
        over = groups == self.facts["looks"][-1] or (elapsed_s > until.max_seconds and groups >= MIN_GROUPS)
        if not over and groups not in self.facts["looks"]:
            return False
        half_width_us = self.half_width_us()
        narrow = half_width_us <= until.half_width_us
        self.facts["stopped"] = {"groups": groups, "half_width_us": half_width_us, "narrow_enough": narrow}
        return narrow or over

    def _one_pass(self, treatments: list[tuple[int, bool]]) -> None:
        index = self._under_way = self.facts["passes_done"]
        if self.baton is not None and index and not self._by_step:  # an engine in other processes waits before passes
            self.baton.hand_on()
        arms, probed = zip(*treatments, strict=True)
        result = self.host.run_pass("mixed", arms, self.requests, probed)
        try:
            self.verify(result, f"pass {index}")
        except HarnessError:
            self._write(index, result, complete=False)  # kept as evidence
            raise
        self._write(index, result, complete=True)
        if self._group == 0:
            self._count_calls(result.columns)
        self.facts["other_threads"] = self.facts.get("other_threads", 0) + result.other_threads
        self._under_way = None
        self.facts["passes_done"] = index + 1
        if self.baton is None:
            self.observer.advance()

    def _count_calls(self, columns: dict[str, list[Any]]) -> None:
        """Add the calls of each arm's probes in its probed steps; a step is probed once a group under every arm."""
        for name in (name for name in columns if name.endswith(".calls") and name != "scope.calls"):
            for arm, calls in zip(columns["arm"], columns[name], strict=True):
                self.calls_a_pass[self.installed[arm]] += calls

    def _write(self, index: int, result: PassResult, complete: bool) -> None:
        count = len(result.columns["step"])
        columns = {
            **result.columns,
            "arm": [self.installed[arm] for arm in result.columns["arm"]],
            "pass": [index] * count,
            "group": [self._group] * count,
            "probed": [bool(probed) for probed in result.columns["probed"]],
        }
        self.folder.write_pass(index, columns, complete)

    def keep(self, cut_short: PassResult) -> None:
        """Save the finished steps of the pass under way, if there is one; a failure must not hide what ended it."""
        if self._under_way is not None and cut_short.columns["step"]:
            with contextlib.suppress(RecordsError):
                self._write(self._under_way, cut_short, complete=False)
