"""How often intervals between launches miss the truth: `python -m tests.analysis.launch_coverage`.

Each launch gives one figure: a level, what its block has in common, and its own spread, of which the standard deviation
is 1. Prints the table of docs/settings.md.
"""

from __future__ import annotations

from typing import NamedTuple

import click
import numpy as np

from harness.analysis.between import PAIRED_FROM, Side, between
from harness.analysis.intervals import mean_interval
from harness.analysis.statistics import welch

CONFIDENCE = 0.95
RUNS = 4000
DIFFERENCE = 1.0


class Row(NamedTuple):
    """Of so many blocks, with so much in common: misses in per cent and the mean half-width, of each way."""

    blocks: int
    common: float
    welch: tuple[float, float]
    paired: tuple[float, float]
    taken: tuple[float, float]


def row(blocks: int, common: float, seed: int, runs: int = RUNS, confidence: float = CONFIDENCE) -> Row:
    """Play runs of so many blocks; `common` is the standard deviation of what the launches of a block share."""
    rng = np.random.default_rng([seed, blocks, int(100 * common)])
    numbers = np.arange(1, blocks + 1)
    found: dict[str, list[tuple[bool, float]]] = {"welch": [], "paired": [], "taken": []}
    for _ in range(runs):
        of_block = rng.normal(0, common, blocks)
        native, arm = (of_block + rng.normal(level, 1, blocks) for level in (100, 100 + DIFFERENCE))
        intervals = {
            "welch": welch(arm, native, confidence),
            "paired": mean_interval(arm - native, confidence),
            "taken": between(Side(arm, numbers), Side(native, numbers), confidence),
        }
        for way, interval in intervals.items():
            assert interval is not None
            missed = not interval.low <= DIFFERENCE <= interval.high
            found[way].append((missed, (interval.high - interval.low) / 2))
    told = {way: (100 * np.mean([m for m, _ in each]), np.mean([h for _, h in each])) for way, each in found.items()}
    return Row(blocks, common, told["welch"], told["paired"], told["taken"])


def main() -> None:
    heads = ["blocks", "in common", "Welch misses, half-width", "paired misses, half-width", f"taken ({PAIRED_FROM})"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for blocks in (5, 10, 20):
        for common in (0.0, 1.0, 3.0):
            found = row(blocks, common, seed=0)
            ways = (f"{misses:.1f} %, {half:.2f}" for misses, half in (found.welch, found.paired, found.taken))
            lines.append(f"| {blocks} | {common:g} | {' | '.join(ways)} |")
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
