"""The processes of an engine side by side: a column each, by its own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.analysis.phase_parts import ARRIVAL
from harness.analysis.phase_processes import ANY, main_process
from harness.report.anatomy_figures import figure, half_width
from harness.report.table import Column, Table

if TYPE_CHECKING:
    from harness.analysis.anatomy import Anatomy

__all__ = ["processes_sentence", "processes_tables"]

AT_ONCE: Final = (
    "Processes work at the same time and wait for each other, so that their columns do not add up to a turn"
)
ON_THE_WAY: Final = ("front end", "engine core")


def processes_tables(anatomy: Anatomy) -> list[tuple[str, Table]]:
    """A table a kind of turn, and one of the arrival: a row a phase, a column a process; none where there is one."""
    if not anatomy.processes:
        return []
    found = []
    own = {kind.kind: kind for kind in anatomy.kinds}
    others = list(dict.fromkeys(each.kind for each in anatomy.processes if each.kind not in own))
    for kind in [*own, *others]:
        columns: dict[str, dict[str, str]] = {}
        sums: dict[str, float] = {}
        if kind in own:
            name = main_process(anatomy.run)
            columns[name] = {phase.label: half_width(phase.us) for phase in own[kind].phases if not phase.depth}
            sums[name] = own[kind].whole_us.estimate
        for each in anatomy.processes:
            if each.kind == kind:
                columns.setdefault(each.process, {})[each.label] = half_width(each.us)
                sums[each.process] = sums.get(each.process, 0.0) + each.us.estimate
        if len(columns) > 1 or kind not in own:
            processes = sorted(columns, key=_place)
            rows = list(dict.fromkeys(label for process in processes for label in columns[process]))
            cells = [
                Column(process, "us", [*(columns[process].get(label, "") for label in rows), figure(sums[process])])
                for process in processes
            ]
            what = "a request that arrives" if kind == ARRIVAL else "any turn" if kind == ANY else f"a {kind} turn"
            table = Table("us", [*rows, "all of it"], cells, [AT_ONCE], 1, corner="phase")
            found.append((f"Each process by its own clock: {what}", table))
    return found


def _place(process: str) -> tuple[int, str]:
    """On the way of a request: the front end, the engine core, the workers."""
    places = [place for place, first in enumerate(ON_THE_WAY) if process.startswith(first)]
    return (places[0] if places else len(ON_THE_WAY)), process


def processes_sentence(anatomy: Anatomy) -> str:
    """What each other process takes in the commonest kind of turn; empty where there is none."""
    kind = next((kind.kind for kind in anatomy.kinds if kind.kind != ARRIVAL), "")
    sums: dict[str, float] = {}
    for each in anatomy.processes:
        if each.kind in (kind, ANY):
            sums[each.process] = sums.get(each.process, 0.0) + each.us.estimate
    if not sums:
        return ""
    told = ", ".join(f"{process} {figure(us)} us" for process, us in sums.items())
    return f"Beside the {main_process(anatomy.run)}, in processes of their own and by their own clocks, a turn: {told}"
