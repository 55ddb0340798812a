"""The phases in an engine's other processes: each process by its own clock, a turn or a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.analysis.intervals import Interval, mean_interval
from harness.analysis.phase_parts import ARRIVAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.records.tables import Columns

__all__ = ["ProcessPhase", "main_process", "of_processes"]

ANY: Final = "any"
"""The kind of all turns of a process whose turns are not the engine core's, one by one."""


@dataclass(frozen=True)
class ProcessPhase:
    """A phase in another process than the one that the profile is of.

    Attributes:
        process: its name.
        kind: of turn, as of the profile; `any` where it had not one turn for each of the engine core's.
        label, section: of the phase.
        us: its own time a turn, or of the arrival a request, without other phases that it calls; corrected.
        calls: a turn, or a request.
    """

    process: str
    kind: str
    label: str
    section: str
    us: Interval
    calls: float


def main_process(run: Mapping[str, Any]) -> str:
    """What the process is called that the profile is of."""
    return "engine core and worker" if run.get("switch", {}).get("turn") else "worker 0"


def of_processes(
    table: Columns, run: Mapping[str, Any], kinds: Mapping[str, NDArray[np.int64]], confidence: float
) -> list[ProcessPhase]:
    """Each phase of each process in each kind of turn, in the order of the engine's phases.

    Means over passes, each the mean over its turns, with intervals over passes.

    Args:
        table: `Records.processes`.
        run: run.json.
        kinds: the steps of each kind.
        confidence: of each interval.
    """
    columns = {name: np.asarray(column) for name, column in table.items()}
    if not columns:
        return []
    anatomy = run["anatomy"]
    found = []
    for process in dict.fromkeys(columns["process"].tolist()):
        about = anatomy.get("processes", {}).get(process)
        cost = about["calibration"] if about is not None else run["calibration"]
        phases: Mapping[str, Mapping[str, Any]] = about["phases"] if about is not None else anatomy["phases"]
        here = {name: column[columns["process"] == process] for name, column in columns.items()}
        own_ns = here["self_ns"] - here["calls"] * cost["inside_ns"] - here["nested_calls"] * cost["outside_ns"]
        turns = int(here["step"].max()) + 1
        of_kinds = kinds if turns == run["steps"]["count"] else {ANY: np.arange(turns)}
        requests = max(run["workload"]["requests"], 1)
        by_label: dict[tuple[str, str], NDArray[np.bool_]] = {}
        for name in dict.fromkeys(here["name"].tolist()):
            if name in phases:
                key = str(phases[name]["label"]), str(phases[name]["section"])
                by_label[key] = by_label.get(key, np.zeros(len(own_ns), bool)) | (here["name"] == name)
        for (label, section), rows in by_label.items():
            wanted = {ARRIVAL: np.arange(turns)} if section == ARRIVAL else of_kinds
            for kind, steps in wanted.items():
                of_kind = rows & np.isin(here["step"], steps)
                if not of_kind.any():
                    continue
                per = requests if section == ARRIVAL else len(steps)
                groups = np.unique(here["group"])
                us, calls = (
                    np.array([values[of_kind & (here["group"] == group)].sum() for group in groups]) / per
                    for values in (own_ns / 1e3, here["calls"])
                )
                found.append(
                    ProcessPhase(process, kind, label, section, mean_interval(us, confidence), float(calls.mean()))
                )
    return found
