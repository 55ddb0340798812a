"""From records to numbers: totals by arm and probe, paired differences and their verdicts, the instrument's own cost.

Pure: takes what `read_run` gives, measures nothing and writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from harness.exposure import PLANTED_US, exposure, planted_name
from harness.seams import AA, SEAMS
from harness.shapes import steps_by_shape
from harness.statistics import corrected_self, joint_confidence, paired_difference, total, verdict
from harness.summary import (
    REST,
    SCOPE,
    STEP,
    SUM,
    ArmSummary,
    Comparison,
    OwnCost,
    ProbeTotals,
    ShapeComparison,
    Summary,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from harness.records import Records

    Values: TypeAlias = dict[str, NDArray[np.float64]]

__all__ = ["arm_values", "summarise"]


def summarise(records: Records) -> Summary:
    """Work out a run's summary; an unfinished group is left out and noted."""
    run, notes = records.run, _notes(records)
    config = run["config"]
    probes, protocol = list(config["probes"]), config["protocol"]
    equality = run.get("equality", {})
    configured = [arm["name"] for arm in config["arms"]]
    arms = {
        name: ArmSummary(equality.get(name, {}).get("equal"), equality.get(name, {}).get("reason", "not checked"), 0, 0)
        for name in (*configured, AA)
    }
    values = arm_values(records, notes)
    planted = {name: values.pop(name) for name in map(planted_name, PLANTED_US) if name in values}
    for name, found in values.items():
        arms[name] = _arm_summary(arms[name], found, probes)
    summary = Summary(run, arms, [], probes, notes)
    baseline = config["baseline"]
    if baseline not in values:
        if values:
            notes.append(f"the baseline {baseline!r} was not measured, so there are no differences")
        return summary

    pairs = [
        (name, metric, values[name][metric], values[baseline][metric])
        for name in values
        if name != baseline
        for metric in (SCOPE, *probes, SUM, REST, STEP)
        if metric in values[name] and (values[name][metric].any() or values[baseline][metric].any())
    ]
    confidence = joint_confidence(protocol["confidence"], len(pairs))
    steps = arms[baseline].steps
    margin_us = protocol["margin"] * arms[baseline].corrected_scope_ns / steps / 1e3
    comparisons = []
    for name, metric, arm_ns, baseline_ns in pairs:
        difference = paired_difference(arm_ns, baseline_ns, confidence)
        per_step = difference.scaled(1e-3 / steps)
        comparisons.append(
            Comparison(name, baseline, metric, per_step, difference.scaled(1e-6), verdict(per_step, margin_us))
        )
    notes += [
        f"the baseline came out {c.verdict} than itself (A/A) in {c.metric}: take no such verdict from this run"
        for c in comparisons
        if c.arm == AA and c.metric in (SCOPE, STEP) and c.verdict in ("faster", "slower")
    ]
    own_costs = [
        _own_cost(name, found, joint_confidence(protocol["confidence"], len(values)))
        for name, found in values.items()
        if STEP in found
    ]
    shapes = _by_shape(run, values, baseline)
    probe_ns = run["calibration"]["inside_ns"] + run["calibration"]["outside_ns"]
    exposed = exposure(
        {**values, **planted}, baseline, SEAMS[config["seam"]].probe, probe_ns, float(protocol["confidence"])
    )
    return Summary(run, arms, comparisons, probes, notes, confidence, margin_us, own_costs, shapes, exposed)


def _by_shape(run: dict[str, Any], values: dict[str, Values], baseline: str) -> list[ShapeComparison]:
    """The scope's differences by batch shape; none where all steps have the same."""
    shapes = steps_by_shape(run["steps"])
    others = [name for name in values if name != baseline]
    if len(shapes) < 2:
        return []
    protocol = run["config"]["protocol"]
    confidence = joint_confidence(protocol["confidence"], len(shapes) * len(others))
    found = []
    for shape, steps in shapes.items():
        of_baseline = values[baseline][SCOPE][:, steps]
        margin_us = protocol["margin"] * total(of_baseline) / len(steps) / 1e3
        for name in others:
            difference = paired_difference(values[name][SCOPE][:, steps], of_baseline, confidence)
            per_step = difference.scaled(1e-3 / len(steps))
            found.append(ShapeComparison(shape, len(steps), name, per_step, verdict(per_step, margin_us)))
    return found


