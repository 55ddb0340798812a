"""Turns in which a phase takes longer than in others, and what those turns have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.analysis.intervals import Interval, joint_confidence
from harness.analysis.statistics import welch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from harness.analysis.measured import Values
    from harness.analysis.phase_parts import Part

__all__ = ["PhasePopulation", "find_phase_populations"]

FEWEST: Final = 3
"""Turns of either side, at least."""
LEAST: Final = 0.1
"""A difference below this share of the phase's usual time is not told."""
NEW_BLOCKS: Final = "vllm.v1.core.block_pool.BlockPool.get_new_blocks"
BLOCKS: Final = "that open a block"
AFTER: Final = "right after a prefill"
ENDED: Final = "after which a request has gone"
COLLECTED: Final = "with a garbage collection"
MORE_TOKENS: Final = "with more tokens than usual"


@dataclass(frozen=True)
class PhasePopulation:
    """A phase in turns that have something in common, against the others of the same kind.

    Attributes:
        kind: of turns: `decode`, `prefill`, `mixed`.
        label: of the phase.
        common: what they have in common.
        turns: how many of a pass (a collection: of all turns that were measured).
        us: the phase's time in them.
        others_us: in the others.
        difference_us: with its interval; all of a profile hold together.
    """

    kind: str
    label: str
    common: str
    turns: int
    us: float
    others_us: float
    difference_us: Interval


def find_phase_populations(
    run: Mapping[str, Any],
    kinds: Mapping[str, NDArray[np.int64]],
    parts: Sequence[Part],
    native: Values,
    collected: NDArray[np.bool_] | None,
    confidence: float,
) -> list[PhasePopulation]:
    """The splits of a phase's turns that a test finds, the largest difference first.

    A turn's time is the median over groups, so that what disturbs single groups is none of it. Turns with something in
    common are held against the others of their kind by Welch's test; a garbage collection, which comes at another turn
    in each group, by the excess over that turn's median. Bonferroni's rule holds all tests of a profile together.

    Args:
        run: run.json.
        kinds: the turns of each kind.
        parts: the phases.
        native: all values.
        collected: whether a garbage collection came in each turn, [groups, steps] as the values; None if unknown.
        confidence: of all that is found together.
    """
    cases = list(_cases(run, kinds, parts, native, collected))
    each = joint_confidence(confidence, len(cases))
    found = []
    for kind, label, common, turns, those, others, usual in cases:
        difference = welch(those, others, each)
        if not difference.low <= 0 <= difference.high and abs(difference.estimate) > LEAST * usual:
            us, others_us = float(those.mean()) / 1e3, float(others.mean()) / 1e3
            if common == COLLECTED:  # excesses over the turn's own median
                us, others_us = us + usual / 1e3, others_us + usual / 1e3
            found.append(PhasePopulation(kind, label, common, turns, us, others_us, difference.scaled(1e-3)))
    return sorted(found, key=lambda population: -abs(population.difference_us.estimate) * population.turns)


def _cases(
    run: Mapping[str, Any],
    kinds: Mapping[str, NDArray[np.int64]],
    parts: Sequence[Part],
    native: Values,
    collected: NDArray[np.bool_] | None,
) -> Iterator[tuple[str, str, str, int, NDArray[np.float64], NDArray[np.float64], float]]:
    common = _in_common(run["steps"], native)
    for kind, steps in kinds.items():
        for part in parts:
            if part.section == "arrival" or not part.calls[:, steps].any():
                continue
            of_turn = np.median(part.own_ns[:, steps], axis=0)
            usual = float(np.median(of_turn))
            for what, there in common.items():
                here = there[steps]
                if min(here.sum(), (~here).sum()) >= FEWEST:
                    yield kind, part.label, what, int(here.sum()), of_turn[here], of_turn[~here], usual
            if collected is not None:
                here = collected[:, steps]
                excess = part.own_ns[:, steps] - of_turn
                if min(here.sum(), (~here).sum()) >= FEWEST:
                    yield kind, part.label, COLLECTED, int(here.sum()), excess[here], excess[~here], usual


def _in_common(steps: Mapping[str, Any], native: Values) -> dict[str, NDArray[np.bool_]]:
    """By what turns can have in common, whether each has it."""
    requests, tokens, prefills = (np.asarray(steps[key]) for key in ("num_reqs", "num_tokens", "num_prefills"))
    found = {
        AFTER: np.concatenate([[False], prefills[:-1] > 0]),
        ENDED: np.concatenate([requests[1:] < requests[:-1], [False]]),
        MORE_TOKENS: tokens > np.median(tokens),
    }
    if f"{NEW_BLOCKS}.calls" in native:
        found[BLOCKS] = native[f"{NEW_BLOCKS}.calls"].mean(axis=0) > 0
    return found
