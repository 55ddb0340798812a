"""From records to numbers: totals by arm and probe, paired differences, and `summary.json`.

Pure: takes what `read_run` gives, measures nothing and writes nothing.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.statistics import Interval, corrected_self, paired_difference, total

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from harness.records import Records

__all__ = ["SUMMARY_SCHEMA", "ArmSummary", "Comparison", "ProbeTotals", "Summary", "summarise"]

SUMMARY_SCHEMA: Final = 1
SCOPE: Final = "scope"
REST: Final = "rest"
SUM: Final = "sum"


@dataclass(frozen=True)
class ProbeTotals:
    """One probe under one arm: sums a pass, averaged over passes.

    `self_ns` is without nested probes; `corrected_self_ns` also without the probes' own cost.
    """

    calls: float
    total_ns: float
    self_ns: float
    corrected_self_ns: float


@dataclass(frozen=True)
class ArmSummary:
    """One arm. Times are sums a pass, averaged over passes; all zero and no probes where it was not measured.

    `equal` is None where equality with native was not checked.

    As timed, `scope_ns` = sum of the probes' `self_ns` + `residual_ns`; and corrected,
    `corrected_scope_ns` = sum of their `corrected_self_ns` + `corrected_residual_ns`.
    """

    equal: bool | None
    reason: str
    steps: int
    passes: int
    step_ns: float = 0.0
    scope_ns: float = 0.0
    residual_ns: float = 0.0
    corrected_scope_ns: float = 0.0
    corrected_residual_ns: float = 0.0
    probes: dict[str, ProbeTotals] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether there are figures."""
        return self.passes > 0


@dataclass(frozen=True)
class Comparison:
    """A paired difference of corrected times, arm minus baseline.

    `metric` is `scope`, a probe's name, `sum` (of all probes) or `rest` (of the scope).
    """

    arm: str
    baseline: str
    metric: str
    per_step_us: Interval
    per_pass_ms: Interval


@dataclass(frozen=True)
class Summary:
    """All that a report shows."""

    run: dict[str, Any]
    arms: dict[str, ArmSummary]
    comparisons: list[Comparison]
    probes: list[str]
    notes: list[str]

    @property
    def baseline(self) -> str:
        """The arm that the others are held against."""
        return str(self.run["config"]["baseline"])

    def difference(self, arm: str, metric: str) -> Comparison | None:
        """The comparison of `arm` with the baseline in `metric`, if there is one."""
        return next((c for c in self.comparisons if c.arm == arm and c.metric == metric), None)

    def as_json(self) -> dict[str, Any]:
        """summary.json, as its schema (harness/schemas/summary.schema.json) says."""
        host = self.run.get("host", {})
        return {
            "schema": SUMMARY_SCHEMA,
            "status": self.run["status"],
            "host": {key: host.get(key, "") for key in ("engine", "version", "runner", "device")},
            "baseline": self.baseline,
            "arms": {name: asdict(arm) for name, arm in self.arms.items()},
            "comparisons": [
                {
                    "arm": c.arm,
                    "baseline": c.baseline,
                    "metric": c.metric,
                    "per_step_us": _interval(c.per_step_us),
                    "per_pass_ms": _interval(c.per_pass_ms),
                }
                for c in self.comparisons
                if c.metric not in (SUM, REST)
            ],
            "notes": self.notes,
        }


def summarise(records: Records) -> Summary:
    """Work out a run's summary; an unfinished group is left out and noted."""
    run, notes = records.run, _notes(records)
    config = run["config"]
    probes = list(config["probes"])
    equality = run.get("equality", {})
    names = [arm["name"] for arm in config["arms"]]
    measured = [name for name in run.get("arms_measured", []) if name in names]
    frame = _complete_groups(records.frame, measured, run, notes)

    arms = {
        name: ArmSummary(equality.get(name, {}).get("equal"), equality.get(name, {}).get("reason", "not checked"), 0, 0)
        for name in names
    }
    if frame is None:
        return Summary(run, arms, [], probes, notes)

    calibration = run["calibration"]
    cost = float(calibration["inside_ns"]), float(calibration["outside_ns"])
    values = {name: _metrics(frame[frame["arm"] == name], probes, cost) for name in measured}
    for name in measured:
        arms[name] = _arm_summary(arms[name], values[name], probes)

    baseline, protocol = config["baseline"], config["protocol"]
    comparisons = []
    if baseline in measured:
        for name in (name for name in measured if name != baseline):
            for metric in (SCOPE, *probes, SUM, REST):
                pair = values[name][metric], values[baseline][metric]
                if metric in probes and not any(array.any() for array in pair):
                    continue  # neither ever called it
                difference = paired_difference(*pair, protocol["confidence"])
                steps = pair[0].shape[1]
                comparisons.append(
                    Comparison(name, baseline, metric, difference.scaled(1e-3 / steps), difference.scaled(1e-6))
                )
    elif baseline in names and measured:
        notes.append(f"the baseline {baseline!r} was not measured, so there are no differences")
    return Summary(run, arms, comparisons, probes, notes)


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


def _complete_groups(
    frame: pd.DataFrame, arms: list[str], run: dict[str, Any], notes: list[str]
) -> pd.DataFrame | None:
    """Only groups in which every step met every arm."""
    if frame.empty or not arms:
        return None
    rows = frame.groupby("group").size()
    whole = rows.index[rows == len(arms) * run["steps"]["count"]]
    if len(whole) < len(rows):
        notes.append(f"{len(rows) - len(whole)} of {len(rows)} groups lack a pass and are left out")
    kept = frame[frame["group"].isin(whole)]
    return None if kept.empty else kept


def _metrics(frame: pd.DataFrame, probes: list[str], cost: tuple[float, float]) -> dict[str, NDArray[np.float64]]:
    """One arm's values, each of shape [groups, steps]: corrected times by metric, and the raw columns."""
    ordered = frame.sort_values(["group", "step"])
    shape = (ordered["group"].nunique(), -1)

    def column(name: str) -> NDArray[np.float64]:
        return np.asarray(ordered[name], dtype=np.float64).reshape(shape)

    values = {name: column(name) for name in ordered.columns if name.partition(".")[2]}
    values["step_ns"] = column("execute_ns") + column("sample_ns")
    inside, outside = cost
    for metric, source in ((REST, SCOPE), *((probe, probe) for probe in probes)):
        calls = column(f"{source}.calls")
        values[metric] = corrected_self(
            column(f"{source}.self_ns"), calls, column(f"{source}.nested_calls"), inside, outside
        )
    values[SUM] = np.sum([values[probe] for probe in probes], axis=0) if probes else np.zeros_like(values[REST])
    values[SCOPE] = values[SUM] + values[REST]
    return values


def _arm_summary(arm: ArmSummary, values: dict[str, NDArray[np.float64]], probes: list[str]) -> ArmSummary:
    groups, steps = values[SCOPE].shape
    return ArmSummary(
        equal=arm.equal,
        reason=arm.reason,
        steps=steps,
        passes=groups,
        step_ns=total(values["step_ns"]),
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


def _interval(interval: Interval) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in asdict(interval).items()}
