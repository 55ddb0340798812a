"""The token ids of prompts: each as often as any other, or as words are in a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness.config.workload import Ids

__all__ = ["draw_ids"]


def draw_ids(ids: Ids, vocab_size: int, count: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    """So many token ids from [0, vocab_size).

    By Zipf's law the token of rank r has a probability in proportion to 1 / r^exponent; its id is r - 1, as in the
    vocabularies of trained tokenizers, in which what is frequent comes early. [Zipf 1949, Human Behavior and the
    Principle of Least Effort]
    """
    if ids.zipf is None:
        return rng.integers(0, vocab_size, count)
    weights = np.arange(1, vocab_size + 1, dtype=np.float64) ** -ids.zipf.exponent
    ends = np.cumsum(weights)
    # Below the last end, whatever the sums' rounding.
    drawn: np.ndarray[Any, np.dtype[np.int64]] = np.minimum(
        np.searchsorted(ends, rng.random(count) * ends[-1], side="right"), vocab_size - 1
    )
    return drawn
