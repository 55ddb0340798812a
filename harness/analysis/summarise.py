"""From records to numbers: totals by arm and probe, paired differences and their verdicts, the instrument's own cost.

Pure: takes what `read_run` gives, measures nothing and writes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.analysis.by_launch import is_by_launch
from harness.analysis.ceilings import find_ceilings
from harness.analysis.changepoint import MIN_LENGTH
from harness.analysis.course import find_course
from harness.analysis.device_times import device_times, waiting_notes
from harness.analysis.differences import Differences, drawn_by, family_size, pairs_of
from harness.analysis.drift import find_drift, levels
from harness.analysis.exposure import exposure, planted_delays_us, planted_name
from harness.analysis.intervals import joint_confidence
from harness.analysis.measured import launch_values
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.names import full_names, short_names
from harness.analysis.of_arms import arm_summary, counts_of, flames_of, throughput_of
from harness.analysis.outliers import find_outliers, find_outlying
from harness.analysis.own import never_called_notes
from harness.analysis.populations import find_populations
from harness.analysis.rare import find_rare
from harness.analysis.run_notes import rare_notes, run_notes, trend_notes
from harness.analysis.shapes import steps_by_shape
from harness.analysis.statistics import FEWEST
from harness.analysis.stopping import per_look
from harness.analysis.summarise_launches import summarise_launches
from harness.analysis.summary import ArmSummary, Summary
from harness.analysis.tracked import tracked_notes
from harness.analysis.trend import find_trends
from harness.analysis.unseen import unseen_notes
from harness.seams import AA, swapped_in

if TYPE_CHECKING:
    from harness.analysis.drift import Levels, LevelShift
    from harness.analysis.outliers import Outliers, Outlying
    from harness.records.folder import Records
    from harness.records.tables import Columns

__all__ = ["scope_half_width_us", "summarise", "whole_run"]

WITHHELD = "withheld"


def summarise(records: Records) -> Summary:
    """Work out a run's summary; an unfinished group is left out and noted."""
    if is_by_launch(records.run):
        return summarise_launches(records)
    run, notes = whole_run(records), run_notes(records)
    config = run["config"]
    probes, protocol = list(config["probes"]), config["protocol"]
    equality = run.get("equality", {})
    configured = [arm["name"] for arm in config["arms"] if not arm.get("ceiling")]
    arms = {
        name: ArmSummary(equality.get(name, {}).get("equal"), equality.get(name, {}).get("reason", "not checked"), 0, 0)
        for name in (*configured, AA)
    }
    for number, launch in enumerate(records.launches, start=1):
        notes += [f"launch {number}: {note}" for note in run_notes(launch)]
    values, launches, rows, cost, turns = launch_values(records, notes)
    measured = [of_launch for of_launch in rows if of_launch is not None]
    if len(measured) < len(records.launches):
        too_few = ", too few for an interval" if len(measured) < FEWEST else ""
        notes.append(f"{len(measured)} of {len(records.launches)} launches measured something{too_few}")
    values = {name: found for name, found in values.items() if name not in _planted_names(run)}
    for name, found in values.items():
        arms[name] = arm_summary(arms[name], found, probes)
    counters = _counters(records)
    notes += waiting_notes(counters)
    notes += unseen_notes(_each(records)[0].counters, arms)
    notes += tracked_notes(_each(records)[0].counters, list(arms), run["config"]["baseline"])
    notes += never_called_notes(run, short_names(full_names(run)))
    summary = Summary(
        run, arms, [], probes, notes, counters=counters, launches=max(len(measured), 1),
        flames=flames_of(_each(records)[0], arms, not records.launches), device=device_times(_each(records)[0].device),
        turns=turns, ceilings=find_ceilings(run, _each(records)[0].ceilings),
    )  # fmt: skip
    baseline = config["baseline"]
    if baseline not in values:
        if values:
            notes.append(f"the baseline {baseline!r} was not measured, so there are no differences")
        return summary

    confidence = joint_confidence(_base_confidence(run), family_size(run, values, baseline))
    steps = arms[baseline].steps
    margin_us = protocol["margin"] * arms[baseline].corrected_scope_ns / steps / 1e3
    compared = Differences(
        values, baseline, confidence, launches, drawn_by(protocol), margin_us, probes, cost, cost.error(confidence)
    )
    comparisons = [compared.in_metric(name, metric) for name, metric in pairs_of(values, baseline, probes)]
    notes += [
        f"the baseline came out {c.verdict} than itself (A/A) in {c.metric}: do not trust such verdicts of this run"
        for c in comparisons
        if c.arm == AA and c.metric in (SCOPE, STEP) and c.verdict in ("faster", "slower")
    ]
    own_costs = [compared.own_cost(name) for name, found in values.items() if STEP in found]
    of_passes = [None if of_launch is None else levels(of_launch) for of_launch in rows]
    outlying = [None if of_launch is None else find_outlying(of_launch) for of_launch in rows]
    drift, drift_tested, outliers = _disturbances(rows, outlying, of_passes, protocol)
    rare = find_rare(zip(rows, outlying, strict=True), values, baseline, confidence)
    summary = replace(
        summary,
        comparisons=comparisons,
        confidence_each=confidence,
        margin_us=margin_us,
        own_costs=own_costs,
        populations=find_populations(run, values, baseline, compared.in_steps, protocol["margin"]),
        shapes=compared.by_shape(steps_by_shape(run["steps"]), protocol["margin"]),
        exposure=exposure(measured, protocol, values[baseline], swapped_in(config), cost, confidence),
        throughput=throughput_of(run, arms, comparisons),
        probe_call_ns=cost.measured_ns(confidence),
        drift=drift,
        drift_tested=drift_tested,
        outliers=outliers,
        rare=rare,
        trends=find_trends(values, baseline, confidence, launches),
        course=find_course(values, baseline, [of_pass for of_pass in of_passes if of_pass is not None]),
    )
    if summary.withheld:
        return _without_verdicts(summary)
    return replace(summary, notes=[*rare_notes(summary), *trend_notes(summary), *notes])


