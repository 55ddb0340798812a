"""The difference of two arms between launches, each of which gives one figure.

Launches come in blocks, each with every arm once. Two estimates are valid, and which is taken depends on the design
alone, so that nobody chooses by the result:

- Welch's interval (1947) of all launches of either arm. What a block has in common is in both spreads, so it is
  rather too wide than too narrow, and it has twice as many degrees of freedom.
- The paired interval of the differences within blocks: what a block has in common cancels. With few blocks Student's t
  has so few degrees of freedom that it is up to twice as wide where blocks have nothing in common.

So it is paired from `PAIRED_FROM` blocks on, where pairing costs at most a fifth of the width, and, however few there
are, wherever blocks have by design more in common than anything else can move: they ran on several machines, or their
engines took turns, so that whatever the machine did fell on all of them.
`tests/analysis/test_between.py` shows the coverage of both, and docs/settings.md has the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from harness.analysis.intervals import Interval, mean_interval
from harness.analysis.statistics import welch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LEAST", "PAIRED_FROM", "Side", "beside_others", "between", "is_paired"]

LEAST: Final = 2
"""Launches a side, below which there is no spread, and so no interval."""
PAIRED_FROM: Final = 10
"""Blocks that both arms have, from which on differences are paired within blocks."""


class Side(NamedTuple):
    """The figures of an arm's launches, and the block of each; 0 is no block."""

    figures: NDArray[np.float64]
    blocks: NDArray[np.int64]


def between(arm: Side, baseline: Side, confidence: float, in_common: bool = False) -> Interval | None:
    """The difference of two arms, in the figures' unit; None where one has no launches.

    Args:
        arm: of which the difference is.
        baseline: that it is from.
        confidence: such as 0.95.
        in_common: whether launches of a block have much in common by design.
    """
    one, other = arm.figures, baseline.figures
    if not len(one) or not len(other):
        return None
    together, first, second = np.intersect1d(arm.blocks, baseline.blocks, return_indices=True)
    if is_paired(len(together[together > 0]), in_common):
        inside = together > 0
        return mean_interval(one[first[inside]] - other[second[inside]], confidence)
    if min(len(one), len(other)) < LEAST:
        return Interval(float(one.mean() - other.mean()), -np.inf, np.inf)
    return welch(one, other, confidence)


def beside_others(native: Side, others: Sequence[Side]) -> Side:
    """Native's figures, less the mean of the other arms of its block, of those arms that have all its blocks.

    By it native's launches can be held against each other, whatever each block has in common.
    """
    figures = []
    for side in others:
        if np.isin(native.blocks, side.blocks).all():
            order = np.argsort(side.blocks)
            figures.append(side.figures[order][np.searchsorted(side.blocks[order], native.blocks)])
    return Side(native.figures - np.mean(figures, axis=0), native.blocks) if figures else native


def is_paired(blocks: int, in_common: bool = False) -> bool:
    """Whether so many blocks are paired, which have much in common by design or not."""
    return blocks >= (LEAST if in_common else PAIRED_FROM)
