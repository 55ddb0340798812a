"""A run as pandas frames, for those who want to look further than the report does.

from harness import load_run

run = load_run("reports/reference/slot_mapping-cpu")
run.comparisons.query("metric == 'scope'")[["arm", "us", "low_us", "high_us", "verdict"]]
run.steps.groupby(["arm", "step"])["scope.total_ns"].median()
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.anatomy import dissect
from harness.analysis.phase_processes import main_process
from harness.analysis.summarise import summarise
from harness.records.folder import read_run
from harness.records.profile_schema import is_profile

if TYPE_CHECKING:
    from harness.analysis.anatomy import Anatomy
    from harness.analysis.intervals import Interval
    from harness.analysis.summary import Summary
    from harness.records.folder import Records

__all__ = ["LoadedRun", "comparisons_frame", "load_run", "phases_frame"]


@dataclass(frozen=True)
class LoadedRun:
    """What a run measured, and its results.

    Attributes:
        run: run.json: config, versions, machine, how it went.
        summary: all that the report shows, as dataclasses.
        steps: one row a (launch, pass, step): `arm`, `probed`, the batch (`num_reqs`, `num_tokens`, `num_prefills`),
            `begin_ns` (since the pass began), `execute_ns` and `sample_ns` (together the step), `cpu_ns` of it,
            `gc_collections`, `page_faults`, `involuntary_switches`; of probed steps `scope.total_ns`, `scope.cpu_ns`
            and, of each probe, `NAME.calls`, `NAME.total_ns`, `NAME.self_ns`, as timed.
        arms: one row an arm and API (a probe, `rest`, `scope` or `step`): `calls` and `ms` a pass, corrected for the
            probes' cost.
        comparisons: one row an (arm, metric): the difference to the baseline a step, `us` with `low_us` and `high_us`,
            and the verdict.
        shapes: the same for the scope by batch shape.
        counters: one row an arm: counts a step (ATen dispatches, copies to the device and their bytes).
        device: on a GPU one row a (arm, pass, step) by its own clock: `device_gap_ns`, `device_scope_ns`,
            `device_step_ns` (`instrument.device.DeviceClock.take`); empty without one.
        launches: at launch grain one row a launch and metric: block, arm, metric, `us` a step; empty at any other.
        phases: of a profile one row a (process, kind of turn, phase), as `phase_times.PhaseTime`: `us` with its
            interval, share, calls, percentiles, what looking cost as a share of what was seen; then those of the
            engine's other processes, which have neither share nor percentiles. Empty for any other run.
    """

    run: dict[str, Any]
    summary: Summary
    steps: pd.DataFrame
    arms: pd.DataFrame
    comparisons: pd.DataFrame
    shapes: pd.DataFrame
    counters: pd.DataFrame
    device: pd.DataFrame
    launches: pd.DataFrame
    phases: pd.DataFrame


def load_run(folder: str | Path) -> LoadedRun:
    """Read a run's folder.

    Raises:
        RecordsError: it holds no run.
    """
    records = read_run(Path(folder))
    summary = summarise(records)
    return LoadedRun(
        run=records.run,
        summary=summary,
        steps=_steps(records),
        arms=_arms(summary),
        comparisons=comparisons_frame(summary),
        shapes=pd.DataFrame(
            [
                {"shape": s.shape, "steps": s.steps, "arm": s.arm, **_us(s.per_step_us), "verdict": s.verdict}
                for s in summary.shapes
            ]
        ),
        counters=pd.DataFrame.from_dict(summary.counters, orient="index").rename_axis("arm").reset_index(),
        device=pd.DataFrame((records.launches or [records])[0].device),
        launches=pd.DataFrame([asdict(each) for each in summary.figures]),
        phases=phases_frame(dissect(records)) if is_profile(records.run) else pd.DataFrame(),
    )


def comparisons_frame(summary: Summary) -> pd.DataFrame:
    """One row an (arm, metric), as `LoadedRun.comparisons`."""
    rows = [
        {"arm": c.arm, "baseline": c.baseline, "metric": c.metric, **_us(c.per_step_us), "verdict": c.verdict}
        for c in summary.comparisons
    ]
    return pd.DataFrame(rows, columns=["arm", "baseline", "metric", "us", "low_us", "high_us", "verdict"])


def phases_frame(anatomy: Anatomy) -> pd.DataFrame:
    """One row a (process, kind of turn, phase) of a profile, as `LoadedRun.phases`."""
    columns = ["process", "kind", "phase", "section", "functions", "depth", "us", "low_us", "high_us", "share", "calls",
               "p50_us", "p99_us", "longest_us", "looking"]  # fmt: skip
    main = main_process(anatomy.run) if anatomy.processes else "engine"
    rows: list[dict[str, Any]] = [
        {
            "process": main, "kind": kind.kind, "phase": phase.label, "section": phase.section,
            "functions": " ".join(phase.names), "depth": phase.depth, **_us(phase.us), "share": phase.share,
            "calls": phase.calls, "p50_us": phase.p50_us, "p99_us": phase.p99_us, "longest_us": phase.longest_us,
            "looking": phase.looking,
        }
        for kind in anatomy.kinds
        for phase in kind.phases
    ]  # fmt: skip
    rows += [
        {"process": each.process, "kind": each.kind, "phase": each.label, "section": each.section, "depth": 0,
         **_us(each.us), "calls": each.calls}
        for each in anatomy.processes
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _us(interval: Interval) -> dict[str, float]:
    return {"us": interval.estimate, "low_us": interval.low, "high_us": interval.high}


def _steps(records: Records) -> pd.DataFrame:
    if not records.launches:
        return records.frame
    frames = [launch.frame.assign(launch=number) for number, launch in enumerate(records.launches, start=1)]
    return pd.concat(frames, ignore_index=True)


def _arms(summary: Summary) -> pd.DataFrame:
    rows = []
    for name, arm in summary.arms.items():
        if not arm.measured:
            continue
        rows += [
            {"arm": name, "API": probe, "calls": found.calls, "ms": found.corrected_self_ns / 1e6}
            for probe, found in arm.probes.items()
        ]
        rows.append({"arm": name, "API": "rest", "ms": arm.corrected_residual_ns / 1e6})
        rows.append({"arm": name, "API": "scope", "ms": arm.corrected_scope_ns / 1e6})
        if arm.bare_step_ns is not None:
            rows.append({"arm": name, "API": "step", "ms": arm.bare_step_ns / 1e6})
    return pd.DataFrame(rows, columns=["arm", "API", "calls", "ms"])
