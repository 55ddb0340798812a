"""A sweep: each point's differences, and where along an axis the answer turns.

Pure: takes what `records.sweep.read_sweep` gives. Every point is summarised as the run that it is, at a confidence that
makes the intervals of all points hold together.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.summarise import summarise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.analysis.intervals import Interval
    from harness.analysis.summary import Comparison, Summary
    from harness.records.folder import Records
    from harness.records.sweep import SweepRecords

__all__ = [
    "METRICS",
    "SWEEP_SCHEMA",
    "Crossover",
    "Place",
    "PointSummary",
    "SweepSummary",
    "at_joint_confidence",
    "crossovers_along",
    "is_wide",
    "summarise_sweep",
    "values_told",
]

SWEEP_SCHEMA: Final = 1
METRICS: Final = (SCOPE, STEP)
WIDE: Final = 4.0
"""An axis whose largest value is as many times its smallest is gone along by its logarithm."""


@dataclass(frozen=True)
class PointSummary:
    """One point: its number, the value of each key, and its run's summary; None where it measured nothing."""

    number: int
    values: dict[str, Any]
    summary: Summary | None

    def difference(self, arm: str, metric: str) -> Comparison | None:
        """An arm's difference to the baseline here; None where there is none."""
        return None if self.summary is None else self.summary.difference(arm, metric)

    def percent(self, arm: str, metric: str) -> Interval | None:
        """The same in per cent of the baseline."""
        found, base_us = self.difference(arm, metric), self.baseline_us(metric)
        return found.per_step_us.scaled(100 / base_us) if found is not None and base_us else None

    def baseline_us(self, metric: str) -> float | None:
        """What the baseline takes here, in us a step."""
        if self.summary is None or not (arm := self.summary.arms[self.summary.baseline]).measured:
            return None
        found = arm.corrected_scope_ns if metric == SCOPE else arm.bare_step_ns
        return None if found is None else found / arm.steps / 1e3


@dataclass(frozen=True)
class Place:
    """A place on the axis with a difference there, in per cent of the baseline."""

    value: float
    percent: Interval


@dataclass(frozen=True)
class Crossover:
    """Where an arm's difference changes its sign along an axis.

    Below `low` the arm is `below` (faster or slower), above `high` it is the other; between them no difference is
    resolved. `estimate` is where a line between the two points beside it crosses zero. The places between two points
    are read off lines through estimates and limits, straight on the axis as it is drawn.

    Attributes:
        arm: the arm.
        metric: `scope` or `step`.
        axis: the key.
        fixed: the value of the other key, where two are swept.
        estimate: where it crosses.
        low: the last place where the difference is resolved before it.
        high: the first place where it is resolved after it.
        below: what the arm is below `low`.
    """

    arm: str
    metric: str
    axis: str
    fixed: dict[str, Any]
    estimate: float
    low: float
    high: float
    below: str

    @property
    def above(self) -> str:
        """What the arm is above `high`."""
        return "slower" if self.below == "faster" else "faster"


@dataclass(frozen=True)
class SweepSummary:
    """All that a sweep's report shows.

    Attributes:
        run: run.json of the whole.
        axes: the values of each key.
        points: in the config's order.
        crossovers: of every arm in scope and step.
        notes: what a reader has to know.
    """

    run: dict[str, Any]
    axes: dict[str, list[Any]]
    points: list[PointSummary]
    crossovers: list[Crossover] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def baseline(self) -> str:
        """The arm that the others are compared with."""
        return str(self.run["config"]["baseline"])

    @property
    def arms(self) -> list[str]:
        """All arms but the baseline."""
        return [arm["name"] for arm in self.run["config"]["arms"] if arm["name"] != self.baseline]

    @property
    def first(self) -> Summary | None:
        """The summary of the first point that measured something; names and words are the same at all."""
        return next((point.summary for point in self.points if point.summary and point.summary.comparisons), None)

    def as_json(self) -> dict[str, Any]:
        """summary.json."""
        return {
            "schema": SWEEP_SCHEMA,
            "kind": "sweep",
            "status": self.run["status"],
            "baseline": self.baseline,
            "axes": self.axes,
            "points": [
                {
                    "number": point.number,
                    "values": point.values,
                    "baseline_us": {metric: point.baseline_us(metric) for metric in METRICS},
                    "differences": [asdict(found) for found in _finite(point)],
                }
                for point in self.points
            ],
            "crossovers": [{**asdict(found), "above": found.above} for found in self.crossovers],
            "notes": self.notes,
        }


