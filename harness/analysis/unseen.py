"""Calls of probed functions that no probe saw: whoever calls holds the function itself, and not a name of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.digits import significant
from harness.instrument.counters import SEEN_CALLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.analysis.summary import ArmSummary
    from harness.records.tables import Columns

__all__ = ["unseen_notes"]


def unseen_notes(counters: Columns, arms: Mapping[str, ArmSummary]) -> list[str]:
    """One sentence a probe whose function ran more often in some arm's scope than its probe was called.

    Args:
        counters: the counting pass, one row a (arm, step), as `Records.counters`.
        arms: with the calls that probes saw in measured passes.
    """
    notes = []
    for column in counters:
        probe, _, what = column.rpartition(".")
        if what != SEEN_CALLS:
            continue
        told = []
        for name, arm in arms.items():
            of_arm = np.asarray(counters["arm"]) == name
            if not arm.measured or probe not in arm.probes or not of_arm.any():
                continue
            seen, timed = float(np.asarray(counters[column])[of_arm].sum()), arm.probes[probe].calls
            if seen > timed + 0.5:  # counts are whole numbers
                unseen = significant((seen - timed) / arm.steps, 2)
                told.append(f"{unseen} calls a step under {name} ({significant(timed / arm.steps, 2)} were timed)")
        if told:
            notes.append(
                f"{probe} was called, but not through a name that could be replaced: {', '.join(told)}; a default "
                "argument, a closure or an object holds it, and its time is in the row of what calls it"
            )
    return notes
