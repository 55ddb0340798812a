"""The arms of a run at launch grain, compared: each launch gives one figure, and `between` takes the differences.

A/A here is the odd launches of native against its even ones, in the order in which they were made. It takes no launches
of its own, and native's own spread is what it shows; with half as many launches on each side its interval is wider than
those of the arms. Where launches of a block have much in common by design, each is taken relative to the block's other
arms: what a block has in common cancels, and so does what those arms cost. It says whether native differs from itself
by more than chance, not how fine the arms' intervals are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.analysis.between import LEAST, Side, beside_others, between
from harness.analysis.by_launch import stack, took_turns
from harness.analysis.differences import pairs_of
from harness.analysis.intervals import Interval, joint_confidence, verdict
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.shapes import steps_by_shape
from harness.analysis.statistics import FEWEST, paired_difference, total, typical_sum
from harness.analysis.stopping import per_look
from harness.analysis.summary import Comparison, LaunchFigure, OwnCost, ShapeComparison
from harness.digits import significant
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.analysis.by_launch import ByArm
    from harness.analysis.measured import Values

__all__ = ["LaunchGrain"]


class LaunchGrain(NamedTuple):
    """What the arms of a run at launch grain are compared by.

    Attributes:
        values: by arm, of each launch the values by metric, in nanoseconds, shape [passes, steps].
        blocks: by arm, the block of each launch.
        in_common: whether launches of a block have much in common by design (`between`).
        confidence: of each interval.
        margin: a difference within this share of the baseline's scope counts as equivalent.
        probes: of the config.
    """

    values: dict[str, list[Values]]
    blocks: dict[str, list[int]]
    in_common: bool
    confidence: float
    margin: float
    probes: list[str]

    @classmethod
    def of(cls, run: dict[str, Any], found: ByArm) -> LaunchGrain | None:
        """With as much confidence for each interval as makes all of them hold together, at all looks.

        None where native has not been measured.
        """
        values = found.values
        if NATIVE not in values:
            return None
        protocol, probes = run["config"]["protocol"], list(run["config"]["probes"])
        stacked = stack(values)
        others, with_bare = len(values) - 1, STEP in stacked[NATIVE]
        shapes = len(steps_by_shape(run["steps"]))
        count = len(pairs_of(stacked, NATIVE, probes)) + others * (1 + with_bare) + len(values) * with_bare
        count += others * (shapes if shapes > 1 else 0)
        confidence = joint_confidence(per_look(float(protocol["confidence"]), len(run.get("looks", []))), count)
        whole = [each for each in run.get("blocks", []) if not each.get("lost")]
        several = len({each.get("node", "") for each in whole}) > 1
        return cls(values, found.blocks, several or took_turns(run), confidence, float(protocol["margin"]), probes)

    @property
    def margin_us(self) -> float:
        """The margin in microseconds a step."""
        return self.margin * float(self.side(NATIVE, SCOPE, plain=True).figures.mean())

    def comparisons(self) -> list[Comparison]:
        """Every arm with native in every metric that has values."""
        return [self._in_metric(name, metric) for name, metric in pairs_of(stack(self.values), NATIVE, self.probes)]

    def by_shape(self, run: dict[str, Any]) -> list[ShapeComparison]:
        """The scope's differences by batch shape; none where all steps have the same shape."""
        found, shapes = [], steps_by_shape(run["steps"])
        for shape, steps in shapes.items() if len(shapes) > 1 else ():
            margin_us = self.margin * float(self.side(NATIVE, SCOPE, steps).figures.mean())
            for name in self.values:
                if name != NATIVE and (interval := self.between(name, SCOPE, steps)) is not None:
                    said = self._verdict(name, interval, margin_us)
                    found.append(ShapeComparison(shape, len(steps), name, interval, said))
        return found

    def own_costs(self) -> list[OwnCost]:
        """What the instrument costs a step of each arm: probed steps against bare ones of the same launches."""
        found = []
        for name, values in stack(self.values).items():
            if STEP in values:
                groups = [len(each[SCOPE]) for each in self.values[name]]
                launches = np.repeat(np.arange(len(groups)), groups)
                few = len(self.values[name]) < FEWEST
                probed, bare = values["probed_step_ns"], values[STEP]
                cost = paired_difference(probed, bare, self.confidence, None if few else launches)
                found.append(OwnCost(name, cost.scaled(1e-3 / bare.shape[1]), cost.estimate / total(bare)))
        return found

    def _in_metric(self, name: str, metric: str) -> Comparison:
        interval = self.between(name, metric)
        assert interval is not None  # noqa: S101 (`pairs_of` gives what both have)
        steps = self.values[name][0][metric].shape[1]
        per_pass = interval.scaled(steps * 1e-3)
        found = Comparison(name, NATIVE, metric, interval, per_pass, self._verdict(name, interval, self.margin_us))
        if metric not in (SCOPE, STEP):
            return found
        means = self.between(name, metric, plain=True)
        assert means is not None  # noqa: S101
        return replace(found, means_us=means, means_verdict=self._verdict(name, means, self.margin_us))

    def _verdict(self, name: str, interval: Interval, margin_us: float) -> str:
        """`not resolved` where there are too few launches, whatever the interval."""
        few = min(len(self.values[name]), len(self.values[NATIVE])) < FEWEST and name != AA
        return "not resolved" if few else verdict(interval, margin_us)

    def between(
        self, name: str, metric: str, steps: NDArray[np.int64] | slice = slice(None), *, plain: bool = False
    ) -> Interval | None:
        """An arm's difference from native, in microseconds a step; None where one of them has no launches."""
        native = self.side(NATIVE, metric, steps, plain=plain)
        if name != AA:
            return between(self.side(name, metric, steps, plain=plain), native, self.confidence, self.in_common)
        if self.in_common:
            arms = (each for each in self.values if each not in (NATIVE, AA))
            native = beside_others(native, [self.side(arm, metric, steps, plain=plain) for arm in arms])
        nowhere = np.zeros(len(native.figures), dtype=np.int64)
        even, odd = (Side(native.figures[start::2], nowhere[start::2]) for start in (1, 0))
        return between(even, odd, self.confidence)

    def side(
        self, name: str, metric: str, steps: NDArray[np.int64] | slice = slice(None), *, plain: bool = False
    ) -> Side:
        """Microseconds a step of each launch: of the usual step, or plain means."""
        sums = [total(each[metric][:, steps]) if plain else float(typical_sum(each[metric][:, steps]))
                for each in self.values[name]]  # fmt: skip
        count = self.values[name][0][metric][:, steps].shape[1]
        return Side(np.array(sums) / count / 1e3, np.array(self.blocks[name], dtype=np.int64))

    def figures(self) -> list[LaunchFigure]:
        """What each launch says of its arm."""
        found = []
        for name, metric in [(name, metric) for name in self.values if name != AA for metric in (SCOPE, STEP)]:
            if metric in self.values[name][0]:
                side = self.side(name, metric)
                rows = zip(side.blocks.tolist(), side.figures.tolist(), strict=True)
                found += [LaunchFigure(block, name, metric, us) for block, us in rows]
        return found

    def spread_note(self) -> str:
        """How far native's launches lie apart."""
        of_scope = self.side(NATIVE, SCOPE).figures
        if len(of_scope) < LEAST:
            return ""
        told = f"native's launches lie {significant(float(np.std(of_scope, ddof=1)), 2)} us a step apart in the scope"
        if STEP in self.values[NATIVE][0]:
            of_step = float(np.std(self.side(NATIVE, STEP).figures, ddof=1))
            told += f" and {significant(of_step, 2)} us in the whole step"
        return f"{told} (standard deviation): no more launches, no finer interval"
