"""What a run at launch grain will resolve, from its first blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import special

from harness.analysis.between import LEAST, PAIRED_FROM, is_paired
from harness.analysis.by_launch import by_arm
from harness.analysis.launch_grain import LaunchGrain
from harness.analysis.metrics import SCOPE
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from harness.records.folder import Records

__all__ = ["MOST_BLOCKS", "blocks_for", "expected_half_width_us"]

MOST_BLOCKS: Final = 10_000


def expected_half_width_us(records: Records, blocks: int | None = None) -> float:
    """The widest half-width of the arms' differences in the scope, in microseconds a step.

    Args:
        records: of a run at launch grain.
        blocks: with so many blocks of the spread that there is by now; None for those that there are.

    Returns:
        Infinite where nothing can be compared yet.
    """
    grain = LaunchGrain.of(records.run, by_arm(records, []))
    if grain is None:
        return math.inf
    arms = [name for name in grain.values if name not in (NATIVE, AA)]
    if blocks is None:
        found = [grain.between(name, SCOPE) for name in arms]
        return max((math.inf if each is None else (each.high - each.low) / 2 for each in found), default=math.inf)
    return max((_after(grain, name, blocks) for name in arms), default=math.inf)


def blocks_for(records: Records, half_width_us: float) -> int:
    """About how many blocks the widest interval needs to be so narrow; at most `MOST_BLOCKS`."""
    low, high = LEAST, MOST_BLOCKS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if expected_half_width_us(records, middle) <= half_width_us else (middle + 1, high)
    return low


def _after(grain: LaunchGrain, name: str, blocks: int) -> float:
    """The half-width that an arm's interval has after so many blocks."""
    arm, native = (grain.side(each, SCOPE) for each in (name, NATIVE))
    if min(len(arm.figures), len(native.figures)) < LEAST:
        return math.inf
    _, first, second = np.intersect1d(arm.blocks, native.blocks, return_indices=True)
    if is_paired(blocks, grain.in_common) and len(first) >= LEAST:
        variance = float((arm.figures[first] - native.figures[second]).var(ddof=1))
        freedom = blocks - 1
    else:
        variance = float(arm.figures.var(ddof=1) + native.figures.var(ddof=1))
        freedom = 2 * (min(blocks, PAIRED_FROM) - 1)
    return float(special.stdtrit(freedom, (1 + grain.confidence) / 2) * math.sqrt(variance / blocks))
