"""Where a turn's time goes: each phase's own time by kind of turn, and whether the phases add up to the turn.

Pure: takes what `read_run` gives of a profile. Times are means, since only means add up, of the turns that nothing
disturbed: a turn that took far longer than the same turn usually does is left out as a whole, of all phases alike, and
counted. Intervals are by Student's t over groups, each for itself: a profile describes and claims no difference.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.intervals import Interval
from harness.analysis.measured import launch_values
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.phase_exposure import shown_of_phases
from harness.analysis.phase_memory import Per, left_behind
from harness.analysis.phase_parts import ARRIVAL, Part, kinds_of, labels_of, parts_of
from harness.analysis.phase_populations import PhasePopulation, find_phase_populations
from harness.analysis.phase_processes import ProcessPhase, of_processes
from harness.analysis.phase_samples import SampledPhase, sampled_phases
from harness.analysis.phase_times import CONFIDENCE, Kind, arrival_of, kind_of, ratio_of_usual
from harness.analysis.run_notes import run_notes
from harness.analysis.summarise import whole_run
from harness.sampling.stacks import parse
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.analysis.measured import Values
    from harness.records.folder import Records
    from harness.records.tables import Columns

__all__ = ["Anatomy", "dissect"]


@dataclass(frozen=True)
class Anatomy:
    """A profile's results.

    Attributes:
        run: run.json.
        kinds: those that there were, the one with the most time first; the arrival last.
        groups, steps: what was measured: probed steps are twice as many groups, since native stands beside itself.
        looking: what the probes cost a turn, as a share of it, by steps with and without them.
        populations: phases that take longer in some turns than in others, and what those have in common.
        shown: by phase, what share of its time shows in the loop; empty where that was not asked for.
        sampled: the phases' shares by py-spy's samples; empty where there are none.
        left: by phase and kind of count, what it leaves behind a turn; empty where that was not asked for.
        processes: phases in the engine's other processes; empty where it has no other.
        lines: a row a line of a function: name, line, hits, ns a pass, text.
        notes: what a reader has to know.
        launches: how many measured something; intervals are over them where there are several.
    """

    run: Mapping[str, Any]
    kinds: list[Kind]
    groups: int
    steps: int
    looking: Interval | None
    populations: list[PhasePopulation]
    shown: dict[str, Interval]
    sampled: list[SampledPhase]
    left: dict[str, dict[str, float]]
    lines: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    launches: int = 1
    processes: list[ProcessPhase] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For summary.json: everything but run.json."""
        return {key: value for key, value in asdict(self).items() if key != "run"}


def dissect(records: Records) -> Anatomy:
    """Work out a profile; an unfinished group is left out and noted."""
    run, notes = whole_run(records), run_notes(records)
    for number, launch in enumerate(records.launches, start=1):
        notes += [f"launch {number}: {note}" for note in run_notes(launch)]
    values, launches, rows, cost, _ = launch_values(records, notes)
    first_launch = records.launches[0] if records.launches else records
    each = [found for name, found in values.items() if name in (NATIVE, AA)]
    if not each or run.get("anatomy") is None:  # it ended before
        return Anatomy(run, [], 0, 0, None, [], {}, [], {}, [], [*notes, "nothing was measured"])
    native = {metric: np.concatenate([found[metric] for found in each]) for metric in each[0]}
    members = np.arange(len(each[0][SCOPE])) if launches is None else launches  # native and A/A share their groups
    clusters = np.tile(members, len(each))
    parts = parts_of(run, native, cost)
    first, last = _window(run["config"]["profile"].get("steps") or "")
    all_kinds = kinds_of(run["steps"])
    kinds = {kind: steps[(steps >= first) & (steps < last)] for kind, steps in all_kinds.items()}
    kinds = {kind: steps for kind, steps in kinds.items() if len(steps)}
    if not kinds:
        notes.append(f"no turn of a pass lies in {run['config']['profile']['steps']}: it has {run['steps']['count']}")
    found = [kind_of(run, kind, steps, native, parts, clusters) for kind, steps in kinds.items()]
    found.sort(key=lambda kind: -kind.whole_us.estimate * kind.count)
    every = found  # samples are of whole passes
    if sum(map(len, kinds.values())) < run["steps"]["count"]:
        every = [kind_of(run, kind, steps, native, parts, clusters) for kind, steps in all_kinds.items()]
    arrival = arrival_of(parts, clusters)
    groups, steps = native[SCOPE].shape
    return Anatomy(
        run, [*found, *([arrival] if arrival is not None else [])], groups // len(each), steps,
        _looking(native, clusters),
        find_phase_populations(run, kinds, parts, native, _collected(rows), CONFIDENCE),
        shown_of_phases(first_launch.exposed, labels_of(run), CONFIDENCE),
        _sampled(first_launch, parts, every),
        left_behind(first_launch.memory, _left_per(run, (first, last), parts), labels_of(run)),
        _lines(first_launch), notes, 1 if launches is None else len(np.unique(launches)),
        of_processes(first_launch.processes, run, kinds, CONFIDENCE),
    )  # fmt: skip


