"""From records to numbers: totals by arm and probe, paired differences and their verdicts, the instrument's own cost.

Pure: takes what `read_run` gives, measures nothing and writes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.changepoint import MIN_LENGTH
from harness.analysis.course import find_course
from harness.analysis.device_times import device_times, waiting_notes
from harness.analysis.drift import find_drift, levels
from harness.analysis.exposure import exposure, planted_delays_us, planted_name
from harness.analysis.measured import launch_values
from harness.analysis.metrics import REST, SCOPE, STEP, SUM
from harness.analysis.outliers import find_outliers
from harness.analysis.run_notes import run_notes
from harness.analysis.shapes import steps_by_shape
from harness.analysis.statistics import joint_confidence, paired_difference, total, verdict
from harness.analysis.stopping import per_look
from harness.analysis.summary import ArmSummary, Comparison, OwnCost, ProbeTotals, ShapeComparison, Summary, Throughput
from harness.sampling.sampled import Recording, flame_of_arm
from harness.sampling.stacks import parse
from harness.seams import AA, SEAMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.analysis.drift import Levels, LevelShift
    from harness.analysis.measured import Values
    from harness.analysis.outliers import Outliers
    from harness.records.folder import Columns, Records
    from harness.sampling.sampled import Flame

__all__ = ["scope_half_width_us", "summarise"]

WITHHELD = "withheld"


def summarise(records: Records) -> Summary:
    """Work out a run's summary; an unfinished group is left out and noted."""
    run, notes = records.run, run_notes(records)
    config = run["config"]
    probes, protocol = list(config["probes"]), config["protocol"]
    equality = run.get("equality", {})
    configured = [arm["name"] for arm in config["arms"]]
    arms = {
        name: ArmSummary(equality.get(name, {}).get("equal"), equality.get(name, {}).get("reason", "not checked"), 0, 0)
        for name in (*configured, AA)
    }
    for number, launch in enumerate(records.launches, start=1):
        notes += [f"launch {number}: {note}" for note in run_notes(launch)]
    values, launches, rows = launch_values(records, notes)
    values = {name: found for name, found in values.items() if name not in _planted_names(run)}
    for name, found in values.items():
        arms[name] = _arm_summary(arms[name], found, probes)
    counters = _counters(records)
    notes += waiting_notes(counters)
    summary = Summary(
        run, arms, [], probes, notes, counters=counters, launches=max(len(records.launches), 1),
        flames=_flames(records, arms), device=device_times(_each(records)[0].device),
    )  # fmt: skip
    baseline = config["baseline"]
    if baseline not in values:
        if values:
            notes.append(f"the baseline {baseline!r} was not measured, so there are no differences")
        return summary

    base_confidence = _base_confidence(run)
    pairs = _pairs(values, baseline, probes)
    confidence = joint_confidence(base_confidence, len(pairs))
    steps = arms[baseline].steps
    margin_us = protocol["margin"] * arms[baseline].corrected_scope_ns / steps / 1e3
    comparisons = []
    for name, metric in pairs:
        difference = paired_difference(values[name][metric], values[baseline][metric], confidence, launches)
        per_step = difference.scaled(1e-3 / steps)
        comparisons.append(
            Comparison(name, baseline, metric, per_step, difference.scaled(1e-6), verdict(per_step, margin_us))
        )
    notes += [
        f"the baseline came out {c.verdict} than itself (A/A) in {c.metric}: do not trust such verdicts of this run"
        for c in comparisons
        if c.arm == AA and c.metric in (SCOPE, STEP) and c.verdict in ("faster", "slower")
    ]
    own_costs = [
        _own_cost(name, found, joint_confidence(base_confidence, len(values)), launches)
        for name, found in values.items()
        if STEP in found
    ]
    probe_ns = run["calibration"]["inside_ns"], run["calibration"]["outside_ns"]
    of_passes = [None if of_launch is None else levels(of_launch) for of_launch in rows]
    drift, drift_tested, outliers = _disturbances(rows, of_passes, protocol)
    summary = replace(
        summary,
        comparisons=comparisons,
        confidence_each=confidence,
        margin_us=margin_us,
        own_costs=own_costs,
        shapes=_by_shape(run, values, baseline, base_confidence, launches),
        exposure=exposure(
            [of_launch for of_launch in rows if of_launch is not None],
            protocol,
            values[baseline],
            SEAMS[config["seam"]].probe,
            probe_ns,
            base_confidence,
        ),
        throughput=_throughput(run, arms, comparisons),
        drift=drift,
        drift_tested=drift_tested,
        outliers=outliers,
        course=find_course(values, baseline, [of_pass for of_pass in of_passes if of_pass is not None]),
    )
    return _without_verdicts(summary) if summary.withheld else summary


