"""How often intervals between real launches miss the truth: `python -m tests.analysis.launch_noise DIR ARM,ARM,..`.

The arms that are named are alike, and the engines of a block took turns. So within a block their figures may change
places, and each way of drawing two of them is a run in which nothing differs: whatever it finds is a false find. A
share of the figure that is put on one side must be found. Of all launches of the folder some blocks are drawn, without
putting back. Prints the table of docs/settings.md.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import numpy as np

from harness.analysis.between import Side, between
from harness.analysis.metrics import SCOPE, STEP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95
RUNS = 4000
SHARES = (0.0, 0.01, 0.05)
"""What is put on one side, as a share of the figure."""


class Row(NamedTuple):
    """Of so many blocks: by share how often a difference is found, in per cent, and the mean half-width, likewise."""

    blocks: int
    found: dict[float, float]
    half_width: float


def figures_of(folder: Path, arms: Sequence[str], metric: str) -> NDArray[np.float64]:
    """Microseconds a step of each launch: shape [blocks, arms], of the blocks in which all of them ended."""
    with (folder / "launches.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == metric and row["arm"] in arms]
    by_block: dict[int, dict[str, float]] = {}
    for each in rows:
        by_block.setdefault(int(each["block"]), {})[each["arm"]] = float(each["us"])
    return np.array([[found[arm] for arm in arms] for found in by_block.values() if len(found) == len(arms)])


def row(figures: NDArray[np.float64], blocks: int, seed: int, runs: int = RUNS) -> Row:
    """Draw runs of so many blocks, each with two of the figures of each of its blocks."""
    rng = np.random.default_rng([seed, blocks])
    numbers, found, widths = np.arange(1, blocks + 1), dict.fromkeys(SHARES, 0), []
    for _ in range(runs):
        of_blocks = rng.permuted(figures[rng.choice(len(figures), blocks, replace=False)], axis=1)
        for share in SHARES:
            arm, native = Side(of_blocks[:, 0] * (1 + share), numbers), Side(of_blocks[:, 1], numbers)
            interval = between(arm, native, CONFIDENCE, in_common=True)
            assert interval is not None
            found[share] += not interval.low <= 0 <= interval.high
            if not share:
                widths.append((interval.high - interval.low) / 2)
    rates = {share: 100 * count / runs for share, count in found.items()}
    return Row(blocks, rates, 100 * float(np.mean(widths)) / float(figures.mean()))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.argument("arms")
def main(folder: Path, arms: str) -> None:
    """Print the table."""
    heads = ["blocks", "of", "half-width", *(f"{100 * share:g} % found" for share in SHARES)]
    click.echo(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for metric in (SCOPE, STEP):
        figures = figures_of(folder, arms.split(","), metric)
        for blocks in (5, 10, 20):
            if blocks <= len(figures):
                found = row(figures, blocks, seed=0)
                rates = (f"{found.found[share]:.1f} %" for share in SHARES)
                click.echo(f"| {blocks} | {metric} | {found.half_width:.1f} % | {' | '.join(rates)} |")


if __name__ == "__main__":
    main()
