"""From a run's tables to arrays: each arm's values by metric, corrected for the probes' cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from harness.analysis.exposure import planted_delays_us, planted_name
from harness.analysis.metrics import OF_CPU, REST, SCOPE, STEP, SUM
from harness.analysis.probe_cost import ProbeCost, probe_cost
from harness.analysis.statistics import corrected_self
from harness.analysis.step_time import has_turns, is_of_thread, step_ns, step_of
from harness.seams import AA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from harness.analysis.step_time import Step
    from harness.records.folder import Records
    from harness.records.tables import Columns

    Values: TypeAlias = dict[str, NDArray[np.float64]]

__all__ = ["Measured", "arm_values", "launch_values", "launches_turns"]

WHOLE: Final = "step_ns"
"""A column with the step of each row."""


class Measured(NamedTuple):
    """What all launches measured, one after the other.

    Attributes:
        values: each arm's values by metric, as `arm_values`; arms that some launch has not measured are left out.
        launches: the launch of each group, shape [groups]; None for a run that is one launch.
        rows: of each launch the rows of its complete groups; None where it has none.
        cost: what was subtracted for a probe call; of several launches the mean. How far it can be wrong is then in the
            spread between launches, of which each has its own.
        step: what a step is, in every launch.
    """

    values: dict[str, Values]
    launches: NDArray[np.int64] | None
    rows: list[Columns | None]
    cost: ProbeCost
    step: Step


def launch_values(records: Records, notes: list[str]) -> Measured:
    """What all launches measured; what is left out is noted."""
    if not records.launches:
        rows, cost = _complete_groups(records, notes), _cost(records)
        step = step_of([has_turns(rows)] if rows is not None else [])
        return Measured(_values(records.run, rows, cost, step), None, [rows], cost, step)
    all_rows, costs = [], []
    for number, launch in enumerate(records.launches, start=1):
        of_launch: list[str] = []
        all_rows.append(_complete_groups(launch, of_launch))
        costs.append(_cost(launch))
        notes += [f"launch {number}: {note}" for note in of_launch]
    there = [rows for rows in all_rows if rows is not None]
    step = step_of(map(has_turns, there))
    each = [
        _values(launch.run, rows, cost, step)
        for launch, rows, cost in zip(records.launches, all_rows, costs, strict=True)
    ]
    inside_ns, outside_ns = (float(np.mean([getattr(c, part) for c in costs])) for part in ("inside_ns", "outside_ns"))
    cost = ProbeCost(inside_ns, outside_ns)
    each = [values for values in each if values]
    if not each:
        return Measured({}, np.zeros(0, dtype=np.int64), all_rows, cost, step)
    common = [name for name in each[0] if all(name in values for values in each)]
    if missing := sorted({name for values in each for name in values} - set(common)):
        notes.append(f"not measured in every launch, so left out: {', '.join(missing)}")
    stacked = {
        name: {metric: np.concatenate([values[name][metric] for values in each]) for metric in each[0][name]}
        for name in common
    }
    groups_of = [len(next(iter(values.values()))[SCOPE]) for values in each]
    return Measured(stacked, np.repeat(np.arange(len(each)), groups_of), all_rows, cost, step)


def arm_values(records: Records, notes: list[str], step: Step | None = None) -> dict[str, Values]:
    """For each measured arm its values by metric, each of shape [groups, steps], in nanoseconds.

    Metrics are corrected for the probes' own cost; `step` is there only where bare steps were measured. Raw columns
    are there under their own names. `step` says what a step is, where that has been decided for several launches.
    """
    rows = _complete_groups(records, notes)
    return _values(records.run, rows, _cost(records), step)


def launches_turns(launches: Sequence[Records]) -> Step:
    """What a step is in launches that are compared, by those that measured something."""
    there = [rows for launch in launches if (rows := _complete_groups(launch, [])) is not None]
    return step_of(map(has_turns, there))


def _cost(records: Records) -> ProbeCost:
    """What a probe call cost in a launch; one that ended before it was found out has nothing to correct either."""
    return probe_cost(records) if "calibration" in records.run else ProbeCost(0.0, 0.0)


def _complete_groups(records: Records, notes: list[str]) -> Columns | None:
    """Rows of groups in which every step ran under every arm, probed and bare; None where there is no such group."""
    run, rows = records.run, {name: np.asarray(records.columns[name]) for name in records.columns}
    arms, ways = _measured_arms(run), 1 + bool(run["config"]["protocol"]["bare"])
    if not rows or not arms:
        return None
    places = len(arms) * ways * run["steps"]["count"]
    groups, group, sizes = np.unique(rows["group"], return_inverse=True, return_counts=True)
    place = _places(rows, arms, ways, run["steps"]["count"])
    taken = np.unique((group * places + place)[place >= 0]) // places
    complete = sizes == places
    sound = complete & (np.bincount(taken, minlength=len(groups)) == places)
    if lacking := int((~complete).sum()):
        notes.append(f"{lacking} of {len(groups)} groups lack a pass and are left out")
    if strange := int((complete & ~sound).sum()):
        notes.append(
            f"{strange} of {len(groups)} groups are left out: a step is there twice, or took no time, or is of none of "
            "the arms"
        )
    if not sound.all():
        kept = sound[group]
        rows = {name: column[kept] for name, column in rows.items()}
    return rows if sound.any() else None


def _places(rows: Columns, arms: list[str], ways: int, steps: int) -> NDArray[np.int64]:
    """Which of a group's (arm, probed or bare, step) each row is, counted from 0; -1 for what is none of them."""
    numbers = {**dict.fromkeys(rows["arm"], -1), **{name: number for number, name in enumerate(arms)}}
    arm = np.fromiter(map(numbers.__getitem__, rows["arm"]), dtype=np.int64, count=len(rows["arm"]))
    step, way = np.asarray(rows["step"]), np.where(rows["probed"], 0, 1)
    there = (arm >= 0) & (way < ways) & (step >= 0) & (step < steps) & (step == np.floor(step))
    there &= rows["execute_ns"] + rows["sample_ns"] > 0
    return np.asarray(np.where(there, (arm * ways + way) * steps + step, -1).astype(np.int64))