def arm_values(records: Records, notes: list[str]) -> dict[str, Values]:
    """For each measured arm its values by metric, each of shape [groups, steps], in nanoseconds.

    Metrics are corrected for the probes' own cost; `step` is there only where bare steps were measured. Raw columns
    are there under their own names.
    """
    run = records.run
    known = [*(arm["name"] for arm in run["config"]["arms"]), AA, *map(planted_name, PLANTED_US)]
    measured = [name for name in run.get("arms_measured", []) if name in known]
    bare = bool(run["config"]["protocol"]["bare"])
    frame = _complete_groups(records.frame, len(measured) * (1 + bare), run, notes)
    if frame is None:
        return {}
    probes = list(run["config"]["probes"])
    calibration = run["calibration"]
    cost = float(calibration["inside_ns"]), float(calibration["outside_ns"])
    values = {}
    for name in measured:
        of_arm = frame[frame["arm"] == name]
        values[name] = _metrics(of_arm[of_arm["probed"]], probes, cost)
        if bare:
            values[name][STEP] = _step_ns(_ordered(of_arm[~of_arm["probed"]]))
    return values


def _notes(records: Records) -> list[str]:
    run = records.run
    notes = []
    if run["status"] == "running":
        notes.append("this run never ended by itself: its process was killed, or is still at work")
    elif run["status"] != "complete" or run.get("message"):
        notes.append(run.get("message") or f"this run is {run['status']}")
    clipped, cap = run.get("workload", {}).get("clipped"), run.get("host", {}).get("max_model_len")
    if clipped:
        notes.append(f"{clipped} requests were clipped to the model's {cap} tokens")
    if records.partial:
        notes.append(f"cut short, kept but not counted: {', '.join(records.partial)}")
    notes += [f"left out, it cannot be read: passes/{name} ({why})" for name, why in records.unreadable.items()]
    return notes


def _complete_groups(frame: pd.DataFrame, passes: int, run: dict[str, Any], notes: list[str]) -> pd.DataFrame | None:
    """Only groups in which every step met every arm, probed and bare."""
    if frame.empty or not passes:
        return None
    rows = frame.groupby("group").size()
    whole = rows.index[rows == passes * run["steps"]["count"]]
    if len(whole) < len(rows):
        notes.append(f"{len(rows) - len(whole)} of {len(rows)} groups lack a pass and are left out")
    kept = frame[frame["group"].isin(whole)]
    return None if kept.empty else kept


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["group", "step"])


def _column(ordered: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return np.asarray(ordered[name], dtype=np.float64).reshape(ordered["group"].nunique(), -1)


def _step_ns(ordered: pd.DataFrame) -> NDArray[np.float64]:
    return _column(ordered, "execute_ns") + _column(ordered, "sample_ns")


def _metrics(frame: pd.DataFrame, probes: list[str], cost: tuple[float, float]) -> Values:
    """One arm's probed values: corrected times by metric, and the raw columns."""
    ordered = _ordered(frame)
    values = {name: _column(ordered, name) for name in ordered.columns if name.partition(".")[2]}
    values["probed_step_ns"] = _step_ns(ordered)
    inside, outside = cost
    for metric, source in ((REST, SCOPE), *((probe, probe) for probe in probes)):
        values[metric] = corrected_self(
            values[f"{source}.self_ns"], values[f"{source}.calls"], values[f"{source}.nested_calls"], inside, outside
        )
    values[SUM] = np.sum([values[probe] for probe in probes], axis=0) if probes else np.zeros_like(values[REST])
    values[SCOPE] = values[SUM] + values[REST]
    return values


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


def _own_cost(arm: str, values: Values, confidence: float) -> OwnCost:
    steps = values[STEP].shape[1]
    cost = paired_difference(values["probed_step_ns"], values[STEP], confidence).scaled(1e-3 / steps)
    return OwnCost(arm, cost, cost.estimate / (total(values[STEP]) / steps / 1e3))