def scope_half_width_us(records: Records) -> float:
    """The widest half-width of the scope's differences, a step, as the report would print them now."""
    values, launches, _ = launch_values(records, [])
    baseline, probes = records.run["config"]["baseline"], list(records.run["config"]["probes"])
    values = {name: found for name, found in values.items() if name not in _planted_names(records.run)}
    if baseline not in values:
        return float("inf")
    pairs = _pairs(values, baseline, probes)
    confidence = joint_confidence(_base_confidence(records.run), len(pairs))
    steps = values[baseline][SCOPE].shape[1]
    differences = [
        paired_difference(values[name][SCOPE], values[baseline][SCOPE], confidence, launches)
        for name in values
        if name != baseline
    ]
    return float(max((difference.high - difference.low) / 2e3 / steps for difference in differences))


def _planted_names(run: dict[str, Any]) -> list[str]:
    return [planted_name(delay) for delay in planted_delays_us(run["config"]["protocol"].get("exposed", False))]


def _base_confidence(run: dict[str, Any]) -> float:
    """The confidence at which a report's intervals hold together, raised where the run was looked at more than once."""
    return per_look(float(run["config"]["protocol"]["confidence"]), len(run.get("looks", [])))


def _pairs(values: dict[str, Values], baseline: str, probes: list[str]) -> list[tuple[str, str]]:
    """(arm, metric) of every difference that the report prints."""
    return [
        (name, metric)
        for name in values
        if name != baseline
        for metric in (SCOPE, *probes, SUM, REST, STEP)
        if metric in values[name] and (values[name][metric].any() or values[baseline][metric].any())
    ]


def _by_shape(
    run: dict[str, Any], values: dict[str, Values], baseline: str, together: float, launches: NDArray[np.int64]
) -> list[ShapeComparison]:
    """The scope's differences by batch shape; none where all steps have the same shape."""
    shapes = steps_by_shape(run["steps"])
    others = [name for name in values if name != baseline]
    if len(shapes) < 2:
        return []
    confidence = joint_confidence(together, len(shapes) * len(others))
    found = []
    for shape, steps in shapes.items():
        of_baseline = values[baseline][SCOPE][:, steps]
        margin_us = run["config"]["protocol"]["margin"] * total(of_baseline) / len(steps) / 1e3
        for name in others:
            difference = paired_difference(values[name][SCOPE][:, steps], of_baseline, confidence, launches)
            per_step = difference.scaled(1e-3 / len(steps))
            found.append(ShapeComparison(shape, len(steps), name, per_step, verdict(per_step, margin_us)))
    return found


def _throughput(run: dict[str, Any], arms: dict[str, ArmSummary], comparisons: list[Comparison]) -> list[Throughput]:
    """Output tokens a second, and how much each arm's difference in the bare step changes them."""
    tokens = run["workload"]["output_tokens"]
    baseline_ns = arms[run["config"]["baseline"]].bare_step_ns
    found = []
    for name, arm in arms.items():
        if not arm.measured or arm.bare_step_ns is None or baseline_ns is None:
            continue
        of_step = next((c.per_pass_ms.scaled(1e6) for c in comparisons if (c.arm, c.metric) == (name, STEP)), None)
        change = None if of_step is None else of_step.rate(tokens * 1e9, baseline_ns)
        found.append(Throughput(name, tokens * 1e9 / arm.bare_step_ns, change))
    return found


