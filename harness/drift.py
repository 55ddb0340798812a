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

from harness.changepoint import level_shift

if TYPE_CHECKING:
    import pandas as pd

    from harness.changepoint import Shift

__all__ = ["LEVEL", "MACHINE", "SHARE", "LevelShift", "find_drift", "levels"]

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


def find_drift(frame: pd.DataFrame, margin: float, watched: str, launch: int = 1) -> list[LevelShift]:
    """Level shifts of one launch that can be told from its noise.

    Args:
        frame: one row a (pass, step), as `Records.frame`.
        margin: the relative size from which a shift of the watched series withholds verdicts.
        watched: `SHARE` or `LEVEL`.
        launch: which launch this is, for the result.
    """
    of_pass = levels(frame)
    if of_pass.empty:
        return []
    level, machine = of_pass[LEVEL].to_numpy(), of_pass[MACHINE].to_numpy()
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
            first_pass = int(of_pass.index[shift.place])
            found.append(LevelShift(of, launch, first_pass, len(of_pass), size, shift.statistic, withholds))
    return found


def _smaller(shifts: list[Shift | None]) -> Shift | None:
    """The smallest of several shifts in the same direction; None where they are not all there."""
    there = [shift for shift in shifts if shift is not None and shift.found]
    if len(there) < len(shifts) or len({np.sign(shift.size) for shift in there}) > 1:
        return None
    return min(there, key=lambda shift: abs(shift.size))


def levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Both levels in logarithms, one row a pass, in their order; empty where nothing was timed."""
    probed = frame[frame["probed"]]
    scope = probed["scope.total_ns"]
    rest = probed["execute_ns"] + probed["sample_ns"] - scope
    usable = (scope > 0) & (rest > 0)
    cells = probed.loc[usable, ["pass", "arm", "step"]].copy()
    cells[LEVEL], cells[MACHINE] = np.log(scope[usable]), np.log(rest[usable])
    for name in (LEVEL, MACHINE):
        cells[name] -= cells.groupby(["arm", "step"])[name].transform("median")
    return cells.groupby("pass")[[LEVEL, MACHINE]].median()
