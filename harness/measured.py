"""From a run's tables to arrays: each arm's values by metric, corrected for the probes' cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from harness.exposure import PLANTED_US, planted_name
from harness.seams import AA
from harness.statistics import corrected_self
from harness.summary import REST, SCOPE, STEP, SUM

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from harness.records import Records

    Values: TypeAlias = dict[str, NDArray[np.float64]]

__all__ = ["arm_values", "complete_groups", "launch_values"]


def launch_values(records: Records, notes: list[str]) -> tuple[dict[str, Values], NDArray[np.int64]]:
    """`arm_values` of all launches, one after the other, and the launch of each group.

    Arms that some launch has not measured are left out and noted.
    """
    if not records.launches:
        values = arm_values(records, notes)
        groups = next((len(found[SCOPE]) for found in values.values()), 0)
        return values, np.zeros(groups, dtype=np.int64)
    each = []
    for number, launch in enumerate(records.launches, start=1):
        of_launch: list[str] = []
        each.append(arm_values(launch, of_launch))
        notes += [f"launch {number}: {note}" for note in of_launch]
    each = [values for values in each if values]
    if not each:
        return {}, np.zeros(0, dtype=np.int64)
    common = [name for name in each[0] if all(name in values for values in each)]
    if missing := sorted({name for values in each for name in values} - set(common)):
        notes.append(f"not measured in every launch, so left out: {', '.join(missing)}")
    stacked = {
        name: {metric: np.concatenate([values[name][metric] for values in each]) for metric in each[0][name]}
        for name in common
    }
    groups_of = [len(next(iter(values.values()))[SCOPE]) for values in each]
    return stacked, np.repeat(np.arange(len(each)), groups_of)


def arm_values(records: Records, notes: list[str]) -> dict[str, Values]:
    """For each measured arm its values by metric, each of shape [groups, steps], in nanoseconds.

    Metrics are corrected for the probes' own cost; `step` is there only where bare steps were measured. Raw columns
    are there under their own names.
    """
    run = records.run
    bare = bool(run["config"]["protocol"]["bare"])
    frame = complete_groups(records, notes)
    if frame is None:
        return {}
    probes = list(run["config"]["probes"])
    calibration = run["calibration"]
    cost = float(calibration["inside_ns"]), float(calibration["outside_ns"])
    values = {}
    for name in _measured_arms(run):
        of_arm = frame[frame["arm"] == name]
        values[name] = _metrics(of_arm[of_arm["probed"]], probes, cost)
        if bare:
            values[name][STEP] = _step_ns(_ordered(of_arm[~of_arm["probed"]]))
    return values


def complete_groups(records: Records, notes: list[str]) -> pd.DataFrame | None:
    """Only groups in which every step met every arm, probed and bare; None where there is none."""
    run, frame = records.run, records.frame
    passes = len(_measured_arms(run)) * (1 + bool(run["config"]["protocol"]["bare"]))
    if frame.empty or not passes:
        return None
    rows = frame.groupby("group").size()
    whole = rows.index[rows == passes * run["steps"]["count"]]
    if len(whole) < len(rows):
        notes.append(f"{len(rows) - len(whole)} of {len(rows)} groups lack a pass and are left out")
    kept = frame[frame["group"].isin(whole)]
    return None if kept.empty else kept


def _measured_arms(run: dict[str, Any]) -> list[str]:
    known = [*(arm["name"] for arm in run["config"]["arms"]), AA, *map(planted_name, PLANTED_US)]
    return [name for name in run.get("arms_measured", []) if name in known]


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
