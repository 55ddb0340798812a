"""The time of each phase in each kind of turn, over the turns that nothing disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.analysis.intervals import Interval, mean_interval
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.phase_parts import ARRIVAL, OUTPUT, Part, beside_ns
from harness.analysis.statistics import FEWEST, paired_difference, typical_sum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.analysis.measured import Values

__all__ = [
    "CONFIDENCE",
    "MARKED",
    "OF_THE_MODEL",
    "Kind",
    "PhaseTime",
    "arrival_of",
    "kind_of",
    "ratio_of_usual",
    "undisturbed",
]

CONFIDENCE: Final = 0.95
"""Of each interval: a profile describes, and claims no difference."""
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
        depth: 0 for a phase, more for a function inside of one that was opened,
        within: whose label this is.
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
    within: str = ""

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
class Turns:
    """The turns of one kind, [groups, steps of the kind]: whole, and whether nothing disturbed them.

    `clusters` is the group of each row, which native and A/A share, or its launch where there were several: intervals
    are over these.
    """

    whole_ns: NDArray[np.float64]
    sound: NDArray[np.bool_]
    clusters: NDArray[np.int64]

    def mean_us(self, values: NDArray[np.float64]) -> Interval:
        """A mean over sound turns: each step's over groups, and that over steps; the interval over clusters.

        A disturbed turn has the mean of its step's sound ones in its place, so that each step counts alike.
        """
        at_step = np.where(self.sound, values, 0.0).sum(axis=0) / self.sound.sum(axis=0)
        of_groups = np.where(self.sound, values, at_step).mean(axis=1)
        each = np.array([of_groups[self.clusters == cluster].mean() for cluster in np.unique(self.clusters)])
        return mean_interval(each, CONFIDENCE).scaled(1e-3)


def kind_of(
    run: Mapping[str, Any],
    kind: str,
    steps: NDArray[np.int64],
    native: Values,
    parts: Sequence[Part],
    clusters: NDArray[np.int64],
) -> Kind:
    """The phases of one kind of turn.

    Args:
        run: run.json.
        kind: its name.
        steps: the turns of a pass that are of this kind.
        native: all values, [groups, steps].
        parts: the phases.
        clusters: as `Turns.clusters`.
    """
    inside = [part for part in parts if part.section != ARRIVAL]
    arrived = np.sum(
        [part.own_ns for part in parts if part.section == ARRIVAL] or [np.zeros_like(native[SCOPE])], axis=0
    )
    whole = (native[SCOPE] - arrived - beside_ns(run, native))[:, steps]
    turns = Turns(whole, undisturbed(whole), clusters)
    whole_us = turns.mean_us(whole)
    phases = [_time(part.at(steps), turns, whole_us.estimate) for part in inside if part.calls[:, steps].any()]
    bare = native[STEP][:, steps] if STEP in native else None
    looking = sum((part.cost_ns for part in inside if part.section != OUTPUT), np.zeros_like(native[SCOPE]))
    of_core = (native["probed_step_ns"] - looking)[:, steps]
    requests, tokens = (np.asarray(run["steps"][key])[steps] for key in ("num_reqs", "num_tokens"))
    bare_turns = None if bare is None else Turns(bare, undisturbed(bare), clusters)
    return Kind(
        kind, len(steps), (int(requests.min()), int(requests.max())), (int(tokens.min()), int(tokens.max())), whole_us,
        None if bare_turns is None else bare_turns.mean_us(bare_turns.whole_ns),
        None if bare is None else ratio_of_usual(of_core, bare, clusters),
        _in_order(phases),
        whole_us.estimate - sum(phase.us.estimate for phase in phases),
        1 - float(turns.sound.mean()), _lost(whole, turns.sound),
    )  # fmt: skip


def _time(part: Part, turns: Turns, whole_us: float) -> PhaseTime:
    us, cost = turns.mean_us(part.own_ns), turns.mean_us(part.cost_ns).estimate
    p50, p99, longest = (float(np.quantile(part.own_ns, level)) / 1e3 for level in (0.5, 0.99, 1.0))
    seen = us.estimate + cost
    return PhaseTime(
        part.label, part.section, part.names, us, us.estimate / whole_us if whole_us > 0 else 0.0,
        float(part.calls.mean()), p50, p99, longest,
        cost / seen if seen > 0 else 1.0, part.depth, part.within,
    )  # fmt: skip


def arrival_of(parts: Sequence[Part], clusters: NDArray[np.int64]) -> Kind | None:
    """What happens to a request when it comes: sums over a pass, over the requests."""
    of_arrival = [part for part in parts if part.section == ARRIVAL]
    requests = max((float(part.calls.sum(axis=1).mean()) for part in of_arrival), default=0.0)
    if not requests:
        return None
    each = [part.per(requests) for part in of_arrival]
    whole = np.sum([part.own_ns for part in each], axis=0)
    turns = Turns(whole, undisturbed(whole), clusters)
    whole_us = turns.mean_us(whole)
    phases = sorted((_time(part, turns, whole_us.estimate) for part in each), key=lambda phase: -phase.us.estimate)
    lost = 1 - float(turns.sound.mean()), _lost(whole, turns.sound)
    return Kind(ARRIVAL, round(requests), (1, 1), (0, 0), whole_us, None, None, phases, 0.0, *lost)


def _in_order(phases: Sequence[PhaseTime]) -> list[PhaseTime]:
    """By time, with what was opened in them; that stands behind each, by time as well."""
    inside: dict[str, list[PhaseTime]] = {}
    for phase in sorted(phases, key=lambda each: -each.us.estimate):
        inside.setdefault(phase.within, []).append(phase)
    outer = [phase for phase in phases if not phase.within or phase.within not in {each.label for each in phases}]

    def with_inner(phase: PhaseTime) -> float:
        return phase.us.estimate + sum(each.us.estimate for each in inside.get(phase.label, ()))

    return [
        each
        for phase in sorted(outer, key=lambda phase: -with_inner(phase))
        for each in (phase, *(inside.get(phase.label, ()) if not phase.within else ()))
    ]


def _lost(whole: NDArray[np.float64], sound: NDArray[np.bool_]) -> float:
    """The share of all time that is in turns that were left out."""
    return 1 - float(whole[sound].sum() / whole.sum()) if whole.sum() > 0 else 0.0


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


def ratio_of_usual(
    values: NDArray[np.float64], bare: NDArray[np.float64], clusters: NDArray[np.int64]
) -> Interval | None:
    """Turns over bare ones, by the usual differences of both in each step; None where there are too few clusters."""
    each = np.unique(clusters)
    if len(each) < FEWEST:
        return None
    ones, others = (np.stack([np.median(side[clusters == one], axis=0) for one in each]) for side in (values, bare))
    difference = paired_difference(ones, others, CONFIDENCE).scaled(1 / float(typical_sum(others)))
    return Interval(1 + difference.estimate, 1 + difference.low, 1 + difference.high)
