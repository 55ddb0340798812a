"""A run at launch grain: each launch gives one figure for its one arm, and `between` compares the arms'.

What varies from launch to launch (memory layout, hash seeds, what the machine does) is in each figure whole, and the
passes within a launch only make its figure steadier. Native and its A/A of one launch are the same code in the same
process, so both go into it.

A/A here is the odd launches of native against its even ones, in the order in which they were made. It takes no launches
of its own, and native's own spread is what it shows; with half as many launches on each side its interval is wider than
those of the arms. Where launches of a block have much in common by design, each is taken relative to the block's other
arms: what a block has in common cancels, and so does what those arms cost. It says whether native differs from itself
by more than chance, not how fine the arms' intervals are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from harness.analysis.between import LEAST, Side, beside_others, between
from harness.analysis.changepoint import MIN_LENGTH
from harness.analysis.differences import pairs_of
from harness.analysis.drift import find_drift, levels
from harness.analysis.intervals import Interval, joint_confidence, verdict
from harness.analysis.measured import arm_values, launches_turns
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.shapes import steps_by_shape
from harness.analysis.statistics import FEWEST, paired_difference, total, typical_sum
from harness.analysis.stopping import per_look
from harness.analysis.summary import Comparison, OwnCost, ShapeComparison
from harness.digits import significant
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.analysis.drift import LevelShift
    from harness.analysis.measured import Values
    from harness.records.folder import Records
    from harness.records.tables import Columns

__all__ = [
    "ByArm", "LaunchGrain", "by_arm", "counters_of_arms", "drift_of", "is_by_launch", "launch_grain_notes", "stack",
    "took_turns",
]  # fmt: skip

NAMED: Final = 5


def is_by_launch(run: dict[str, Any]) -> bool:
    """Whether arms changed from launch to launch."""
    return bool(run["config"]["protocol"]["grain"] == "launch")


def took_turns(run: Mapping[str, Any]) -> bool:
    """Whether the engines of each block stood side by side, and served a pass each in turn."""
    whole = [each for each in run.get("blocks", []) if not each.get("lost")]
    return bool(whole) and all(each.get("together") for each in whole)


class ByArm(NamedTuple):
    """By arm its launches, native's first: of each its values, and its block; 0 where there are no blocks."""

    values: dict[str, list[Values]]
    blocks: dict[str, list[int]]


def _whole_blocks(run: dict[str, Any]) -> set[int] | None:
    """The blocks that ended whole; None for a run of a time before there were blocks."""
    if "blocks" not in run:
        return None
    return {each["number"] for each in run["blocks"] if not each.get("lost")}


def by_arm(records: Records, notes: list[str]) -> ByArm:
    """What each launch measured, native's and A/A's passes together.

    A/A has every other launch of native. Arms that were struck are left out, and so is what was measured in a block
    that did not end whole.
    """
    found: dict[str, list[Values]] = {}
    blocks: dict[str, list[int]] = {}
    equality, turns = records.run.get("equality", {}), launches_turns(records.launches)
    whole = _whole_blocks(records.run)
    for number, launch in enumerate(records.launches, start=1):
        arm, of_launch = launch.run.get("arm") or NATIVE, list[str]()
        block = int(launch.run.get("block", 0))
        if equality.get(arm, {}).get("equal") is False or (whole is not None and block not in whole):
            continue
        values = arm_values(launch, of_launch, turns)
        notes += [f"launch {number}: {note}" for note in of_launch]
        both = [values[name] for name in (NATIVE, AA) if name in values]
        if both:
            joined = {
                metric: np.concatenate([each[metric] for each in both]) for metric in both[0] if metric in both[-1]
            }
            found.setdefault(arm, []).append(joined)
            blocks.setdefault(arm, []).append(block)
    each = [values for launches in found.values() for values in launches]
    metrics = [metric for metric in each[0] if all(metric in values for values in each)] if each else []
    ordered = {
        name: [{metric: values[metric] for metric in metrics} for values in found[name]]
        for name in dict.fromkeys((NATIVE, *found))
        if name in found
    }
    if len(halves := ordered.get(NATIVE, [])) >= 2 * LEAST:
        ordered[AA], blocks[AA] = halves[1::2], [0] * len(halves[1::2])
    return ByArm(ordered, blocks)


