"""The summary of a run at launch grain, with the same parts as any other, as far as launches tell them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from harness.analysis.by_launch import by_arm, counters_of_arms, drift_of, launch_grain_notes, stack
from harness.analysis.device_times import device_times, waiting_notes
from harness.analysis.launch_grain import LaunchGrain
from harness.analysis.measured import launches_turns
from harness.analysis.metrics import OF_CPU, STEP
from harness.analysis.names import full_names, short_names
from harness.analysis.of_arms import arm_summary, counts_of, flames_of, throughput_of
from harness.analysis.own import never_called_notes
from harness.analysis.run_notes import run_notes
from harness.analysis.summary import ArmSummary, Summary
from harness.analysis.tracked import tracked_notes
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.measured import Values
    from harness.records.folder import Records

__all__ = ["summarise_launches"]

SETTINGS: Final = ("env", "engine", "host", "vllm")
"""Keys of an arm that make it a setting."""
LOOP: Final = (
    "the engine cores of some arms are in other processes than their model runners, where no turn can be timed: the "
    "whole turn is the loop's here, in every arm, from the beginning of one step to that of the next"
)

WHOLE: Final = (STEP, OF_CPU[STEP])
"""The metrics of a whole step, which every engine has."""


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
    step, elsewhere = launches_turns(records.launches), _elsewhere(run, values)
    firsts = {launch.run.get("arm"): launch for launch in reversed(records.launches) if launch.columns}
    table = counters_of_arms({arm: launch for arm, launch in firsts.items() if arm in values})
    counters = counts_of(table)
    notes = [
        *([_elsewhere_note(run, elsewhere)] if elsewhere else []),
        *notes,
        *waiting_notes(counters),
        *([LOOP] if step == "loop" else []),
        *tracked_notes(table, list(counters), NATIVE),
        *never_called_notes(run, short_names(full_names(run))),
    ]
    device = {arm: device_times(launch.device) for arm, launch in firsts.items() if arm in values}
    flames = {arm: flames_of(launch, {NATIVE: arms[arm]}, False) for arm, launch in firsts.items() if arm in values}
    summary = Summary(
        run, arms, [], probes, notes, counters=counters,
        launches=max(sum(map(len, values.values())) - len(values.get(AA, [])), 1),
        device={arm: each[NATIVE] for arm, each in device.items() if NATIVE in each},
        turns=step == "turn", loop=step == "loop",
        flames={arm: each[NATIVE] for arm, each in flames.items() if NATIVE in each},
    )  # fmt: skip
    grain = LaunchGrain.of(run, found)
    if grain is None:
        return summary
    comparisons = [each for each in grain.comparisons() if each.arm not in elsewhere or each.metric in WHOLE]
    drift, drift_tested = drift_of(records, config["protocol"])
    return replace(
        summary,
        comparisons=comparisons,
        confidence_each=grain.confidence,
        margin_us=grain.margin_us,
        own_costs=grain.own_costs(),
        shapes=[each for each in grain.by_shape(run) if each.arm not in elsewhere],
        throughput=throughput_of(run, arms, comparisons),
        drift=drift,
        drift_tested=drift_tested,
        figures=grain.figures(),
        notes=[*summary.notes, *filter(None, [grain.spread_note()])],
    )


def _elsewhere(run: dict[str, Any], values: dict[str, list[Values]]) -> list[str]:
    """Settings by which engines come into the scope where native's do not, or the other way round.

    One of them calls other functions then, and its zero is no time saved.
    """
    settings = {arm["name"] for arm in run["config"]["arms"] if any(arm.get(key) for key in SETTINGS)}
    came = {name: any(each["scope.calls"].any() for each in launches) for name, launches in values.items()}
    return [name for name in values if name in settings and came[name] != came[NATIVE]] if NATIVE in values else []


def _elsewhere_note(run: dict[str, Any], arms: Sequence[str]) -> str:
    return (
        f"the scope is not compared for {', '.join(arms)}: either native or these never came into "
        f"{run['config']['scope']}, since the setting has other functions called: name a scope that both have"
    )