def _window(steps: str) -> tuple[int, float]:
    first, _, last = steps.partition(":")
    return int(first or 0), float(last or "inf")


def _looking(native: Values, clusters: NDArray[np.int64]) -> Interval | None:
    """What probes cost a turn, as a share of the bare one."""
    if STEP not in native:
        return None
    ratio = ratio_of_usual(native["probed_step_ns"], native[STEP], clusters)
    return None if ratio is None else Interval(ratio.estimate - 1, ratio.low - 1, ratio.high - 1)


def _collected(rows: Sequence[Columns | None]) -> NDArray[np.bool_] | None:
    """Whether a garbage collection came in each probed turn, [groups, steps] in the order of the values."""
    each: list[list[NDArray[np.bool_]]] = [[], []]
    for of_launch in rows:
        if of_launch is None or "gc_collections" not in of_launch:
            continue
        order = np.lexsort((of_launch["step"], of_launch["group"]))
        groups = len(np.unique(of_launch["group"]))
        for found, name in zip(each, (NATIVE, AA), strict=True):
            of_arm = order[(of_launch["arm"][order] == name) & of_launch["probed"][order].astype(bool)]
            if len(of_arm):
                found.append(of_launch["gc_collections"][of_arm].reshape(groups, -1) > 0)
    return np.concatenate([*each[0], *each[1]]) if each[0] else None


def _sampled(launch: Records, parts: Sequence[Part], kinds: Sequence[Kind]) -> list[SampledPhase]:
    """Of all turns of a pass; phases of the arrival are none of them."""
    if NATIVE not in launch.folded:
        return []
    total = sum(kind.whole_us.estimate * kind.count for kind in kinds)
    shares: dict[str, float] = {}
    for kind in kinds:
        for phase in kind.phases:
            shares[phase.label] = shares.get(phase.label, 0.0) + phase.us.estimate * kind.count / total
    labels = {name: part.label for part in parts for name in part.names if part.section != ARRIVAL}
    return sampled_phases(parse(launch.folded[NATIVE]), labels, shares, CONFIDENCE)


def _left_per(run: Mapping[str, Any], window: tuple[int, float], parts: Sequence[Part]) -> Per:
    """The steps that count for what is left behind, and what the sum over them is divided by."""
    steps = range(run["steps"]["count"])
    inside = sum(window[0] <= step < window[1] for step in steps)
    requests = max((part.calls.sum(axis=1).mean() for part in parts if part.section == ARRIVAL), default=0.0)
    arriving = frozenset(name for part in parts if part.section == ARRIVAL for name in part.names)
    return Per(window, inside, arriving, float(requests))


def _lines(records: Records) -> list[dict[str, Any]]:
    table = {name: np.asarray(column).tolist() for name, column in records.lines.items()}
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