def _values(run: dict[str, Any], rows: Columns | None, cost: ProbeCost, step: Step | None) -> dict[str, Values]:
    if rows is None:
        return {}
    step = step or step_of([has_turns(rows)])
    rows = {**rows, WHOLE: step_ns(rows, step)}
    probes = list(run["config"]["probes"])
    groups = len(np.unique(rows["group"]))
    order = np.lexsort((rows["step"], rows["group"]))  # sorted once, and not arm by arm
    arm, probed = rows["arm"][order], rows["probed"][order]

    def arrays(here: NDArray[np.bool_], names: Iterable[str]) -> Values:
        places = order[here]
        return {name: rows[name][places].astype(np.float64).reshape(groups, -1) for name in names}

    timed = [name for name in rows if name.partition(".")[2]]
    values = {}
    for name in _measured_arms(run):
        if run.get("equality", {}).get(name, {}).get("equal") is False:
            continue  # struck by a check after it had been measured: it did other work, so its times say nothing
        of_arm = arm == name
        values[name] = _metrics(arrays(of_arm & probed, [*timed, WHOLE]), probes, cost)
        if run["config"]["protocol"]["bare"]:
            values[name][STEP] = arrays(of_arm & ~probed, [WHOLE])[WHOLE]
            if is_of_thread(rows, step):
                values[name][OF_CPU[STEP]] = arrays(of_arm & ~probed, ["cpu_ns"])["cpu_ns"]
    return values


def _measured_arms(run: dict[str, Any]) -> list[str]:
    planted = planted_delays_us(run["config"]["protocol"].get("exposed", False))
    known = [*(arm["name"] for arm in run["config"]["arms"]), AA, *map(planted_name, planted)]
    return [name for name in run.get("arms_measured", []) if name in known]


def _metrics(values: Values, probes: list[str], cost: ProbeCost) -> Values:
    """One arm's probed values: corrected times by metric, beside the raw columns."""
    values["probed_step_ns"] = values.pop(WHOLE)
    inside, outside = cost.inside_ns, cost.outside_ns
    for metric, source in ((REST, SCOPE), *((probe, probe) for probe in probes)):
        values[metric] = corrected_self(
            values[f"{source}.self_ns"], values[f"{source}.calls"], values[f"{source}.nested_calls"], inside, outside
        )
    values[SUM] = np.sum([values[probe] for probe in probes], axis=0) if probes else np.zeros_like(values[REST])
    values[SCOPE] = values[SUM] + values[REST]
    if "scope.cpu_ns" in values:  # the probes cost as much of the processor as of time
        values[OF_CPU[SCOPE]] = values["scope.cpu_ns"] - (values["scope.total_ns"] - values[SCOPE])
    return values
