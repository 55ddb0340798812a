"""Did the level of what is measured shift during the run?

After Barrett et al., "Virtual machine warmup blows hot and cold" (OOPSLA 2017). The series has one value a pass: the
median over its probed steps of log(time / that arm's usual time in that step). This removes the effects of arms and
batch shapes.

On a shared machine the speed changes constantly, but both sides of a paired difference see the same change. In 20 quiet
runs of the baseline against itself the scope's own level shifted by more than 1 % in nine, along with the rest of the
step, and yet no difference came out wrong. So verdicts are withheld only for a shift of the scope's share: what the
machine's speed, taken from the rest of the step, does not explain. How closely the scope follows that speed varies (a
forward pass waits for memory, Python does not): regressed on each other, log(scope) moved by 0.4 to 1.2 times
log(rest), by 0.8 in the middle. So a shift of the share must be found both when the scope is taken to follow by half
and when it is taken to follow wholly, and the smaller size counts. It exceeded 1 % in two of those 20 runs. With
`protocol.drift: level` the scope's own level is compared with the margin instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.analysis.changepoint import level_shift
from harness.analysis.grouping import Groups
from harness.analysis.step_time import step_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.analysis.changepoint import Shift
    from harness.records.tables import Columns

__all__ = ["LEVEL", "MACHINE", "SHARE", "LevelShift", "Levels", "find_drift", "levels"]

SHARE: Final = "share"
"""The scope relative to the rest of the step."""
LEVEL: Final = "level"
"""The scope itself."""
MACHINE: Final = "machine"
"""The rest of the step: nothing that arms could have changed."""

FOLLOWS: Final = (0.5, 1.0)
"""How much of a change of the machine's speed the scope is taken to follow, at least and at most."""


@dataclass(frozen=True)
class LevelShift:
    """A shift of a level during a launch.

    Attributes:
        of: `share` (of the scope in the step), `level` (of the scope) or `machine` (of the rest of the step).
        launch: in which launch.
        first_pass: the first pass after the shift, of `passes` in the launch.
        size: new level relative to the old one, less 1.
        statistic: of the change-point test.
        withholds: whether it withholds verdicts: it is larger than the margin, and of the level that is watched.
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
    """Level shifts of one launch that the change-point test finds.

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
    """The smallest of several shifts; None where one was not found or their directions differ."""
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
    rest = step_ns(rows) - scope
    timed = rows["probed"] & (scope > 0) & (rest > 0)
    same, of_pass = Groups(rows["arm"][timed], rows["step"][timed]), Groups(rows["pass"][timed])
    scope, rest = (np.log(each[timed]) for each in (scope, rest))
    passes = np.unique(rows["pass"][timed])
    collections = Groups(rows["pass"]).sums(rows["gc_collections"])  # those in bare steps count as well
    return Levels(
        passes,
        scope=of_pass.medians(scope - same.usual(scope)),
        machine=of_pass.medians(rest - same.usual(rest)),
        collections=collections[np.searchsorted(np.unique(rows["pass"]), passes)].astype(np.int64),
    )
