"""The stages of a run: start, check, warm up, count, measure. What becomes of faults is in `experiment`."""

from __future__ import annotations

import contextlib
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from harness.agreement import signature, signature_difference, token_difference
from harness.errors import ArmError, HarnessError, ProfilerError, RecordsError, SeamError, StepMismatchError
from harness.exposure import PLANTED_US, planted_name
from harness.extras import Extras
from harness.pyspy import Recorder
from harness.schedule import complete_blocks
from harness.seams import AA, NATIVE, SEAMS
from harness.stopping import looks
from harness.workload import Work, build

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.config import Until
    from harness.config_file import Loaded
    from harness.hosts.base import Host, HostInfo, PassResult
    from harness.instrument.instrument import PassKind
    from harness.records import RunFolder

__all__ = ["Observer", "Stages"]

MIN_PASSES: Final = 3
"""Fewer groups give no interval."""


class Observer(Protocol):
    """Is told how the run goes."""

    def note(self, text: str) -> None:
        """Something that the user should know now."""
        ...

    def stage(self, name: str, passes: int) -> None:
        """A stage of so many passes begins."""
        ...

    def advance(self) -> None:
        """One pass of the stage has ended."""
        ...


@dataclass
class Stages:
    """What one run does, stage by stage; `facts` and `unequal` are the run's own, and are filled here."""

    loaded: Loaded
    host: Host
    folder: RunFolder
    observer: Observer
    half_width_us: Callable[[], float]
    unequal: dict[str, str]
    facts: dict[str, Any]
    trace_steps: int = 0
    flamegraphs: bool = False
    measured: bool = False
    _installed: list[str] = field(default_factory=list, init=False)
    _under_way: int | None = field(default=None, init=False)
    _group: int = field(default=0, init=False)

    def go(self) -> None:
        """Everything from the engine's start to the last pass."""
        experiment = self.loaded.experiment
        self.observer.stage("starting the engine", 0)
        info = self.host.start()
        self.facts["host"] = _host_facts(info)
        # The model as the config names it, without this machine's paths.
        self.facts["engine_args"] = {**self.host.engine_args, "model": experiment.engine["model"]}
        self.facts["environment"] = self.host.environment
        work = build(experiment.workload, self.loaded.folder, info.vocab_size, info.max_model_len)

        # Native comes first whether or not it is an arm: it is what equality is held against.
        installed: dict[str, tuple[str, int | None]] = {NATIVE: ("", None)}
        for arm in experiment.arms:
            delay_ns = None if arm.delay_us is None else round(arm.delay_us * 1000)
            installed[arm.name] = (self.loaded.whole(arm.reference), delay_ns)
        installed[AA] = installed[experiment.baseline]
        if experiment.protocol.exposed:
            for delay_us in PLANTED_US:
                installed[planted_name(delay_us)] = (installed[experiment.baseline][0], round(delay_us * 1000))
        self._installed = list(installed)
        calibration = self.host.install(
            experiment.seam,
            [(name, *spec) for name, spec in installed.items()],
            experiment.probes,
            experiment.scope,
            experiment.protocol.sync,
            experiment.protocol.nvtx,
        )
        self.facts["calibration"] = calibration.as_dict()
        if self.flamegraphs:
            self.flamegraphs = self._may_sample()

        steps = self._check(work)
        self._note_equality()
        self._warm_up(work)
        self._note_equality()
        arms = [name for name in self._measurable() if name not in self.unequal]
        if arms:
            extras, own = self._extras(work), [arm.name for arm in experiment.arms if arm.name in arms]
            if experiment.protocol.counters:
                extras.count(own)
            self._measure(work, arms, steps)
            if info.device.startswith("cuda"):
                extras.device(own)
            if self.trace_steps:
                extras.trace(own, self.trace_steps)
            if self.flamegraphs:
                extras.sample(own, self.host.admit_profiler, experiment.flamegraph, experiment.scope)

    def _may_sample(self) -> bool:
        """Whether py-spy may attach; told now, and not when everything else has been measured."""
        try:
            with Recorder(self.host.admit_profiler(), rate_hz=10):
                return True
        except ProfilerError as error:
            self.facts["flamegraphs_missing"] = str(error)
            self.observer.note(f"there will be no flamegraphs: {error}")
            return False

    def _measurable(self) -> list[str]:
        """The config's arms in its order, the baseline once more, and the planted ones."""
        planted = PLANTED_US if self.loaded.experiment.protocol.exposed else ()
        return [*(arm.name for arm in self.loaded.experiment.arms), AA, *map(planted_name, planted)]

    def _note_equality(self) -> None:
        self.facts["equality"] = {
            name: {"equal": name not in self.unequal, "reason": self.unequal.get(name, "")}
            for name in self._measurable()
        }

    def _check(self, work: Work) -> int:
        """Compare every arm with native on the same inputs at each step; the number of steps."""
        self.observer.stage("checking that all arms compute the same", 1)
        result = self.host.run_pass("check", [0], work.requests)
        self._check_failure(result, "the checking pass")
        self.observer.advance()
        probe = SEAMS[self.loaded.experiment.seam].probe
        if not result.seam_calls or not all(result.seam_calls):
            step = next((i for i, calls in enumerate(result.seam_calls) if not calls), 0)
            raise SeamError(f"{probe} was not called in step {step}: this engine computes it in another way")
        for found in result.mismatches:
            where = "" if found["position"] is None else f" at position {found['position']}"
            self.unequal[found["arm"]] = f"differs at step {found['step']}{where}: {found['reason']}"
        self._reference_tokens = result.tokens
        self._signature = signature(result.columns)
        steps = len(result.columns["step"])
        self.facts["steps"] = {
            "count": steps,
            "seam_calls": sum(result.seam_calls),
            **self._signature,
        }
        self.facts["workload"] = {
            "requests": len(work.requests),
            "prompt_tokens": work.prompt_tokens,
            "output_tokens": work.output_tokens,
            "clipped": work.clipped,
        }
        return steps

    def _warm_up(self, work: Work) -> None:
        """Serve the workload under each arm alone: it warms up, and its tokens are compared with native's."""
        rounds = self.loaded.experiment.protocol.warmup
        arms = [name for name in self._installed if name not in self.unequal]
        self.observer.stage("warming up, comparing tokens", rounds * len(arms))
        durations = []
        for _ in range(rounds):
            for name in arms:
                if name in self.unequal:
                    continue
                began = time.monotonic()
                result = self.host.run_pass("bare", [self._installed.index(name)], work.requests)
                durations.append(time.monotonic() - began)
                self._check_failure(result, "a warm-up pass")
                self._check_signature(result, f"the warm-up of arm {name!r}")
                if difference := token_difference(self._reference_tokens, result.tokens):
                    if name == NATIVE:
                        raise StepMismatchError(
                            f"two passes of native generated different tokens ({difference}), so equality of arms "
                            "cannot be told from them: make the engine deterministic"
                        )
                    self.unequal[name] = f"generates other tokens: {difference}"
                self.observer.advance()
        self._pass_s = statistics.median(durations)

    def _measure(self, work: Work, arms: list[str], steps: int) -> None:
        protocol = self.loaded.experiment.protocol
        # What a step can meet: each arm probed and, unless the protocol says otherwise, bare as well.
        treatments = [
            (self._installed.index(name), probed) for name in arms for probed in (True, False)[: 1 + protocol.bare]
        ]
        passes, seconds = protocol.passes, protocol.seconds
        if protocol.until is not None:
            seconds = protocol.until.max_seconds
        if seconds is not None:  # fixed now, before anything is measured
            passes = max(MIN_PASSES, round(seconds / (self._pass_s * len(treatments))))
        schedule = complete_blocks(len(treatments), steps, passes, protocol.seed, protocol.order, protocol.grain)
        self.measured = True
        self.facts |= {"passes_planned": schedule.shape[0] * schedule.shape[1], "arms_measured": arms}
        if protocol.until is not None:
            self.facts["looks"] = looks(passes)
        self.folder.write_run(self.facts)  # from here on the passes can be read, whatever becomes of this process
        self.observer.stage("measuring", self.facts["passes_planned"])
        began = time.monotonic()
        for self._group, group in enumerate(schedule):
            for steps_of_pass in group:
                self._one_pass([treatments[chosen] for chosen in steps_of_pass], work)
            if protocol.until is not None and self._enough(protocol.until, time.monotonic() - began):
                break

    def _extras(self, work: Work) -> Extras:
        def alone(kind: PassKind, arm: str, where: str) -> PassResult:
            result = self.host.run_pass(kind, [self._installed.index(arm)], work.requests)
            self._check_failure(result, where)
            self._check_signature(result, where)
            return result

        return Extras(alone, self.folder, self.observer, self.facts)

    def _enough(self, until: Until, elapsed_s: float) -> bool:
        """Whether to stop: at a look with all intervals narrow enough, or since the time is over."""
        groups = self._group + 1
        over = groups == self.facts["looks"][-1] or (elapsed_s > until.max_seconds and groups >= MIN_PASSES)
        if not over and groups not in self.facts["looks"]:
            return False
        half_width_us = self.half_width_us()
        narrow = half_width_us <= until.half_width_us
        self.facts["stopped"] = {"groups": groups, "half_width_us": half_width_us, "narrow_enough": narrow}
        return narrow or over

    def _one_pass(self, treatments: list[tuple[int, bool]], work: Work) -> None:
        index = self._under_way = self.facts["passes_done"]
        arms, probed = zip(*treatments, strict=True)
        result = self.host.run_pass("mixed", arms, work.requests, probed)
        try:
            self._check_failure(result, f"pass {index}")
            self._check_signature(result, f"pass {index}")
            if difference := token_difference(self._reference_tokens, result.tokens):
                raise StepMismatchError(f"pass {index} generated other tokens than native alone: {difference}")
        except HarnessError:
            self._write(index, result, complete=False)  # the evidence
            raise
        self._write(index, result, complete=True)
        self._under_way = None
        self.facts["passes_done"] = index + 1
        self.observer.advance()

    def _write(self, index: int, result: PassResult, complete: bool) -> None:
        count = len(result.columns["step"])
        columns = {
            **result.columns,
            "arm": [self._installed[arm] for arm in result.columns["arm"]],
            "pass": [index] * count,
            "group": [self._group] * count,
            "probed": [bool(probed) for probed in result.columns["probed"]],
        }
        self.folder.write_pass(index, columns, complete)

    def keep_partial(self) -> list[str]:
        """Save the finished steps of a pass that was cut short, and put vLLM's own functions back.

        Gives what could not be put back. Failing to save must not hide what ended the pass.
        """
        result = self.host.partial()
        if result is None:
            return []
        if self._under_way is not None and result.columns["step"]:
            with contextlib.suppress(RecordsError):
                self._write(self._under_way, result, complete=False)
        return result.unrestored

    def _check_failure(self, result: PassResult, where: str) -> None:
        if result.unrestored:
            raise HarnessError(f"after {where} these could not be put back: {', '.join(result.unrestored)}")
        if result.failure is not None:
            failure = result.failure
            raise ArmError(f"arm {failure['arm']!r} raised at step {failure['step']} of {where}: {failure['error']}")

    def _check_signature(self, result: PassResult, where: str) -> None:
        if difference := signature_difference(self._signature, result.columns):
            raise StepMismatchError(
                f"{where} did other work than the checking pass: {difference}. The engine must do the same in every "
                "pass: look at enable_prefix_caching, and at anything else that remembers earlier requests"
            )


def _host_facts(info: HostInfo) -> dict[str, Any]:
    facts = {key: value for key, value in vars(info).items() if key != "details"}
    return {**facts, "details": info.details}
