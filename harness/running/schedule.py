"""Which arm runs which step of which pass: randomised complete blocks.

A group has as many passes as there are arms; in it every step runs under every arm exactly once, so that what a
step costs by itself cancels in differences inside the group. The order is drawn anew for each step, since a
fixed one can coincide with the workload's own period (new KV blocks come every block-size steps).
Bulej et al., "Duet benchmarking" (ICPE 2020); Fisher, The Design of Experiments (1935).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["complete_blocks", "drawn_checks"]

GROUPS_A_CHECK: Final = 5
MOST_CHECKS: Final = 3
"""Between groups all arms are checked again once in so many groups, and at most so often: a few passes in hundreds."""


def complete_blocks(
    arms: int,
    steps: int,
    groups: int,
    seed: int | Sequence[int],
    order: Literal["random", "rotate"] = "random",
    grain: Literal["step", "pass"] = "step",
) -> NDArray[np.int64]:
    """Draw a schedule.

    Args:
        arms: number of treatments (arms, or arms each probed and bare), and so of passes a group.
        steps: steps a pass.
        groups: how often every step runs under every arm.
        seed: of the random generator.
        order: `random` draws a permutation of the arms for each (group, step); `rotate` shifts the
            config's order by one from step to step and from group to group.
        grain: with `pass` one permutation holds for all steps of a group.

    Returns:
        Arm indices, shape [groups, passes a group, steps].
    """
    blocks = (groups, 1 if grain == "pass" else steps)
    if order == "random":
        identity = np.broadcast_to(np.arange(arms), (*blocks, arms))
        permutations = np.random.default_rng(seed).permuted(identity, axis=-1)
    else:
        shift = np.arange(blocks[0])[:, None, None] + np.arange(blocks[1])[None, :, None]
        permutations = (np.arange(arms) + shift) % arms
    return np.broadcast_to(permutations, (groups, steps, arms)).swapaxes(1, 2).copy()


def drawn_checks(groups: int, seed: int) -> list[int]:
    """After how many groups all arms are checked again, in ascending order; drawn, so that no arm can count on it.

    The check after the last group is not among them.
    """
    count = min(groups // GROUPS_A_CHECK, MOST_CHECKS)
    drawn = np.random.default_rng([seed, groups]).choice(np.arange(1, groups), size=count, replace=False)
    return sorted(int(group) for group in drawn)
