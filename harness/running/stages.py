"""The stages of a run: start, check, warm up, count, measure. Errors are handled in `run`."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.analysis.exposure import planted_delays_us, planted_name
from harness.digits import duration, significant
from harness.errors import ArmError, ProfilerError, StepMismatchError
from harness.instrument.arms import source_digest
from harness.records.agreement import answer_difference
from harness.running.anatomy import time_phases
from harness.running.ceilings import Ceilings
from harness.running.equality import Equality
from harness.running.extras import Extras, profiled
from harness.running.instrumenting import instrument
from harness.running.measuring import Measuring
from harness.running.planning import beside_s, counting_s
from harness.running.profiling import Profiling
from harness.running.proving import Proving
from harness.running.refusing import check_sound, insist_on_calls
from harness.running.starting import start_engine
from harness.running.warming import Warming
from harness.sampling.pyspy import Recorder
from harness.seams import AA
from harness.workload.requests import Work, build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from harness.config.file import Loaded
    from harness.config.launched import Launched
    from harness.hosts.base import Host, PassResult
    from harness.instrument.pass_kinds import PassKind
    from harness.records.folder import RunFolder
    from harness.running.baton import Baton
    from harness.running.observer import Observer
    from harness.running.planning import Plan
    from harness.running.shared import SharedEngine

__all__ = ["Stages"]

PROBING_SHARE: Final = 1 / 8
"""How long, relative to the measured passes, it may take to measure what the probes cost."""
CEILING_SHARE: Final = 1 / 4
"""How long, relative to the measured passes, arms that may compute less are served."""
PROBING_GROUPS: Final = 4
"""How many groups of it, at most, for each that is measured: it is then known twice as well as what it corrects."""


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
    pulse: str = ""
    folders: Mapping[str, Path] = field(default_factory=dict)
    launched: Launched | None = None
    shared: SharedEngine | None = None
    baton: Baton | None = None
    _installed: list[str] = field(default_factory=list, init=False)
    _ceilings: list[str] = field(default_factory=list, init=False)
    _measuring: Measuring | None = field(default=None, init=False)
    _pass_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        named = [arm.name for arm in self.loaded.experiment.arms if not arm.ceiling]
        self._equality = Equality(named, self.observer, self.unequal, self.facts)

    @property
    def measured(self) -> bool:
        """Whether there may be measured passes."""
        return self._measuring is not None and self._measuring.begun

    def go(self) -> None:
        """Everything from the engine's start to the last pass."""
        experiment = self.loaded.experiment
        alone = self.baton is None
        info = start_engine(self.loaded.experiment, self.host, self.observer, self.facts, self.shared, alone)
        work = build(experiment.workload, self.loaded.folder, info.vocab_size, info.max_model_len)

        instrumentation = self._instrumentation = instrument(
            self.loaded, self.pulse, self.folders, self.launched.watched if self.launched is not None else ()
        )
        self._ceilings = [arm.name for arm in experiment.arms if arm.ceiling]
        names = [arm.name for arm in instrumentation.arms]
        self._installed = names[: len(names) - len(self._ceilings)]  # these come last
        self.facts["arm_sources"] = {
            arm.name: source_digest(arm.reference) for arm in instrumentation.arms if arm.reference
        }
        calibration = self.host.install(instrumentation)
        self.facts |= {"calibration": calibration.as_dict(), "switch": self.host.switched()}
        if self.flamegraphs:
            self.flamegraphs = self._may_sample()

        if self.baton is not None:
            self.baton.stands()
        steps = self._check(work)
        self._equality.note(self._measurable())
        self._warm_up(work)
        self._equality.note(self._measurable())
        arms = [name for name in self._measurable() if name not in self.unequal]
        own = [arm.name for arm in experiment.arms if arm.name in arms]
        if not arms or (self.unequal and own == [experiment.baseline] and not self._ceilings):
            self.observer.note("no arm is left to compare, so nothing is measured")
            return
        self._measuring = Measuring(
            experiment.protocol, self.host, self.folder, self.observer, work.requests, self._installed, arms, steps,
            self._verify, self._check_again, self.half_width_us, self.facts, self.baton,
        )  # fmt: skip
        plan = self._measuring.plan(self._pass_s)
        self._tell(plan, len(own))
        extras = self._extras(work, beside_s(plan))
        if experiment.protocol.counters:
            extras.count(own)
        self._measuring.run(plan)
        own = [name for name in own if name not in self.unequal]
        if not own:
            return
        calls = self._measuring.calls_a_pass
        most = max(own, key=lambda name: calls[name])
        if len({calls[name] for name in own}) > 1:  # else what is subtracted for them cancels in differences
            seed, budget_s = experiment.protocol.seed, plan.expected_s * PROBING_SHARE
            extras.probing(most, steps, PROBING_GROUPS * plan.groups, seed, budget_s)
        if info.device.startswith("cuda"):
            extras.device(own)
        if self.trace_steps:
            extras.trace(own, self.trace_steps)
        if self.flamegraphs:
            with profiled(self.host) as admit:
                extras.sample(own, admit, experiment.flamegraph, self.loaded.experiment.scope)
        if self._ceilings:
            budget_s = plan.expected_s * CEILING_SHARE
            ceilings = Ceilings(extras.alone, self.host, self.folder, self.observer, self.facts, budget_s, self._pass_s)
            ceilings.measure(experiment.baseline, self._ceilings, plan.groups, experiment.protocol.seed)

        if experiment.profile is not None:
            budget_s = beside_s(plan)
            Profiling(
                self._serve,
                self.host.install,
                self.host.time_elsewhere,
                self.folder,
                self.observer,
                self.facts,
                budget_s,
                self._pass_s,
            ).go(experiment.profile, instrumentation, experiment.protocol.seed)

    def _tell(self, plan: Plan, counted: int) -> None:
        """Note how long measuring will take, as soon as that is known."""
        protocol = self.loaded.experiment.protocol
        seconds = plan.expected_s + counting_s(counted if protocol.counters else 0, self._pass_s, beside_s(plan))
        self.observer.note(
            f"a pass takes {significant(self._pass_s, 2)} s here: {plan.groups} groups of every arm"
            f"{', probed and bare,' if protocol.bare else ''} are measured in about {duration(seconds)}"
        )
        if plan.short:
            self.observer.note(
                f"an interval needs {plan.groups} groups, and {plan.asked_s:g} s are enough for "
                f"{plan.fit}: measuring takes longer"
            )

    def _may_sample(self) -> bool:
        """Whether py-spy may attach; reported now, and not when everything else has been measured."""
        try:
            with profiled(self.host) as admit, Recorder(admit(), rate_hz=10):
                return True
        except ProfilerError as error:
            self.facts["flamegraphs_missing"] = str(error)
            self.observer.note(f"there will be no flamegraphs: {error}")
            return False

    def _measurable(self) -> list[str]:
        """The config's arms in its order without ceilings, the baseline once more, and the planted ones."""
        planted = planted_delays_us(self.loaded.experiment.protocol.exposed)
        arms = (arm.name for arm in self.loaded.experiment.arms if not arm.ceiling)
        return [*arms, AA, *map(planted_name, planted)]

    def _check(self, work: Work) -> int:
        """Show which arms do what native does, step by step; gives the number of steps."""
        experiment = self.loaded.experiment
        self._proving = Proving(
            self.host, self.observer, self._equality, self._installed, work.requests, experiment.protocol.seed,
            self._restart, self.facts, experiment.seam,
        )  # fmt: skip
        self.facts["workload"] = {
            "requests": len(work.requests),
            "prompt_tokens": work.prompt_tokens,
            "output_tokens": work.output_tokens,
            "clipped": work.clipped,
        }
        self._proving.prove(f"check of {self.loaded.path.name}, {len(self._installed)} arms")
        if self.host.engine_args.get("enable_prefix_caching"):
            self.facts["workload"]["cached_tokens"] = self._proving.reference.cached_tokens
        self._pass_s = self._proving.reference.pass_s
        if experiment.profile is not None:
            pass  # vLLM as it is has no change that could be missed
        elif self.launched is None:
            named = experiment.swapped or "the changed functions"
            insist_on_calls(self._proving.reached, named, seam=bool(experiment.seam))
        else:
            self.folder.write_served(self.host.fingerprint(), self._proving.reference.answers)
        self._focus()
        return self._proving.reference.steps

    def _focus(self) -> None:
        """Time the phases and the functions that the change was seen in, where the config leaves that open.

        Where nothing of it was called, as of an `__init__` alone, it is the whole turn.
        """
        experiment = self.loaded.experiment
        if experiment.profile is not None:
            look = functools.partial(self._serve, "look", [0], "the pass that looks into phases")
            self._time(*time_phases(self.host, experiment.profile, self.facts, look))
            return
        scope = self._proving.reached.scope(experiment.scope) or self.facts["switch"]["turn"] or "execute_model"
        if scope == experiment.scope:
            return
        self._time(scope, experiment.probes or self._proving.reached.called())

    def _time(self, scope: str, probes: list[str]) -> None:
        """Time these from the next pass on, and note them as the config's."""
        self.host.focus(scope, probes)
        focused = self.loaded.experiment.model_copy(update={"scope": scope, "probes": probes})
        self.loaded = self.loaded._replace(experiment=focused)
        # Also after a restart of the engine.
        self._instrumentation = dataclasses.replace(self._instrumentation, scope=scope, probes=probes)
        self.facts |= {"config": focused.model_dump(mode="json"), "scope_found": True}

    def _restart(self) -> None:
        """Start the engine anew, with everything installed."""
        self.host.stop()
        self.host.start()
        self.host.install(self._instrumentation)
        if (profile := self.loaded.experiment.profile) is not None and profile.lines:
            self.host.time_lines(profile.lines)

    def _check_again(self, groups: int, last: bool) -> None:
        """Compare arms with native once more, after so many groups, beside what is timed.

        Raises:
            ArmError: an arm is no longer equal, and was to be measured further.
        """
        where = f" of the check after group {groups}"
        arms = [name for name in self._installed[1:] if name not in self.unequal]
        turned = self._proving.again(where, arms, alone=last)
        if last:
            self.facts["checked_at_end"] = True
        else:
            self.facts["checked_after_groups"] = [*self.facts.get("checked_after_groups", []), groups]
        self._equality.note(self._measurable())
        if turned and not last:
            reasons = "; ".join(f"arm {name!r} {self.unequal[name]}" for name in turned)
            raise ArmError(f"no longer equal to native, so measuring ended: {reasons}")

    def _warm_up(self, work: Work) -> None:
        """Serve the workload under each arm alone, and note how long a pass takes."""
        warming = Warming(
            self.host, self.observer, self._equality, self.unequal, self._proving.reference, work.requests
        )
        rounds = self.loaded.experiment.protocol.warmup
        self._pass_s = self.facts["pass_s"] = warming.median_s(self._installed, rounds, self._pass_s)

    def _extras(self, work: Work, budget_s: float) -> Extras:
        names = [*self._installed, *self._ceilings]

        def alone(kind: PassKind, arm: str, where: str, probed: Sequence[bool] = ()) -> PassResult:
            result = self.host.run_pass(kind, [names.index(arm)], work.requests, probed)
            check_sound(result, where)
            self._proving.reference.check_signature(result, where)
            return result

        return Extras(alone, self.folder, self.observer, self.facts, budget_s, self._pass_s)

    def _serve(self, kind: PassKind, arms: Sequence[int], where: str) -> PassResult:
        """Serve the workload once, step i under the i-th of these arms, verified as a measured pass."""
        result = self.host.run_pass(kind, arms, self._proving.reference.requests)
        self._verify(result, where)
        return result

    def _verify(self, result: PassResult, where: str) -> None:
        """Check that a measured pass went well, did the work that it should and gave the tokens of native alone."""
        check_sound(result, where)
        self._proving.reference.check_signature(result, where)
        if other := answer_difference(self._proving.reference.answers, result.answers):
            raise StepMismatchError(f"{where} generated other {other.what} than native alone: {other.where}")

    def keep_partial(self) -> list[str]:
        """Save the finished steps of a pass that was cut short, and put vLLM's own functions back.

        Gives what could not be put back.
        """
        result = self.host.partial()
        if result is None:
            return []
        if self._measuring is not None:
            self._measuring.keep(result)
        return result.unrestored
