"""A run's results as data: arms, comparisons, and `summary.json`. Computed in `summarise`, shown by `report`."""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.analysis.metrics import REST, SUM
from harness.analysis.names import full_names, scope_in_words, scope_title, short_names

if TYPE_CHECKING:
    from harness.analysis.ceilings import Ceiling
    from harness.analysis.course import Course
    from harness.analysis.device_times import DeviceTimes
    from harness.analysis.drift import LevelShift
    from harness.analysis.exposure import Exposure
    from harness.analysis.intervals import Interval
    from harness.analysis.outliers import Outliers
    from harness.analysis.populations import Populations
    from harness.analysis.rare import RareCosts
    from harness.analysis.trend import Trend
    from harness.sampling.sampled import Flame

__all__ = [
    "SUMMARY_SCHEMA",
    "ArmSummary",
    "Comparison",
    "OwnCost",
    "ProbeTotals",
    "ShapeComparison",
    "Summary",
    "Throughput",
]

SUMMARY_SCHEMA: Final = 7


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

    `equal` is None where equality with native was not checked. `step_ns` is from probed passes, `bare_step_ns` from
    those in which only the step was timed.
    As timed, `scope_ns` = sum of the probes' `self_ns` + `residual_ns`; and corrected,
    `corrected_scope_ns` = sum of their `corrected_self_ns` + `corrected_residual_ns`.
    """

    equal: bool | None
    reason: str
    steps: int
    passes: int
    step_ns: float = 0.0
    bare_step_ns: float | None = None
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

    `metric` is `scope`, a probe's name, `step` (the whole step, from bare passes), `sum` (of all probes) or `rest` (of
    the scope). The arm `A/A` is the baseline once more: its intervals are the noise floor.

    `per_step_us` and `verdict` are of the usual step, `means_us` and `means_verdict` of accumulated time: the
    difference of means, a step, in which rare costs count. The latter are given for scope and step alone.
    """

    arm: str
    baseline: str
    metric: str
    per_step_us: Interval
    per_pass_ms: Interval
    verdict: str
    means_us: Interval | None = None
    means_verdict: str = ""


@dataclass(frozen=True)
class ShapeComparison:
    """The scope's difference in the steps of one batch shape; `steps` is how many of a pass have it."""

    shape: str
    steps: int
    arm: str
    per_step_us: Interval
    verdict: str


@dataclass(frozen=True)
class LaunchFigure:
    """At launch grain, what one launch says of its arm: microseconds a step, of the usual step, in scope or step."""

    block: int
    arm: str
    metric: str
    us: float


@dataclass(frozen=True)
class Throughput:
    """Output tokens per second of the steps' time, from bare steps; and the difference to the baseline."""

    arm: str
    tokens_per_s: float
    difference: Interval | None


@dataclass(frozen=True)
class OwnCost:
    """What the instrument itself costs: probed minus bare, of the same arm, a step."""

    arm: str
    per_step_us: Interval
    share: float