def summarise_sweep(records: SweepRecords) -> SweepSummary:
    """Work out a sweep's summary; a point without records is noted."""
    axes = dict(records.run["config"]["sweep"])
    planned = records.run["points"]
    points, notes = [], []
    for entry in planned:
        found = records.points.get(entry["number"])
        summary = None if found is None else summarise(at_joint_confidence(found, len(planned)))
        points.append(PointSummary(entry["number"], dict(entry["values"]), summary))
        told = values_told(entry["values"])
        if found is None:
            notes.append(f"{told}: {records.unreadable.get(entry['number'], 'was not run')}")
        elif summary is not None and not summary.comparisons:
            notes.append(f"{told}: no difference was measured ({found.run.get('message') or found.run['status']})")
        elif summary is not None and summary.withheld:
            notes.append(f"{told}: a level shift withholds its verdicts; see the point's own report")
    whole = SweepSummary(records.run, axes, points, [], notes)
    return replace(whole, crossovers=list(_crossovers(whole)))


def at_joint_confidence(records: Records, points: int) -> Records:
    """The records, whose run asks for the confidence at which the intervals of all points hold together."""
    config = records.run["config"]
    confidence = 1 - (1 - config["protocol"]["confidence"]) / points
    protocol = {**config["protocol"], "confidence": confidence}
    return replace(records, run={**records.run, "config": {**config, "protocol": protocol}})


def _finite(point: PointSummary) -> Iterator[Comparison]:
    """Differences in scope and step whose limits are numbers."""
    for found in point.summary.comparisons if point.summary is not None else ():
        if found.metric in METRICS and math.isfinite(found.per_step_us.low) and math.isfinite(found.per_step_us.high):
            yield found


def _crossovers(whole: SweepSummary) -> Iterator[Crossover]:
    for axis in whole.axes:
        others = [key for key in whole.axes if key != axis]
        for fixed in dict.fromkeys(tuple(point.values[key] for key in others) for point in whole.points):
            line = [point for point in whole.points if tuple(point.values[key] for key in others) == fixed]
            for arm in whole.arms:
                for metric in METRICS:
                    places = list(_places(line, axis, arm, metric))
                    for found in crossovers_along(places):
                        yield Crossover(arm, metric, axis, dict(zip(others, fixed, strict=True)), *found)


def _places(line: Sequence[PointSummary], axis: str, arm: str, metric: str) -> Iterator[Place]:
    """An arm's differences along an axis of numbers, in per cent of the baseline."""
    for point in line:
        percent, value = point.percent(arm, metric), point.values[axis]
        if percent is None or isinstance(value, bool | str):
            continue
        if math.isfinite(percent.low) and math.isfinite(percent.high):
            yield Place(float(value), percent)


def crossovers_along(places: Sequence[Place]) -> Iterator[tuple[float, float, float, str]]:
    """Each crossover between two neighbouring points at which the difference is resolved, with opposite signs.

    Points between the two at which nothing is resolved are passed over; the estimate lies between those two of the
    points where the estimate itself changes its sign for the last time.

    Gives estimate, low, high, and what the arm is below.
    """
    along = sorted(places, key=lambda place: place.value)
    scale = _Scale([place.value for place in along])
    resolved = [index for index, place in enumerate(along) if place.percent.low > 0 or place.percent.high < 0]
    for one, two in itertools.pairwise(resolved):
        before, after = along[one].percent, along[two].percent
        if (before.estimate > 0) == (after.estimate > 0):
            continue
        down = before.estimate > 0  # from slower to faster
        leaves, enters = ("low", "high") if down else ("high", "low")
        between = along[one : two + 1]
        low = scale.first_zero(between, leaves)
        high = scale.last_zero(between, enters)
        estimate = scale.last_zero(between, "estimate")
        yield estimate, low, high, "slower" if down else "faster"


class _Scale:
    """An axis as it is drawn: by its logarithm where it is positive and wide."""

    def __init__(self, values: Sequence[float]) -> None:
        self.logarithmic = is_wide(values)

    def first_zero(self, places: Sequence[Place], limit: str) -> float:
        """Where the line of this limit first reaches zero."""
        return self._zeros(places, limit)[0]

    def last_zero(self, places: Sequence[Place], limit: str) -> float:
        """Where it last does."""
        return self._zeros(places, limit)[-1]

    def _zeros(self, places: Sequence[Place], limit: str) -> list[float]:
        found = []
        for one, two in itertools.pairwise(places):
            first, second = getattr(one.percent, limit), getattr(two.percent, limit)
            if (first > 0) != (second > 0):
                share = first / (first - second)
                low, high = self._to(one.value), self._to(two.value)
                found.append(self._back(low + share * (high - low)))
        return found

    def _to(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value

    def _back(self, value: float) -> float:
        return math.exp(value) if self.logarithmic else value


def is_wide(values: Sequence[float]) -> bool:
    """Whether an axis is gone along by its logarithm."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= WIDE


def values_told(values: Mapping[str, Any]) -> str:
    """`workload.requests=8`, as people are told."""
    return ", ".join(f"{key}={value}" for key, value in values.items())