def scope_half_width_us(records: Records) -> float:
    """The widest half-width of the scope's differences, a step, as the report would print them now.

    Of arms in one engine; between launches it is `pilot.expected_half_width_us`.
    """
    values, launches, _, cost, _ = launch_values(records, [])
    baseline = records.run["config"]["baseline"]
    values = {name: found for name, found in values.items() if name not in _planted_names(records.run)}
    if baseline not in values:
        return float("inf")
    confidence = joint_confidence(_base_confidence(records.run), family_size(records.run, values, baseline))
    protocol, probes = records.run["config"]["protocol"], list(records.run["config"]["probes"])
    compared = Differences(
        values, baseline, confidence, launches, drawn_by(protocol), 0.0, probes, cost, cost.error(confidence)
    )
    differences = [compared.in_metric(name, SCOPE).per_step_us for name in values if name != baseline]
    return float(max((difference.high - difference.low) / 2 for difference in differences))


OF_FIRST_LAUNCH: Final = (
    "switch",
    "calls",
    "called_in",
    "checked",
    "on_other_threads",
    "scope_found",
    "no_ceiling",
    "anatomy",
)
"""What a run of several launches takes from the first one, where it has none of its own."""


def whole_run(records: Records) -> dict[str, Any]:
    """run.json, of several launches with what only they know."""
    run = records.run
    first = records.launches[0].run if records.launches else {}
    return {**run, **{key: first[key] for key in OF_FIRST_LAUNCH if key in first and key not in run}}


def _planted_names(run: dict[str, Any]) -> list[str]:
    return [planted_name(delay) for delay in planted_delays_us(run["config"]["protocol"].get("exposed", False))]


def _base_confidence(run: dict[str, Any]) -> float:
    """The confidence at which a report's intervals hold together, raised where the run was looked at more than once."""
    return per_look(float(run["config"]["protocol"]["confidence"]), len(run.get("looks", [])))


def _each(records: Records) -> list[Records]:
    """The records of each launch; a run of one launch is its own."""
    return records.launches or [records]


def _disturbances(
    rows: list[Columns | None],
    outlying: list[Outlying | None],
    of_passes: list[Levels | None],
    protocol: dict[str, Any],
) -> tuple[list[LevelShift], bool, Outliers | None]:
    """Level shifts of each launch, whether every launch could be tested for them, and the outlying steps of all."""
    drift: list[LevelShift] = []
    tested, outliers = True, None
    for number, (of_launch, steps, of_pass) in enumerate(zip(rows, outlying, of_passes, strict=True), start=1):
        if of_launch is not None and of_pass is not None:
            tested &= len(np.unique(of_launch["pass"])) >= MIN_LENGTH
            drift += find_drift(of_pass, protocol["margin"], protocol["drift"], number)
            found = None if steps is None else find_outliers(of_launch, steps)
            outliers = outliers.joined(found) if outliers is not None and found is not None else found or outliers
    return drift, tested, outliers


def _without_verdicts(summary: Summary) -> Summary:
    """The same figures, and no verdict on them."""
    return replace(
        summary,
        comparisons=[
            replace(found, verdict=WITHHELD, means_verdict=WITHHELD if found.means_us else "")
            for found in summary.comparisons
        ],
        shapes=[replace(found, verdict=WITHHELD) for found in summary.shapes],
        populations=[
            replace(found, kinds=[replace(kind, verdict=WITHHELD) for kind in found.kinds])
            for found in summary.populations
        ],
        rare=[replace(found, verdict=WITHHELD if found.verdict else "") for found in summary.rare],
    )


def _counters(records: Records) -> dict[str, dict[str, float]]:
    """Each arm's counts a step; of several launches the first one's, since counts do not vary."""
    return counts_of(_each(records)[0].counters)
