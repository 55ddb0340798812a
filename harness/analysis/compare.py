"""Two runs or more, side by side: what differs between them, and what can be said about it.

Runs are separate launches, and what is random once per process is not in the spread within a launch. So a difference
between runs gets an interval only from launches: each launch gives one figure, and Welch's t-test (1947) compares
them. It takes three launches a side (Kalibera & Jones 2013; Georges et al. 2007). Runs of different work are not
compared.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.analysis.by_launch import by_arm, is_by_launch
from harness.analysis.intervals import Interval, joint_confidence, verdict
from harness.analysis.measured import arm_values, launches_turns
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.phase_figures import lacking, opened, phase_figures
from harness.analysis.statistics import FEWEST, typical_sum, welch
from harness.analysis.step_time import has_output
from harness.analysis.summarise import summarise
from harness.records.agreement import SIGNATURE
from harness.records.folder import read_run
from harness.records.profile_schema import is_profile
from harness.seams import AA
from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.analysis.summary import Summary
    from harness.records.folder import Records

__all__ = ["Difference", "Row", "RunComparison", "compare_runs"]

IGNORED: Final = frozenset({"load_average"})
"""What differs between any two runs, and explains nothing."""
TIMED_BY: Final = ("seam", "swap", "scope", "probes", "sync", "nvtx", "grain")
"""Keys of the config and its protocol that decide what a self time is of. The whole step, from bare passes, is free of
them."""
MEASURED: Final = ("seam", "swap", "scope", "probes", "baseline")
"""Keys of the config that decide what is compared with what."""
NAME: Final = 100
"""Characters of a run's name, at most."""
CONTROLS: Final = ("groups", "passes", "seconds", "until", "launches", "seed")
"""Keys of the protocol that set how long and in which order is measured, but not what."""


@dataclass(frozen=True)
class Difference:
    """A recorded fact that is not the same in all runs: its category and key, and its value in each run."""

    category: str
    key: str
    values: list[str]


@dataclass(frozen=True)
class Row:
    """One arm's metric in a run, compared with the first run; of profiles a phase is one, by its label.

    `first_us` and `other_us` are means over launches, a step; the interval is None where there are too few launches.
    """

    run: str
    arm: str
    metric: str
    first_us: float
    other_us: float
    difference_us: Interval | None
    verdict: str


@dataclass(frozen=True)
class RunComparison:
    """What a comparison shows. `refusals` say why there are no verdicts, or what these leave open."""

    names: list[str]
    launches: list[int]
    differences: list[Difference]
    refusals: list[str]
    rows: list[Row]
    confidence_each: float
    margin: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"schema": 1, **asdict(self)}


def compare_runs(folders: Sequence[Path]) -> RunComparison:
    """Compare each run with the first one.

    Raises:
        RecordsError: a folder holds no run.
    """
    all_records = [read_run(folder) for folder in folders]
    summaries = [summarise(records) for records in all_records]
    names = [one_line(folder.name or str(folder), NAME) for folder in folders]
    if len(set(names)) < len(names):
        names = [one_line(str(folder)) for folder in folders]
    runs = [records.run for records in all_records]
    differences = _differences(runs)
    launches = [_launches(records) for records in all_records]
    refusals = _refusals(names, runs, summaries, launches, differences)
    same_work = [runs[0].get("steps", {}).get(key) for key in SIGNATURE]
    figures = [_figures(records) for records in all_records]
    for index in range(1, len(runs)):
        if is_profile(runs[0]) and is_profile(runs[index]) and not _timed_otherwise(runs[0], runs[index]):
            refusals += lacking([names[0], names[index]], [figures[0], figures[index]])
    pairs = [
        (index, arm, metric)
        for index in range(1, len(runs))
        if [runs[index].get("steps", {}).get(key) for key in SIGNATURE] == same_work
        for arm in figures[0]
        if arm in figures[index] and arm != AA
        for metric in figures[0][arm]
        if metric in figures[index][arm]
        and (figures[0][arm][metric].any() or figures[index][arm][metric].any())
        and (metric == STEP or not _timed_otherwise(runs[0], runs[index]))
        and (metric != STEP or _same_steps(summaries[0], summaries[index]))
    ]  # fmt: skip
    protocol = runs[0]["config"]["protocol"]
    confidence = joint_confidence(protocol["confidence"], len(pairs))
    rows = []
    for index, arm, metric in pairs:
        first, other = figures[0][arm][metric], figures[index][arm][metric]
        enough = min(len(first), len(other)) >= FEWEST
        interval = welch(other, first, confidence) if enough else None
        judged = "no verdict"
        if interval is not None and not (summaries[0].withheld or summaries[index].withheld):
            judged = verdict(interval, protocol["margin"] * float(figures[0][arm][SCOPE].mean()))
        rows.append(Row(names[index], arm, metric, float(first.mean()), float(other.mean()), interval, judged))
    return RunComparison(names, launches, differences, refusals, rows, confidence, protocol["margin"])


def _same_steps(first: Summary, other: Summary) -> bool:
    """Whether a whole step of both is the time of the same things."""
    return first.turns == other.turns and not (first.turns and has_output(first.run) != has_output(other.run))


def _launches(records: Records) -> int:
    """How many launches each arm has at least."""
    if is_by_launch(records.run):
        return min(map(len, (found for arm, found in by_arm(records, []).values.items() if arm != AA)), default=1)
    return max(len(records.launches), 1)


