"""What a run came to, as data: arms, comparisons, and `summary.json`. Worked out in `analysis`, shown by `report`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from harness.statistics import Interval

__all__ = [
    "REST",
    "SCOPE",
    "STEP",
    "SUM",
    "SUMMARY_SCHEMA",
    "ArmSummary",
    "Comparison",
    "Exposure",
    "OwnCost",
    "ProbeTotals",
    "ShapeComparison",
    "Summary",
]

SUMMARY_SCHEMA: Final = 1

SCOPE: Final = "scope"
STEP: Final = "step"
"""The whole step of the model runner, from bare passes: the end-to-end metric."""
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
    the scope). The arm `A/A` is the baseline once more: its intervals are the floor.
    """

    arm: str
    baseline: str
    metric: str
    per_step_us: Interval
    per_pass_ms: Interval
    verdict: str


@dataclass(frozen=True)
class ShapeComparison:
    """The scope's difference in the steps of one batch shape; `steps` is how many of a pass have it."""

    shape: str
    steps: int
    arm: str
    per_step_us: Interval
    verdict: str


@dataclass(frozen=True)
class Exposure:
    """What of the seam's time shows up in the step.

    `slope` is in microseconds of step per microsecond planted; `share` of a step would be saved if the seam's
    function took no time (None where that function was not probed).
    """

    slope: Interval
    share: Interval | None


@dataclass(frozen=True)
class OwnCost:
    """What the instrument itself costs: probed minus bare, of the same arm, a step."""

    arm: str
    per_step_us: Interval
    share: float


@dataclass(frozen=True)
class Summary:
    """All that a report shows.

    `confidence_each` is the confidence of each interval that makes all of them hold together; `margin_us` what is as
    good as no difference, a step.
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
            "confidence": self.run["config"]["protocol"]["confidence"],
            "confidence_each": self.confidence_each,
            "margin_us": self.margin_us,
            "arms": {name: asdict(arm) for name, arm in self.arms.items()},
            "comparisons": [
                {
                    "arm": c.arm,
                    "baseline": c.baseline,
                    "metric": c.metric,
                    "per_step_us": _interval(c.per_step_us),
                    "per_pass_ms": _interval(c.per_pass_ms),
                    "verdict": c.verdict,
                }
                for c in self.comparisons
                if c.metric not in (SUM, REST)
            ],
            "own_costs": [
                {"arm": cost.arm, "per_step_us": _interval(cost.per_step_us), "share": cost.share}
                for cost in self.own_costs
            ],
            "shapes": [
                {
                    "shape": c.shape,
                    "steps": c.steps,
                    "arm": c.arm,
                    "per_step_us": _interval(c.per_step_us),
                    "verdict": c.verdict,
                }
                for c in self.shapes
            ],
            "exposure": None
            if self.exposure is None
            else {
                "slope": _interval(self.exposure.slope),
                "share": None if self.exposure.share is None else _interval(self.exposure.share),
            },
            "notes": self.notes,
        }


def _interval(interval: Interval) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in asdict(interval).items()}
