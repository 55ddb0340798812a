"""Timing rows by torch.utils.benchmark, which warms up, chooses how often to repeat, and waits for the device.

The columns of a row take turns in rounds, in an order drawn anew for each, so that all see the same machine.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np
from torch.utils.benchmark import Timer

from harness.micro.rows import Row, differences
from harness.micro.timing import MeasuredRow, Timing

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ROUNDS", "measure_row"]

ROUNDS: Final = 6
"""How often the columns of a row take turns; each round has its own median."""
FEWEST: Final = 5
"""Blocks of a round, at least."""


def measure_row(row: Row, seconds: float, rng: np.random.Generator) -> MeasuredRow:
    """Check that all columns give the same result, and time each for about `seconds`."""
    unequal = differences(row)
    columns = list(row.columns)
    timers = {
        name: Timer(stmt=statement, setup=row.setup, globals=dict(row.names)) for name, statement in row.columns.items()
    }
    rounds: dict[str, list[float]] = {name: [] for name in columns}
    calls = dict.fromkeys(columns, 0)
    for _ in range(ROUNDS):
        for place in rng.permutation(len(columns)):
            name = columns[place]
            times, number = _time(timers[name], row.repeats, seconds / ROUNDS)
            rounds[name].append(float(np.median(times)))
            calls[name] += number * len(times)
    timings = {name: Timing(rounds[name], calls[name]) for name in columns}
    return MeasuredRow(row.label, row.size, timings, unequal, row.note)


def _time(timer: Timer, repeats: int | None, seconds: float) -> tuple[Sequence[float], int]:
    """Seconds a call of each block, and how many calls a block had."""
    if repeats is None:
        measured = timer.blocked_autorange(min_run_time=seconds)
        return measured.times, measured.number_per_run
    times: list[float] = []
    began = time.monotonic()
    while len(times) < FEWEST or time.monotonic() - began < seconds:
        times += timer.timeit(repeats).times
    return times, repeats
