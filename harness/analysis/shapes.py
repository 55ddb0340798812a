"""Steps by the shape of their batch: a change can win on decode and lose on prefill."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["kind_of_turn", "steps_by_shape"]


def steps_by_shape(steps: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
    """Indices of the steps of each shape, the shapes in order of their first step.

    A step is a prefill where all of its requests still process their prompt, a decode where none does, else mixed;
    within these, steps are grouped by their number of tokens, in powers of four.

    Args:
        steps: `steps` of run.json: num_reqs, num_tokens and num_prefills of every step.
    """
    grouped: dict[tuple[str, int], list[int]] = {}
    for step, (reqs, tokens, prefills) in enumerate(
        zip(steps["num_reqs"], steps["num_tokens"], steps["num_prefills"], strict=True)
    ):
        grouped.setdefault((kind_of_turn(reqs, prefills), _octave(tokens)), []).append(step)
    named = {}
    for (kind, _), members in grouped.items():
        tokens = [steps["num_tokens"][step] for step in members]
        low, high = min(tokens), max(tokens)
        size = f"{low} token{'' if high == 1 else 's'}" if low == high else f"{low} to {high} tokens"
        named[f"{kind}, {size}"] = np.array(members)
    return named


def kind_of_turn(requests: int, prefills: int) -> str:
    """`prefill` where all requests still process their prompt, `decode` where none does, else `mixed`."""
    return "decode" if prefills == 0 else "prefill" if prefills == requests else "mixed"


def _octave(tokens: int) -> int:
    return math.ceil(math.log(tokens, 4)) if tokens > 1 else 0