def _each(records: Records) -> list[Records]:
    """The records of each launch; a run of one launch is its own."""
    return records.launches or [records]


def _disturbances(
    rows: list[Columns | None], of_passes: list[Levels | None], protocol: dict[str, Any]
) -> tuple[list[LevelShift], bool, Outliers | None]:
    """Level shifts of each launch, whether every launch could be tested for them, and the outlying steps of all."""
    drift: list[LevelShift] = []
    tested, outliers = True, None
    for number, (of_launch, of_pass) in enumerate(zip(rows, of_passes, strict=True), start=1):
        if of_launch is not None and of_pass is not None:
            tested &= len(np.unique(of_launch["pass"])) >= MIN_LENGTH
            drift += find_drift(of_pass, protocol["margin"], protocol["drift"], number)
            found = find_outliers(of_launch)
            outliers = outliers.joined(found) if outliers is not None and found is not None else found or outliers
    return drift, tested, outliers


def _without_verdicts(summary: Summary) -> Summary:
    """The same figures, and no verdict on them."""
    return replace(
        summary,
        comparisons=[replace(comparison, verdict=WITHHELD) for comparison in summary.comparisons],
        shapes=[replace(found, verdict=WITHHELD) for found in summary.shapes],
    )


def _counters(records: Records) -> dict[str, dict[str, float]]:
    """Each arm's counts a step; of several launches the first one's, since counts do not vary."""
    table = _each(records)[0].counters
    if "arm" not in table:
        return {}
    names, arms = [name for name in table if name not in ("arm", "step")], np.asarray(table["arm"])
    return {
        str(arm): {name: float(np.mean(np.asarray(table[name])[arms == arm])) for name in names}
        for arm in dict.fromkeys(arms)
    }


def _flames(records: Records, arms: dict[str, ArmSummary]) -> dict[str, Flame]:
    """Each arm's recording; of several launches the first one's, since only that one samples."""
    first = _each(records)[0]
    found = {}
    for name, folded in first.folded.items():
        arm = arms[name]
        alone = not records.launches  # or the step is the mean of several launches, and only one was sampled
        step_us = arm.bare_step_ns / arm.steps / 1e3 if alone and arm.bare_step_ns else None
        found[name] = flame_of_arm(Recording(**first.run["flamegraphs"][name]), parse(folded), step_us)
    return found


def _arm_summary(arm: ArmSummary, values: Values, probes: list[str]) -> ArmSummary:
    groups, steps = values[SCOPE].shape
    return ArmSummary(
        equal=arm.equal,
        reason=arm.reason,
        steps=steps,
        passes=groups,
        step_ns=total(values["probed_step_ns"]),
        bare_step_ns=total(values[STEP]) if STEP in values else None,
        scope_ns=total(values["scope.total_ns"]),
        residual_ns=total(values["scope.self_ns"]),
        corrected_scope_ns=total(values[SCOPE]),
        corrected_residual_ns=total(values[REST]),
        probes={
            probe: ProbeTotals(
                calls=total(values[f"{probe}.calls"]),
                total_ns=total(values[f"{probe}.total_ns"]),
                self_ns=total(values[f"{probe}.self_ns"]),
                corrected_self_ns=total(values[probe]),
            )
            for probe in probes
        },
    )


def _own_cost(arm: str, values: Values, confidence: float, launches: NDArray[np.int64]) -> OwnCost:
    steps = values[STEP].shape[1]
    cost = paired_difference(values["probed_step_ns"], values[STEP], confidence, launches).scaled(1e-3 / steps)
    return OwnCost(arm, cost, cost.estimate / (total(values[STEP]) / steps / 1e3))
