"""From a history's figures to levels by release, and to the releases at which a phase became slower or faster.

Each launch gives one figure of each phase. Blocks have every release once, so what a block has in common is taken out
before anything is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.analysis.between import LEAST
from harness.analysis.by_launch import took_turns
from harness.analysis.changepoint import segments
from harness.analysis.intervals import Interval, mean_interval
from harness.analysis.phase_times import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.records.history import Figure, History

__all__ = ["HOST", "MODEL", "WHOLE", "Course", "Step", "Summary", "summarise_history"]

WHOLE: Final = ""
"""The phase that is the whole turn."""
MODEL: Final = "model"
"""The section of what computes the model."""
HOST: Final = "host"
"""The course of a turn without what computes the model, which on a CPU is no host code."""
SEED: Final = 20
"""Of the permutations, so that a report can be made again."""


@dataclass(frozen=True)
class Step:
    """A release at which a course changed its level.

    Attributes:
        release: the first one at the new level.
        before: the last one at the old level, of those that have the phase.
        us: new level minus the one before, each over all releases between two steps.
        share: of the level before.
    """

    release: str
    before: str
    us: Interval
    share: float


@dataclass(frozen=True)
class Course:
    """One phase of one kind of turn, release by release.

    Attributes:
        kind: of the turn.
        phase: its label; `HOST` and `WHOLE` for the turn.
        section: as of the figures.
        levels: by release, microseconds a turn with the interval of a mean over launches; None without two launches.
            Where engines took turns, the interval is as against the other releases: what a block has in common is out.
        calls: by release, a turn.
        steps: where it changed, by the test and by the interval of the change; empty where none was found, or it could
            not be tested.
        tested: whether there were enough blocks.
    """

    kind: str
    phase: str
    section: str
    levels: dict[str, Interval | None]
    calls: dict[str, float]
    steps: list[Step]
    tested: bool


@dataclass(frozen=True)
class Summary:
    """What a history shows.

    Attributes:
        history: its records.
        kinds: those that there were, the one with the longest turn last.
        courses: of each kind the turn's, then its phases' in order of time.
        blocks: how many ended whole.
        level: error rate of each test, so that all together have `1 - CONFIDENCE`.
    """

    history: History
    kinds: list[str]
    courses: list[Course]
    blocks: int
    level: float

    def course(self, kind: str, phase: str) -> Course | None:
        """The course of one phase."""
        return next((each for each in self.courses if (each.kind, each.phase) == (kind, phase)), None)


def summarise_history(history: History) -> Summary:
    """Work out a history's summary."""
    lost = {each["number"] for each in history.facts["blocks"] if each.get("lost")}
    whole = {each["number"] for each in history.facts["blocks"]} - lost
    left_out = {each["release"] for each in history.facts["releases"] if each.get("left_out")}
    releases = [each for each in history.releases if each not in left_out]
    figures = [each for each in history.figures if each.block in whole and each.release in releases]
    kinds = list(dict.fromkeys(each.kind for each in figures))
    series: dict[tuple[str, str], _Series] = {}
    for kind in kinds:
        of_kind = [each for each in figures if each.kind == kind]
        for phase in dict.fromkeys(each.phase for each in of_kind):
            series[kind, phase] = _Series.of([each for each in of_kind if each.phase == phase], releases, whole)
        model = [found for (of, _), found in series.items() if of == kind and found.section == MODEL]
        if model and (kind, WHOLE) in series:
            series[kind, HOST] = series[kind, WHOLE].without(model)
    level = (1 - CONFIDENCE) / max(len(series), 1)
    turns = took_turns(history.facts)
    courses = [found.course(kind, phase, releases, level, turns) for (kind, phase), found in series.items()]
    kinds.sort(key=lambda kind: _longest(courses, kind, WHOLE))
    return Summary(history, kinds, _in_order(courses, kinds), len(whole), level)


@dataclass(frozen=True)
class _Series:
    """A phase's figures, [blocks, releases]; what was not measured is not a number."""

    section: str
    us: NDArray[np.float64]
    calls: NDArray[np.float64]

    @classmethod
    def of(cls, figures: Sequence[Figure], releases: Sequence[str], blocks: set[int]) -> _Series:
        rows = {number: row for row, number in enumerate(sorted(blocks))}
        us, calls = (np.full((len(rows), len(releases)), np.nan) for _ in range(2))
        for each in figures:
            place = rows[each.block], releases.index(each.release)
            us[place], calls[place] = each.us, each.calls
        return cls(figures[0].section, us, calls)

    def without(self, others: Sequence[_Series]) -> _Series:
        return _Series("", self.us - np.nansum([each.us for each in others], axis=0), self.calls)

    def course(self, kind: str, phase: str, releases: Sequence[str], level: float, turns: bool) -> Course:
        levels: dict[str, Interval | None] = {}
        calls = {}
        us = _without_blocks(self.us) if turns else self.us
        for column, release in enumerate(releases):
            found = us[:, column][~np.isnan(us[:, column])]
            levels[release] = mean_interval(found, CONFIDENCE) if len(found) >= LEAST else None
            if len(found):
                calls[release] = float(np.nanmean(self.calls[:, column]))
        there = np.asarray(~np.isnan(self.us).all(axis=0))
        names = [release for release, is_there in zip(releases, there, strict=True) if is_there]
        table = self.us[:, there]
        table = table[~np.isnan(table).any(axis=1)]
        places = segments(table, level, SEED)
        return Course(kind, phase, self.section, levels, calls, _steps(table, names, places or []), places is not None)


def _without_blocks(us: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same means, and around them what is left when the level of each block is taken out; [blocks, releases].

    Cousineau, "Confidence intervals in within-subject designs" (2005), with Morey's correction (2008): taking out the
    mean of k releases takes the k-th part of each one's own spread with it.
    """
    there = ~np.isnan(us).all(axis=0)
    count = int(there.sum())
    if count < LEAST:
        return us
    found, means = us.copy(), us[:, there].mean(axis=0)
    around = us[:, there] - means
    left = around - around.mean(axis=1, keepdims=True)
    found[:, there] = means + left * np.sqrt(count / (count - 1))
    return found


def _steps(table: NDArray[np.float64], releases: Sequence[str], places: Sequence[int]) -> list[Step]:
    found = []
    for before, place, after in zip([0, *places], places, [*places[1:], len(releases)], strict=False):
        old, new = table[:, before:place].mean(axis=1), table[:, place:after].mean(axis=1)
        us = mean_interval(new - old, CONFIDENCE)
        if us.low <= 0 <= us.high:  # the test has all releases to go by, and this interval has its two levels alone
            continue
        found.append(Step(releases[place], releases[place - 1], us, us.estimate / float(old.mean())))
    return found


def _longest(courses: Sequence[Course], kind: str, phase: str) -> float:
    each = (course for course in courses if (course.kind, course.phase) == (kind, phase))
    return max((level.estimate for course in each for level in course.levels.values() if level is not None), default=0)


def _in_order(courses: Sequence[Course], kinds: Sequence[str]) -> list[Course]:
    def key(course: Course) -> tuple[int, int, float]:
        first = (WHOLE, HOST).index(course.phase) if course.phase in (WHOLE, HOST) else 2
        return kinds.index(course.kind), first, -_longest(courses, course.kind, course.phase)

    return sorted(courses, key=key)
