"""Every difference of a report between arms, and how many of them there are: they hold together.

The usual step and accumulated time are two questions, and both are answered: by a robust difference, and by the
difference of means, as wide as its interval is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.analysis.changepoint import MIN_LENGTH
from harness.analysis.grouping import grain_of
from harness.analysis.intervals import Interval, verdict
from harness.analysis.metrics import OF_CPU, REST, SCOPE, STEP, SUM
from harness.analysis.populations import intervals_of_populations
from harness.analysis.shapes import steps_by_shape
from harness.analysis.statistics import CLIP, paired_difference, total
from harness.analysis.summary import Comparison, OwnCost, ShapeComparison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.analysis.measured import Values
    from harness.analysis.probe_cost import ProbeCost
    from harness.analysis.statistics import Grain

__all__ = ["Differences", "drawn_by", "family_size", "pairs_of"]


def drawn_by(protocol: Mapping[str, Any]) -> Grain:
    """Whether arms are drawn for every step, so that steps are independent; else the sums over passes are compared.

    Arms that take turns (`order: rotate`) are not drawn: what one step leaves behind always meets the same arm.
    """
    return "step" if grain_of(protocol) == "step" and protocol["order"] == "random" else "pass"


def pairs_of(values: dict[str, Values], baseline: str, probes: list[str]) -> list[tuple[str, str]]:
    """(arm, metric) of every difference that the report prints."""
    return [
        (name, metric)
        for name in values
        if name != baseline
        for metric in (SCOPE, *probes, SUM, REST, STEP, *OF_CPU.values())
        if metric in values[name] and (values[name][metric].any() or values[baseline][metric].any())
    ]


def family_size(run: dict[str, Any], values: dict[str, Values], baseline: str) -> int:
    """How many intervals and tests of a report can carry a claim; together they hold at the confidence asked for."""
    with_bare = STEP in values[baseline]
    others, groups = len(values) - 1, len(values[baseline][SCOPE])
    shapes = len(steps_by_shape(run["steps"]))
    return (
        len(pairs_of(values, baseline, list(run["config"]["probes"])))
        + others * (1 + with_bare)  # the differences of means
        + others * (shapes if shapes > 1 else 0)
        + others  # outlying steps
        + others * (groups >= MIN_LENGTH)  # trends
        + len(values) * with_bare  # own costs
        + bool(run["config"]["protocol"].get("exposed"))
        + intervals_of_populations(run, values, baseline)
    )


class Differences(NamedTuple):
    """What arms are compared by; times are nanoseconds of a pass. `launches` as in `paired_difference`.

    `cost` is what was subtracted for each call of a probe, `cost_error` how far that can be wrong, relative to it.
    """

    values: dict[str, Values]
    baseline: str
    confidence: float
    launches: NDArray[np.int64] | None
    grain: Grain
    margin_us: float
    probes: list[str]
    cost: ProbeCost
    cost_error: float

    def in_metric(self, name: str, metric: str) -> Comparison:
        """One arm with the baseline, in the usual step; in scope and step also in accumulated time."""
        difference = self._difference(name, metric)
        steps = self.values[name][metric].shape[1]
        per_step = difference.scaled(1e-3 / steps)
        found = Comparison(
            name, self.baseline, metric, per_step, difference.scaled(1e-6), verdict(per_step, self.margin_us)
        )
        if metric not in (SCOPE, STEP):
            return found
        means_us = self._difference(name, metric, clip=np.inf).scaled(1e-3 / steps)
        return replace(found, means_us=means_us, means_verdict=verdict(means_us, self.margin_us))

    def by_shape(self, shapes: dict[str, NDArray[np.int64]], margin: float) -> list[ShapeComparison]:
        """The scope's differences by batch shape; none where all steps have the same shape."""
        found = []
        for shape, steps in shapes.items() if len(shapes) > 1 else ():
            margin_us = margin * total(self.values[self.baseline][SCOPE][:, steps]) / len(steps) / 1e3
            for name in self.values:
                if name != self.baseline:
                    per_step = self.in_steps(name, steps)
                    found.append(ShapeComparison(shape, len(steps), name, per_step, verdict(per_step, margin_us)))
        return found

    def in_steps(self, name: str, steps: NDArray[np.int64]) -> Interval:
        """The scope's difference in these steps of a pass, microseconds a step."""
        return self._difference(name, SCOPE, steps).scaled(1e-3 / len(steps))

    def own_cost(self, name: str) -> OwnCost:
        """What the instrument costs a step of one arm: its probed steps against its bare ones."""
        probed, bare = self.values[name]["probed_step_ns"], self.values[name][STEP]
        cost = self._paired(probed, bare)
        return OwnCost(name, cost.scaled(1e-3 / bare.shape[1]), cost.estimate / total(bare))

    def _difference(
        self, name: str, metric: str, steps: NDArray[np.int64] | slice = slice(None), clip: float = CLIP
    ) -> Interval:
        arm, baseline = (self.values[each][metric][:, steps] for each in (name, self.baseline))
        found = self._paired(arm, baseline, clip)
        subtracted_ns = self._subtracted_ns(name, metric, steps) - self._subtracted_ns(self.baseline, metric, steps)
        half_ns = float(np.hypot((found.high - found.low) / 2, subtracted_ns * self.cost_error))
        return Interval(found.estimate, found.estimate - half_ns, found.estimate + half_ns)

    def _subtracted_ns(self, name: str, metric: str, steps: NDArray[np.int64] | slice) -> float:
        """What was subtracted in a pass for the calls of probes."""
        values = self.values[name]

        def count(source: str, what: str) -> float:
            return total(values[f"{source}.{what}"][:, steps])

        def of(source: str) -> float:
            return count(source, "calls") * self.cost.inside_ns + count(source, "nested_calls") * self.cost.outside_ns

        if metric in (SCOPE, OF_CPU[SCOPE]):
            return sum(count(probe, "calls") for probe in self.probes) * self.cost.call_ns
        if metric == SUM:
            return sum(of(probe) for probe in self.probes)
        if metric == REST:
            return count(SCOPE, "nested_calls") * self.cost.outside_ns
        return of(metric) if metric in self.probes else 0.0

    def _paired(self, arm: NDArray[np.float64], baseline: NDArray[np.float64], clip: float = CLIP) -> Interval:
        return paired_difference(arm, baseline, self.confidence, self.launches, self.grain, clip)
