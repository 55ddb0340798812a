"""Where a turn's time goes: each phase's own time by kind of turn, and whether the phases add up to the turn.

Pure: takes what `read_run` gives of a profile. Times are means, since only means add up, of the turns that nothing
disturbed: a turn that took far longer than the same turn usually does is left out as a whole, of all phases alike, and
counted. Intervals are by Student's t over groups, each for itself: a profile describes and claims no difference.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.analysis.intervals import Interval, mean_interval
from harness.analysis.measured import launch_values
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.phase_exposure import shown_of_phases
from harness.analysis.phase_memory import left_behind
from harness.analysis.phase_parts import ARRIVAL, OUTPUT, Part, kinds_of, parts_of
from harness.analysis.phase_populations import PhasePopulation, find_phase_populations
from harness.analysis.run_notes import run_notes
from harness.analysis.statistics import FEWEST, paired_difference, typical_sum
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.analysis.measured import Values
    from harness.records.folder import Records
    from harness.records.tables import Columns

__all__ = ["ARRIVAL", "Anatomy", "Kind", "PhaseTime", "dissect"]

CONFIDENCE: Final = 0.95
FAR: Final = 5.0
"""Robust standard deviations: none of a million turns is so far off by its own."""
OF_THE_MODEL: Final = ("forward", "logits")
"""Phases that compute the model: on a CPU they are no host code, and on a device they launch it."""
MARKED: Final = 0.2
"""A phase of which the probes cost more than this share of what is seen is marked."""


@dataclass(frozen=True)
class PhaseTime:
    """One phase in one kind of turn.

    Attributes:
        label: what tables call it.
        section: `arrival`, `turn` or `output`.
        names: the functions that it is, in full.
        us: its own time a turn (a request, for the arrival), without other phases that it calls; corrected.
        share: of the turn with its output (of the arrival).
        calls: a turn, or a request.
        p50_us, p99_us, longest_us: over all turns of the kind; of the arrival over all passes, each the mean a request.
        looking: what its probes cost, as a share of what was seen.
        depth: 0 for a phase, more for a function inside of one that was opened.
    """

    label: str
    section: str
    names: tuple[str, ...]
    us: Interval
    share: float
    calls: float
    p50_us: float
    p99_us: float
    longest_us: float
    looking: float
    depth: int = 0

    @property
    def marked(self) -> bool:
        """Whether looking cost more than a fifth of what was seen."""
        return self.looking > MARKED


@dataclass(frozen=True)
class Kind:
    """One kind of turn: `prefill`, `mixed` or `decode`; and `arrival`, whose figures are a request.

    Attributes:
        kind: its name.
        count: turns of a pass, or requests.
        requests, tokens: the least and the most in a turn.
        whole_us: what all phases and the rest take together.
        bare_us: the engine core's turn in steps without probes; None for the arrival, and where none were measured.
        told: the phases of the engine core's turn, added up, as a share of the bare turn; None where that is unknown.
        phases: in order of time.
        rest_us: what is in none of them.
        disturbed: the share of turns that were left out of all means, since something took the core away, and
        disturbed_time: their share of all time.
    """

    kind: str
    count: int
    requests: tuple[int, int]
    tokens: tuple[int, int]
    whole_us: Interval
    bare_us: Interval | None
    told: Interval | None
    phases: list[PhaseTime]
    rest_us: float
    disturbed: float
    disturbed_time: float


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
        left: by phase and kind of count, what it leaves behind a turn; empty where that was not asked for.
        lines: a row a line of a function: name, line, hits, ns a pass, text.
        notes: what a reader has to know.
    """

    run: Mapping[str, Any]
    kinds: list[Kind]
    groups: int
    steps: int
    looking: Interval | None
    populations: list[PhasePopulation]
    shown: dict[str, Interval]
    left: dict[str, dict[str, float]]
    lines: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For summary.json: everything but run.json."""
        return {key: value for key, value in asdict(self).items() if key != "run"}


def dissect(records: Records) -> Anatomy:
    """Work out a profile; an unfinished group is left out and noted."""
    run, notes = records.run, run_notes(records)
    for number, launch in enumerate(records.launches, start=1):
        notes += [f"launch {number}: {note}" for note in run_notes(launch)]
    values, launches, rows, cost, _ = launch_values(records, notes)
    first_launch = records.launches[0] if records.launches else records
    run = run if "anatomy" in run or not records.launches else {**run, "anatomy": first_launch.run.get("anatomy")}
    each = [found for name, found in values.items() if name in (NATIVE, AA)]
    if not each or run.get("anatomy") is None:  # it ended before
        return Anatomy(run, [], 0, 0, None, [], {}, {}, [], [*notes, "nothing was measured"])
    native = {metric: np.concatenate([found[metric] for found in each]) for metric in each[0]}
    tiled = None if launches is None else np.tile(launches, len(each))
    parts = parts_of(run, native, cost.call_ns)
    first, last = _window(run["config"]["profile"].get("steps") or "")
    kinds = {kind: steps[(steps >= first) & (steps < last)] for kind, steps in kinds_of(run["steps"]).items()}
    kinds = {kind: steps for kind, steps in kinds.items() if len(steps)}
    if not kinds:
        notes.append(f"no turn of a pass lies in {run['config']['profile']['steps']}: it has {run['steps']['count']}")
    found = [_kind(run, kind, steps, native, parts, tiled) for kind, steps in kinds.items()]
    found.sort(key=lambda kind: -kind.whole_us.estimate * kind.count)
    arrival = _arrival(parts, tiled)
    groups, steps = native[SCOPE].shape
    return Anatomy(
        run, [*found, *([arrival] if arrival is not None else [])], groups // len(each), steps, _looking(native, tiled),
        find_phase_populations(run, kinds, parts, native, _collected(rows), CONFIDENCE),
        shown_of_phases(getattr(first_launch, "exposed", {}), _labels(run), CONFIDENCE),
        left_behind(getattr(first_launch, "memory", {}), run["steps"]["count"], _labels(run)),
        _lines(first_launch), notes,
    )  # fmt: skip


def _window(steps: str) -> tuple[int, float]:
    first, _, last = steps.partition(":")
    return int(first or 0), float(last or "inf")


@dataclass(frozen=True)
class _Turns:
    """The turns of one kind, [groups, steps of the kind]: whole, and whether nothing disturbed them.

    `launches` is the launch of each group; None where there was one. Then intervals are over groups, else over
    launches.
    """

    whole_ns: NDArray[np.float64]
    sound: NDArray[np.bool_]
    launches: NDArray[np.int64] | None

    def mean_us(self, values: NDArray[np.float64]) -> Interval:
        """A mean over sound turns: each step's over groups, and that over steps; the interval over groups.

        A disturbed turn has the mean of its step's sound ones in its place, so that each step counts alike.
        """
        at_step = np.where(self.sound, values, 0.0).sum(axis=0) / self.sound.sum(axis=0)
        of_groups = np.where(self.sound, values, at_step).mean(axis=1)
        if self.launches is not None:
            of_groups = np.array([of_groups[self.launches == launch].mean() for launch in np.unique(self.launches)])
        return mean_interval(of_groups, CONFIDENCE).scaled(1e-3)


def _kind(
    run: Mapping[str, Any],
    kind: str,
    steps: NDArray[np.int64],
    native: Values,
    parts: Sequence[Part],
    launches: NDArray[np.int64] | None,
) -> Kind:
    inside = [part for part in parts if part.section != ARRIVAL]
    arrived = np.sum(
        [part.own_ns for part in parts if part.section == ARRIVAL] or [np.zeros_like(native[SCOPE])], axis=0
    )
    whole = (native[SCOPE] - arrived)[:, steps]
    turns = _Turns(whole, undisturbed(whole), launches)
    whole_us = turns.mean_us(whole)
    phases = [_time(part.at(steps), turns, whole_us.estimate) for part in inside if part.calls[:, steps].any()]
    bare = native[STEP][:, steps] if STEP in native else None
    of_core = np.sum([part.own_ns[:, steps] for part in inside if part.section != OUTPUT], axis=0)
    requests, tokens = (np.asarray(run["steps"][key])[steps] for key in ("num_reqs", "num_tokens"))
    bare_turns = None if bare is None else _Turns(bare, undisturbed(bare), launches)
    return Kind(
        kind, len(steps), (int(requests.min()), int(requests.max())), (int(tokens.min()), int(tokens.max())), whole_us,
        None if bare_turns is None else bare_turns.mean_us(bare_turns.whole_ns),
        None if bare is None or len(bare) < FEWEST else _told(of_core, bare, launches),
        sorted(phases, key=lambda phase: -phase.us.estimate),
        whole_us.estimate - sum(phase.us.estimate for phase in phases),
        1 - float(turns.sound.mean()), 1 - float(whole[turns.sound].sum() / whole.sum()),
    )  # fmt: skip


def _time(part: Part, turns: _Turns, whole_us: float) -> PhaseTime:
    us, cost = turns.mean_us(part.own_ns), turns.mean_us(part.cost_ns).estimate
    p50, p99, longest = (float(np.quantile(part.own_ns, level)) / 1e3 for level in (0.5, 0.99, 1.0))
    seen = us.estimate + cost
    return PhaseTime(
        part.label, part.section, part.names, us, us.estimate / whole_us, float(part.calls.mean()), p50, p99, longest,
        cost / seen if seen > 0 else 1.0, part.depth,
    )  # fmt: skip


def _arrival(parts: Sequence[Part], launches: NDArray[np.int64] | None) -> Kind | None:
    """What happens to a request when it comes: sums over a pass, over the requests."""
    of_arrival = [part for part in parts if part.section == ARRIVAL]
    requests = max((float(part.calls.sum(axis=1).mean()) for part in of_arrival), default=0.0)
    if not requests:
        return None
    each = [part.per(requests) for part in of_arrival]
    whole = np.sum([part.own_ns for part in each], axis=0)
    turns = _Turns(whole, undisturbed(whole), launches)
    whole_us = turns.mean_us(whole)
    phases = sorted((_time(part, turns, whole_us.estimate) for part in each), key=lambda phase: -phase.us.estimate)
    lost = 1 - float(turns.sound.mean()), 1 - float(whole[turns.sound].sum() / whole.sum())
    return Kind(ARRIVAL, round(requests), (1, 1), (0, 0), whole_us, None, None, phases, 0.0, *lost)


def undisturbed(whole: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which turns took no longer than the same turn usually does and `FAR` robust standard deviations.

    What takes the core away for a while (another process, an interrupt) comes at any turn, and at none twice. A cost
    that belongs to the turn is in each group, and so in the median.

    Args:
        whole: shape [groups, steps].
    """
    usual = np.median(whole, axis=0)
    spread = 1.4826 * np.median(np.abs(whole - usual), axis=0)
    return np.asarray(whole <= usual + FAR * np.maximum(spread, np.median(spread)))


def _told(of_core: NDArray[np.float64], bare: NDArray[np.float64], launches: NDArray[np.int64] | None) -> Interval:
    """The phases of the core's turn, added up, over the bare turn: by the usual differences of both in each step."""
    usual = float(typical_sum(bare))
    difference = paired_difference(of_core, bare, CONFIDENCE, launches).scaled(1 / usual)
    return Interval(1 + difference.estimate, 1 + difference.low, 1 + difference.high)


def _looking(native: Values, launches: NDArray[np.int64] | None) -> Interval | None:
    """What probes cost a turn, as a share of the bare one: the robust paired difference."""
    if STEP not in native or len(native[STEP]) < FEWEST:
        return None
    bare = native[STEP]
    return paired_difference(native["probed_step_ns"], bare, CONFIDENCE, launches).scaled(
        1 / float(bare.sum(axis=1).mean())
    )


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


def _labels(run: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(about["label"]) for name, about in run["anatomy"]["phases"].items()}


def _lines(records: Records) -> list[dict[str, Any]]:
    table = {name: list(column) for name, column in getattr(records, "lines", {}).items()}
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