@dataclass(frozen=True)
class Summary:
    """All that a report shows.

    `confidence_each` is the confidence of each interval and test that makes all of the report's hold together;
    differences within `margin_us` a step are equivalent. `counters` gives each arm's counts a step, by the names of
    `instrument.counters`, `device` its times by a GPU's own clock. `drift_tested` is false where a launch had too few
    passes to test for a level shift. `launches` counts those that measured something. `probe_call_ns` is what a call of
    a probe cost in the run itself; None where that was not measured. `turns` says whether a step is the whole turn of
    the engine core, `loop` whether it is the loop's, from one step's beginning to the next one's (`step_time`); else it
    is what the model runner does in it.
    """

    run: dict[str, Any]
    arms: dict[str, ArmSummary]
    comparisons: list[Comparison]
    probes: list[str]
    notes: list[str]
    confidence_each: float = 0.0
    margin_us: float = 0.0
    own_costs: list[OwnCost] = field(default_factory=list)
    shapes: list[ShapeComparison] = field(default_factory=list)
    exposure: Exposure | None = None
    throughput: list[Throughput] = field(default_factory=list)
    drift: list[LevelShift] = field(default_factory=list)
    drift_tested: bool = False
    outliers: Outliers | None = None
    rare: list[RareCosts] = field(default_factory=list)
    trends: list[Trend] = field(default_factory=list)
    probe_call_ns: Interval | None = None
    counters: dict[str, dict[str, float]] = field(default_factory=dict)
    device: dict[str, DeviceTimes] = field(default_factory=dict)
    launches: int = 1
    course: Course | None = None
    flames: dict[str, Flame] = field(default_factory=dict)
    turns: bool = False
    loop: bool = False
    populations: list[Populations] = field(default_factory=list)
    ceilings: list[Ceiling] = field(default_factory=list)
    figures: list[LaunchFigure] = field(default_factory=list)

    @property
    def withheld(self) -> bool:
        """Whether a level shift withholds the verdicts."""
        return any(shift.withholds for shift in self.drift)

    @property
    def baseline(self) -> str:
        """The arm that the others are compared with."""
        return str(self.run["config"]["baseline"])

    @property
    def step_word(self) -> str:
        """What reports call a step that counts as a whole: a `turn` of the engine core or its loop, or a `step`."""
        return "turn" if self.turns or self.loop else "step"

    @property
    def timed_in(self) -> str:
        """What does the work of which the step is the time."""
        return "engine core" if self.turns else "engine's loop" if self.loop else "model runner"

    @functools.cached_property
    def short(self) -> dict[str, str]:
        """The short name of each function, by its full one."""
        return short_names(full_names(self.run))

    @property
    def scope(self) -> str:
        """What tables call the scope."""
        return scope_title(self.run["config"]["scope"], self.short)

    @property
    def scope_in_words(self) -> str:
        """What sentences call the scope."""
        return scope_in_words(self.run["config"]["scope"], self.short)

    def difference(self, arm: str, metric: str) -> Comparison | None:
        """The comparison of `arm` with the baseline in `metric`, if there is one."""
        return next((c for c in self.comparisons if c.arm == arm and c.metric == metric), None)

    def as_json(self) -> dict[str, Any]:
        """summary.json, as its schema (harness/schemas/summary.schema.json) says."""
        host = self.run.get("host", {})
        content = {
            "schema": SUMMARY_SCHEMA,
            "status": self.run["status"],
            "host": {key: host.get(key, "") for key in ("engine", "version", "runner", "device")},
            "baseline": self.baseline,
            "confidence": self.run["config"]["protocol"]["confidence"],
            "confidence_each": self.confidence_each,
            "margin_us": self.margin_us,
            "arms": {name: asdict(arm) for name, arm in self.arms.items()},
            "comparisons": [asdict(c) for c in self.comparisons if c.metric not in (SUM, REST)],
            "throughput": [asdict(found) for found in self.throughput],
            "own_costs": [asdict(cost) for cost in self.own_costs],
            "shapes": [asdict(found) for found in self.shapes],
            "exposure": None if self.exposure is None else asdict(self.exposure),
            "drift": [asdict(shift) for shift in self.drift],
            "drift_tested": self.drift_tested,
            "outliers": None if self.outliers is None else asdict(self.outliers),
            "rare": [asdict(found) for found in self.rare],
            "probe_call_ns": None if self.probe_call_ns is None else asdict(self.probe_call_ns),
            "trends": [asdict(found) for found in self.trends],
            "counters": self.counters,
            "device": {name: asdict(times) for name, times in self.device.items()},
            "flamegraphs": {name: flame.as_json() for name, flame in self.flames.items()},
            "launches": self.launches,
            "step": f"{self.step_word} of the {self.timed_in}",
            "populations": [asdict(found) for found in self.populations],
            "ceilings": [asdict(found) for found in self.ceilings],
            "notes": self.notes,
        }
        plain: dict[str, Any] = _plain(content)
        return plain


def _plain(value: Any) -> Any:
    """The same with null for what JSON has no number for: limits of too few groups, an infinite statistic."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
