"""The summary of a run at launch grain, with the same parts as any other, as far as launches tell them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.analysis.by_launch import LaunchGrain, by_arm, counters_of_arms, drift_of, launch_grain_notes, stack
from harness.analysis.device_times import device_times, waiting_notes
from harness.analysis.names import full_names, short_names
from harness.analysis.of_arms import arm_summary, counts_of, flames_of, throughput_of
from harness.analysis.own import never_called_notes
from harness.analysis.run_notes import run_notes
from harness.analysis.step_time import has_turns
from harness.analysis.summary import ArmSummary, Summary
from harness.analysis.tracked import tracked_notes
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from harness.records.folder import Records

__all__ = ["summarise_launches"]


def summarise_launches(records: Records) -> Summary:
    """Of a run at launch grain: one figure a launch, arms compared over launches (`by_launch`)."""
    run, run_told, left = records.run, run_notes(records), list[str]()
    config, equality = run["config"], run.get("equality", {})
    probes = list(config["probes"])
    found = by_arm(records, left)
    values = found.values
    notes = [*run_told, *launch_grain_notes(run, values), *left]
    for number, launch in enumerate(records.launches, start=1):
        notes += [f"launch {number}: {note}" for note in run_notes(launch)]
    names = dict.fromkeys([*(arm["name"] for arm in config["arms"]), *values, AA])
    arms = {
        name: ArmSummary(equality.get(name, {}).get("equal"), equality.get(name, {}).get("reason", "not checked"), 0, 0)
        for name in names
    }
    arms |= {name: arm_summary(arms[name], stacked, probes) for name, stacked in stack(values).items()}
    firsts = {launch.run.get("arm"): launch for launch in reversed(records.launches) if launch.columns}
    table = counters_of_arms({arm: launch for arm, launch in firsts.items() if arm in values})
    counters = counts_of(table)
    notes += [
        *waiting_notes(counters),
        *tracked_notes(table, list(counters), NATIVE),
        *never_called_notes(run, short_names(full_names(run))),
    ]
    device = {arm: device_times(launch.device) for arm, launch in firsts.items() if arm in values}
    flames = {arm: flames_of(launch, {NATIVE: arms[arm]}, False) for arm, launch in firsts.items() if arm in values}
    summary = Summary(
        run, arms, [], probes, notes, counters=counters,
        launches=max(sum(map(len, values.values())) - len(values.get(AA, [])), 1),
        device={arm: each[NATIVE] for arm, each in device.items() if NATIVE in each},
        turns=bool(firsts) and all(has_turns(launch.columns) for launch in records.launches if launch.columns),
        flames={arm: each[NATIVE] for arm, each in flames.items() if NATIVE in each},
    )  # fmt: skip
    grain = LaunchGrain.of(run, found)
    if grain is None:
        return summary
    comparisons = grain.comparisons()
    drift, drift_tested = drift_of(records, config["protocol"])
    return replace(
        summary,
        comparisons=comparisons,
        confidence_each=grain.confidence,
        margin_us=grain.margin_us,
        own_costs=grain.own_costs(),
        shapes=grain.by_shape(run),
        throughput=throughput_of(run, arms, comparisons),
        drift=drift,
        drift_tested=drift_tested,
        notes=[*summary.notes, *filter(None, [grain.spread_note()])],
    )
