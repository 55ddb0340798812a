"""Did the level of what is measured shift while it was measured?

After Barrett et al., "Virtual machine warmup blows hot and cold" (OOPSLA 2017). The series has one value a pass: the
median over its probed steps of log(time / that arm's usual time in that step), so neither arms nor batch shapes
are in it.

A shared machine changes its speed all the time: in 20 quiet runs of the baseline against itself here, the scope's own
level shifted by more than 1 % in nine, along with the rest of the step, and yet no difference came out wrong, because
paired differences share the machine's speed. So the shift that withholds verdicts is that of the scope's share: what
the speed of the machine, as the rest of the step shows it, does not explain. How closely the scope follows differs (a
forward pass waits for memory, Python does not): regressed on each other, log(scope) moved by 0.4 to 1.2 times
log(rest), by 0.8 in the middle. So a shift of the share has to be there whether the scope follows by half or wholly,
and the smaller size counts. It passed 1 % in two of those 20 runs. `protocol.drift: level` holds the scope's own level
against the margin instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.analysis.changepoint import level_shift
from harness.analysis.grouping import Groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.analysis.changepoint import Shift
    from harness.records.folder import Columns

__all__ = ["LEVEL", "MACHINE", "SHARE", "LevelShift", "Levels", "find_drift", "levels"]

SHARE: Final = "share"
"""The scope relative to the rest of the step."""
LEVEL: Final = "level"
"""The scope itself."""
MACHINE: Final = "machine"
"""The rest of the step: nothing that arms could have changed."""

FOLLOWS: Final = (0.5, 1.0)
"""How far the scope follows the machine's speed, at least and at most."""


@dataclass(frozen=True)
class LevelShift:
    """A shift of the level at which the run measured.

    Attributes:
        of: `share` (of the scope in the step), `level` (of the scope) or `machine` (of the rest of the step).
        launch: in which launch.
        first_pass: the pass that it begins with, of `passes` in the launch.
        size: new level relative to the old one, less 1.
        statistic: of the change-point test.
        withholds: whether it is larger than the margin, and of the level that verdicts hang on.
    """

    of: str
    launch: int
    first_pass: int
    passes: int
    size: float
    statistic: float
    withholds: bool


@dataclass(frozen=True)
class Levels:
    """How fast one launch went, pass by pass; shape [passes] each, and empty where nothing was timed.

    Attributes:
        passes: their numbers, in order.
        scope: the level of the scope: the logarithm of its time relative to the usual.
        machine: likewise of the rest of the step.
        collections: garbage collections.
    """

    passes: NDArray[np.int64]
    scope: NDArray[np.float64]
    machine: NDArray[np.float64]
    collections: NDArray[np.int64]


def find_drift(of_pass: Levels, margin: float, watched: str, launch: int = 1) -> list[LevelShift]:
    """Level shifts of one launch that can be told from its noise.

    Args:
        of_pass: the launch's levels.
        margin: the relative size from which a shift of the watched series withholds verdicts.
        watched: `SHARE` or `LEVEL`.
        launch: which launch this is, for the result.
    """
    passes, level, machine = of_pass.passes, of_pass.scope, of_pass.machine
    shifts = {
        SHARE: _smaller([level_shift(level - follows * machine) for follows in FOLLOWS]),
        LEVEL: level_shift(level),
        MACHINE: level_shift(machine),
    }
    found = []
    for of, shift in shifts.items():
        if shift is not None and shift.found:
            size = float(np.expm1(shift.size))
            withholds = of == watched and abs(size) > margin
            first_pass = int(passes[shift.place])
            found.append(LevelShift(of, launch, first_pass, len(passes), size, shift.statistic, withholds))
    return found


def _smaller(shifts: list[Shift | None]) -> Shift | None:
    """The smallest of several shifts in the same direction; None where they are not all there."""
    there = [shift for shift in shifts if shift is not None and shift.found]
    if len(there) < len(shifts) or len({np.sign(shift.size) for shift in there}) > 1:
        return None
    return min(there, key=lambda shift: abs(shift.size))


def levels(rows: Columns) -> Levels:
    """The levels of one launch.

    Args:
        rows: one row a (pass, step), as `Records.columns`.
    """
    scope = rows["scope.total_ns"]
    rest = rows["execute_ns"] + rows["sample_ns"] - scope
    timed = rows["probed"] & (scope > 0) & (rest > 0)
    same, of_pass = Groups(rows["arm"][timed], rows["step"][timed]), Groups(rows["pass"][timed])
    scope, rest = (np.log(each[timed]) for each in (scope, rest))
    passes = np.unique(rows["pass"][timed])
    collections = Groups(rows["pass"]).sums(rows["gc_collections"])  # bare steps have theirs as well
    return Levels(
        passes,
        scope=of_pass.medians(scope - same.usual(scope)),
        machine=of_pass.medians(rest - same.usual(rest)),
        collections=collections[np.searchsorted(np.unique(rows["pass"]), passes)].astype(np.int64),
    )
