"""What is drawn for launches: hash seeds, sizes of the environment, the order of arms. The same seed draws the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PADDING", "ArmLaunch", "Launch", "draw", "draw_block"]

SEEDS: Final = 2**32
"""How many seeds a config can have."""
MAX_PADDING: Final = 4096
"""Bytes that are added to the environment, at most: one page, within which the start of the stack then moves."""
PADDING: Final = "HARNESS_PADDING"
ORDER: Final = 3
"""Beside the seed, so that the order of arms is drawn independently of the rest."""


@dataclass(frozen=True)
class Launch:
    """What is drawn for one launch; the first has number 1.

    `hash_seed` is for PYTHONHASHSEED, `padding_bytes` are added to the environment, `schedule_seed` draws the order.
    """

    number: int
    hash_seed: int
    padding_bytes: int
    schedule_seed: int

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables by which a process has it."""
        return {"PYTHONHASHSEED": str(self.hash_seed), PADDING: "x" * self.padding_bytes}


def draw(count: int, seed: int) -> list[Launch]:
    """Draw all launches; the same seed gives the same ones."""
    rng = np.random.default_rng([seed, count])
    hash_seeds = rng.choice(2**32 - 1, size=count, replace=False)
    paddings = rng.integers(0, MAX_PADDING, size=count)
    return [Launch(i + 1, int(hash_seeds[i]), int(paddings[i]), (seed + i) % SEEDS) for i in range(count)]


@dataclass(frozen=True)
class ArmLaunch(Launch):
    """A launch that runs one arm, in one block."""

    arm: str = NATIVE
    block: int = 1


def draw_block(arms: Sequence[str], block: int, first: int, seed: int) -> list[ArmLaunch]:
    """Draw a block: all arms in random order. The same seed and block give the same one.

    Args:
        arms: their names.
        block: its number, from 1.
        first: number of its first launch.
        seed: of the config.
    """
    rng = np.random.default_rng([seed, ORDER, block])
    order = rng.permutation(len(arms))
    hash_seeds = rng.integers(0, 2**32 - 1, size=len(arms))
    paddings = rng.integers(0, MAX_PADDING, size=len(arms))
    return [
        ArmLaunch(first + i, int(hash_seeds[i]), int(paddings[i]), (seed + first + i - 1) % SEEDS, arms[arm], block)
        for i, arm in enumerate(order)
    ]
