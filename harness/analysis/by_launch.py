"""A run at launch grain: each launch gives one figure for its one arm, and `between` compares the arms'.

What varies from launch to launch (memory layout, hash seeds, what the machine does) is in each figure whole, and the
passes within a launch only make its figure steadier. Native and its A/A of one launch are the same code in the same
process, so both go into it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from harness.analysis.between import LEAST
from harness.analysis.changepoint import MIN_LENGTH
from harness.analysis.drift import find_drift, levels
from harness.analysis.measured import arm_values, launches_turns
from harness.analysis.statistics import FEWEST
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.analysis.drift import LevelShift
    from harness.analysis.measured import Values
    from harness.records.folder import Records
    from harness.records.tables import Columns

__all__ = [
    "ByArm", "by_arm", "counters_of_arms", "drift_of", "is_by_launch", "launch_grain_notes", "stack",
    "took_turns",
]  # fmt: skip

NAMED: Final = 5


def is_by_launch(run: dict[str, Any]) -> bool:
    """Whether arms changed from launch to launch."""
    return bool(run["config"]["protocol"]["grain"] == "launch")


def took_turns(run: Mapping[str, Any]) -> bool:
    """Whether the engines of each block stood side by side, and took turns."""
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