def launch_grain_notes(run: dict[str, Any], values: dict[str, list[Values]]) -> list[str]:
    """Why the run is at launch grain, how arms were compared between processes, and what that leaves open."""
    grain, across = run.get("grain") or {}, run.get("across") or {}
    why = list(grain.get("why", []))
    told = "; ".join(why[:NAMED]) + (f"; and {len(why) - NAMED} more" if len(why) > NAMED else "")
    counts = ", ".join(f"{name} {len(launches)}" for name, launches in values.items() if name != AA)
    notes = [
        f"launch grain: {f'this cannot be switched in a living engine: {told}' if why else 'asked for'}. "
        f"Engines were started in turn, each with one arm in it (launches: {counts or 'none'})"
    ]
    if across:
        notes.append(
            f"equality between launches: {across.get('leaves', 0):,} values of a pass and all tokens were compared. "
            "`state` was not, since unwritten buffers hold what a process found in memory"
            + "".join(_fields(f"what only {arm} has", fields) for arm, fields in across.get("only_there", {}).items())
        )
    notes += [
        f"{arm} was started with vLLM {about['vllm']} and torch {about['torch']}, in an environment of its own"
        for arm, about in run.get("environments", {}).items()
    ]
    notes += [
        f"{arm} computes otherwise than native, as a setting may, so that times are compared and not results: it {why}"
        for arm, why in across.get("otherwise", {}).items()
    ]
    lost = [each for each in run.get("blocks", []) if each.get("lost")]
    notes += [f"block {each['number']} is lost, with what it had measured: {each['lost']}" for each in lost[:NAMED]]
    if len(lost) > NAMED:
        notes.append(f"{len(lost) - NAMED} more blocks are lost")
    few = [name for name, launches in values.items() if name != AA and len(launches) < FEWEST]
    if few and values:
        notes.append(f"no verdict with fewer than {FEWEST} launches of an arm: {', '.join(few)}")
    return notes


def _fields(what: str, fields: Sequence[str]) -> str:
    more = f" and {len(fields) - NAMED} more" if len(fields) > NAMED else ""
    return f"; nor was {what}: {', '.join(fields[:NAMED])}{more}" if fields else ""


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


def stack(values: dict[str, list[Values]]) -> dict[str, Values]:
    """The passes of all launches of each arm, one after the other."""
    return {
        name: {metric: np.concatenate([each[metric] for each in launches]) for metric in launches[0]}
        for name, launches in values.items()
    }


def counters_of_arms(firsts: Mapping[str, Records]) -> Columns:
    """The counting passes of one launch of each arm, as if they were of one engine."""
    tables = []
    for arm, launch in firsts.items():
        if "arm" in launch.counters:
            own = np.asarray(launch.counters["arm"]) == NATIVE
            tables.append({name: np.asarray(column)[own] for name, column in launch.counters.items()})
            tables[-1]["arm"] = np.array([arm] * int(own.sum()), dtype=object)
    names = [name for name in tables[0] if all(name in table for table in tables)] if tables else []
    return {name: np.concatenate([table[name] for table in tables]) for name in names}


def drift_of(records: Records, protocol: dict[str, Any]) -> tuple[list[LevelShift], bool]:
    """Level shifts within launches, and whether each launch could be tested for them.

    None withholds verdicts: a launch gives one figure, and what shifts in it is in the spread between launches.
    """
    shifts: list[LevelShift] = []
    tested = True
    for number, launch in enumerate(records.launches, start=1):
        if launch.columns and len(np.unique(launch.columns["pass"])) >= MIN_LENGTH:
            found = find_drift(levels(launch.columns), protocol["margin"], protocol["drift"], number)
            shifts += [replace(shift, withholds=False) for shift in found]
        else:
            tested = False
    return shifts, tested