def _timed_otherwise(first: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What makes self times of two runs times of other things; empty where they can be compared.

    Profiles are compared by phases, whichever functions these are; what is opened in one takes from its own time.
    """
    phases = is_profile(first) and is_profile(other)

    def of(run: dict[str, Any], key: str) -> Any:
        if phases and key in ("scope", "probes"):
            return opened(run) if key == "probes" else ""
        config = run["config"]
        return config.get(key, config["protocol"].get(key) or False)

    return [key for key in TIMED_BY if of(first, key) != of(other, key)]


def _figures(records: Records) -> dict[str, dict[str, np.ndarray[Any, np.dtype[np.float64]]]]:
    """By arm and metric, in the order of tables: microseconds a step of each launch."""
    if is_profile(records.run):
        return phase_figures(records)
    metrics = (SCOPE, *records.run["config"]["probes"], STEP)
    if is_by_launch(records.run):
        return {
            arm: {
                metric: np.array([typical_sum(v[metric]) / v[metric].shape[-1] / 1e3 for v in launches])
                for metric in metrics
                if all(metric in values for values in launches)
            }
            for arm, launches in by_arm(records, []).values.items()
        }
    launches = records.launches or [records]
    turns = launches_turns(launches)
    each = [arm_values(launch, [], turns) for launch in launches]
    each = [values for values in each if values]
    if not each:
        return {}
    common = [arm for arm in each[0] if all(arm in values for values in each)]
    return {
        arm: {
            metric: np.array([typical_sum(v[arm][metric]) / v[arm][metric].shape[-1] / 1e3 for v in each])
            for metric in metrics
            if all(metric in values[arm] for values in each)
        }
        for arm in common
    }


def _differences(runs: list[dict[str, Any]]) -> list[Difference]:
    """Everything that differs, by category: versions, machine, engine, workload, protocol."""
    sections = {
        "versions": [{**run["versions"], "engine": run.get("host", {}).get("version", "")} for run in runs],
        "machine": [{k: v for k, v in run["machine"].items() if k not in IGNORED} for run in runs],
        "engine": [
            {
                **run["config"].get("engine", {}), **run["config"].get("host", {}),
                **{k: run.get("host", {}).get(k, "") for k in ("runner", "device", "model")},
            }
            for run in runs
        ],
        "workload": [{**run["config"].get("workload", {}), **run.get("workload", {})} for run in runs],
        "arms": [_arms(run) for run in runs],
        "measured": [{k: run["config"].get(k) for k in MEASURED} for run in runs],
        "protocol": [run["config"]["protocol"] for run in runs],
    }  # fmt: skip
    found = []
    for category, values in sections.items():
        for key in dict.fromkeys(key for value in values for key in value):
            shown = [_shown(value.get(key)) for value in values]
            if len(set(shown)) > 1:
                found.append(Difference(category, key, shown))
    return found


def _arms(run: dict[str, Any]) -> dict[str, str]:
    """What each arm is: where it is written, which text that has, and what is planted behind it."""
    digests = {**run.get("arm_sources", {}), **{k: v.get("sha256", "") for k, v in run.get("changes", {}).items()}}
    found = {}
    for arm in run["config"]["arms"]:
        delay = f" +{arm['delay_us']:g} us" if arm.get("delay_us") is not None else ""
        text = f" ({digests[arm['name']]})" if digests.get(arm["name"]) else ""
        what = arm.get("reference") or arm.get("patch") or arm.get("tree") or ""
        found[arm["name"]] = f"{what}{' reverted' if arm.get('revert') else ''}{delay}{text}"
    return found


def _refusals(
    names: list[str],
    runs: list[dict[str, Any]],
    summaries: list[Summary],
    launches: list[int],
    differences: list[Difference],
) -> list[str]:
    said = []
    for name, run in zip(names[1:], runs[1:], strict=True):
        if any(run.get("steps", {}).get(key) != runs[0].get("steps", {}).get(key) for key in SIGNATURE):
            said.append(f"{name} did other work than {names[0]} (its steps have other batches), so it is not compared")
        if otherwise := _timed_otherwise(runs[0], run):
            said.append(
                f"self times of {name} and {names[0]} are of other things ({', '.join(otherwise)} differ): only the "
                "whole step is compared"
            )
    said += [
        f"the steps of {name} are timed in the {summary.timed_in}, those of {names[0]} in the {summaries[0].timed_in}: "
        "whole steps are not compared"
        for name, summary in zip(names[1:], summaries[1:], strict=True)
        if summary.turns != summaries[0].turns and any(arm.measured for arm in summary.arms.values())
    ]
    said += [
        f"a turn of {name} has its output in it, and one of {other} has not: whole steps are not compared"
        for pair in zip(names[1:], summaries[1:], strict=True)
        for (name, with_it), (other, without) in itertools.permutations([(names[0], summaries[0]), pair])
        if with_it.turns and without.turns and has_output(with_it.run) and not has_output(without.run)
    ]
    if few := [name for name, count in zip(names, launches, strict=True) if count < FEWEST]:
        said.append(
            f"no verdict with fewer than {FEWEST} launches a run ({', '.join(few)}): what differs between "
            "launches cannot be separated from what differs between runs; set protocol.launches to 5"
        )
    said += [
        f"no verdict with {name}: its own are withheld, since its level shifted while it was measured"
        for name, summary in zip(names, summaries, strict=True)
        if summary.withheld
    ]
    causes = {each.category for each in differences} - {"workload", "measured"}
    causes -= {"protocol"} if all(d.key in CONTROLS for d in differences if d.category == "protocol") else set()
    if len(causes) > 1:
        said.append(f"{', '.join(sorted(causes))} differ at once: a difference cannot be attributed to one of them")
    return said


def _shown(value: Any) -> str:
    return "" if value is None else one_line(str(value))
