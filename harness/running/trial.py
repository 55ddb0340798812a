"""A short trial of a config on this machine: how long a step and the run take, and what difference is resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.analysis.differences import drawn_by
from harness.analysis.exposure import planted_delays_us
from harness.analysis.intervals import detectable, joint_confidence
from harness.analysis.measured import arm_values
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.shapes import steps_by_shape
from harness.analysis.statistics import paired_difference
from harness.config.file import Loaded
from harness.digits import duration, significant
from harness.errors import RecordsError
from harness.running.planning import beside_s, counting_s, plan_run
from harness.running.took import last_start_s
from harness.seams import AA

if TYPE_CHECKING:
    from harness.config.experiment import Experiment
    from harness.records.folder import Records

__all__ = ["TRIAL_S", "Forecast", "describe", "forecast", "plan_trial"]

TRIAL_S: Final = 10.0
"""How long a trial measures."""
END_S: Final = 5.0
"""About how long printing the table and drawing the plots take."""


@dataclass(frozen=True)
class Forecast:
    """What a trial says about the run that its config asks for.

    Attributes:
        step_us: of the model runner, the mean over a pass, with nothing timed inside.
        scope_us: the part of it in the scope.
        start_s: what the engine took to start.
        before_s: what checking, warming up and counting will take.
        measure_s: what measuring will take.
        launches: how often all of that will be done.
        groups: how often every step will run under every arm in a launch.
        resolves_scope_us: half of the interval that the report will give an arm's difference in the scope, a step.
        resolves_step_us: the same of the whole step; None without bare passes.
        finds_scope_us: the difference in the scope, a step, that nine of ten such reports resolve.
    """

    step_us: float
    scope_us: float
    start_s: float
    before_s: float
    measure_s: float
    launches: int
    groups: int
    resolves_scope_us: float
    resolves_step_us: float | None
    finds_scope_us: float

    @property
    def total_s(self) -> float:
        """From the command to the report."""
        return self.launches * (self.start_s + self.before_s + self.measure_s) + END_S


def plan_trial(loaded: Loaded) -> Loaded:
    """The config with its baseline alone, against itself, for a few seconds."""
    experiment = loaded.experiment
    protocol = experiment.protocol.model_copy(
        update={"seconds": TRIAL_S, "until": None, "launches": 1, "counters": False, "exposed": False, "bare": True}
    )
    baseline = [arm for arm in experiment.arms if arm.name == experiment.baseline]
    return Loaded(experiment.model_copy(update={"arms": baseline, "protocol": protocol}), loaded.path)


def forecast(experiment: Experiment, records: Records, imported_s: float = 0.0) -> Forecast:
    """From the records of a trial to the run that `experiment` asks for.

    `imported_s` is about what this process took to import vLLM before the trial; a run imports it while it starts.
    An interval's width falls with the square root of the number of groups. Student's t is that of the trial, which has
    few, so that the run's intervals will rather be narrower.

    Raises:
        RecordsError: the trial measured nothing.
    """
    values = arm_values(records, [])
    baseline = experiment.baseline
    if AA not in values or baseline not in values:
        raise RecordsError("the trial measured nothing, so the run cannot be forecast")
    run, protocol = records.run, experiment.protocol
    pass_s = float(run["pass_s"])
    arms = len(experiment.arms) + 1 + len(planted_delays_us(protocol.exposed))
    plan = plan_run(protocol, arms, pass_s)
    counted = len(experiment.arms) if protocol.counters else 0
    groups, steps = values[baseline][SCOPE].shape
    # Of every arm but the baseline, A/A among them: scope, sum, rest, each probe and the step, CPU time and means of
    # scope and step, batch shapes and outlying steps; and of every arm the own cost
    # (`analysis.differences.family_size`).
    shapes = len(steps_by_shape(run["steps"]))
    rows = len(experiment.arms) * (6 + len(experiment.probes) + 3 * protocol.bare + (shapes if shapes > 1 else 0))
    rows += (len(experiment.arms) + 1) * protocol.bare + bool(protocol.exposed)
    joint = joint_confidence(protocol.confidence, rows)

    grain = drawn_by(run["config"]["protocol"])

    def half_width_us(metric: str) -> float:
        found = paired_difference(values[AA][metric], values[baseline][metric], joint, grain=grain)
        return float((found.high - found.low) / 2 * np.sqrt(groups / plan.groups) / steps / 1e3)

    return Forecast(
        step_us=float(values[baseline][STEP].mean() / 1e3),
        scope_us=float(values[baseline][SCOPE].mean() / 1e3),
        start_s=last_start_s(experiment) or imported_s + float(run["start_s"]),
        before_s=pass_s * (1 + protocol.warmup * (arms + 1)) + counting_s(counted, pass_s, beside_s(plan)),
        measure_s=plan.expected_s,
        launches=protocol.launches,
        groups=plan.groups,
        resolves_scope_us=half_width_us(SCOPE),
        resolves_step_us=half_width_us(STEP) if protocol.bare else None,
        finds_scope_us=detectable(half_width_us(SCOPE), joint, plan.groups),
    )


def describe(found: Forecast, scope: str) -> dict[str, str]:
    """A sentence on each: the step, how long the run will take, and what it will resolve."""
    share = significant(found.scope_us / found.step_us * 100, 2)
    times = (
        f"the engine's start {duration(found.start_s)}, checking, warming up and counting {duration(found.before_s)}, "
        f"measuring {duration(found.measure_s)} ({found.groups} groups)"
    )
    several = f", {found.launches} times" if found.launches > 1 else ""
    whole = found.resolves_step_us
    step = "" if whole is None else f" and {significant(whole, 2)} us in the whole step"
    return {
        "a step": f"{significant(found.step_us, 3)} us in the model runner, of which {scope} takes "
        f"{significant(found.scope_us, 3)} us ({share} %)",
        "the run": f"will take about {duration(found.total_s)}: {times}{several}",
        "resolves": f"differences from about {significant(found.resolves_scope_us, 2)} us a step in {scope}{step} "
        f"(half-width of an interval in the report; a difference of {significant(found.finds_scope_us, 2)} us in "
        f"{scope} is found about nine times in ten)",
    }
