"""Arms that leave more, or fewer, objects to the garbage collector: what that costs or saves falls into later steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from harness.digits import significant
from harness.instrument.counters import TRACKED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records.tables import Columns

__all__ = ["tracked_notes"]

FEWEST: Final = 0.5
"""Objects a step: counts are whole numbers, and repeat from pass to pass."""


def tracked_notes(counters: Columns, arms: Sequence[str], baseline: str) -> list[str]:
    """One sentence on the arms under which a step leaves another number of tracked objects than under the baseline.

    CPython collects after so many more of them (`gc.get_threshold`), so that an arm which leaves fewer has fewer
    collections, in whichever steps these then fall.

    Args:
        counters: the counting pass, one row a (arm, step), as `Records.counters`.
        arms: those to be told of.
        baseline: the arm that they are held against.
    """
    if TRACKED not in counters:
        return []
    of, found = np.asarray(counters["arm"]), np.asarray(counters[TRACKED])
    if not (of == baseline).any():
        return []
    usual = float(found[of == baseline].mean())
    told = []
    for arm in arms:
        if arm == baseline or not (of == arm).any():
            continue
        more = float(found[of == arm].mean()) - usual
        if abs(more) >= FEWEST:
            told.append(f"{arm} {significant(abs(more), 2)} {'more' if more > 0 else 'fewer'}")
    if not told:
        return []
    return [
        f"objects that a step leaves to the garbage collector, against {baseline}: {', '.join(told)}; their collection "
        "falls into later steps, under whichever arm: protocol.grain: pass measures that as well"
    ]
