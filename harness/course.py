"""How differences went on over the run and over a pass, and how the level did: what the plots of a report show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.drift import LEVEL, MACHINE, levels
from harness.summary import SCOPE, Course

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["find_course"]


def find_course(
    values: Mapping[str, Mapping[str, NDArray[np.float64]]], baseline: str, frames: Sequence[pd.DataFrame]
) -> Course:
    """The scope's paired differences by group and by step, and the levels by pass.

    Args:
        values: by arm and metric, shape [groups, steps], in nanoseconds.
        baseline: what the others are held against.
        frames: one a launch: one row a (pass, step).
    """
    differences = {
        name: (found[SCOPE] - values[baseline][SCOPE]) / 1e3 for name, found in values.items() if name != baseline
    }
    scope, rest, collections = [], [], []
    for frame in frames:
        of_pass = levels(frame)
        scope += np.expm1(of_pass[LEVEL]).tolist()
        rest += np.expm1(of_pass[MACHINE]).tolist()
        # Passes of which nothing was timed have no level.
        collections += frame.groupby("pass")["gc_collections"].sum().reindex(of_pass.index).tolist()
    return Course(
        by_group_us={name: np.median(found, axis=1).tolist() for name, found in differences.items()},
        by_step_us={name: np.median(found, axis=0).tolist() for name, found in differences.items()},
        scope_level=scope,
        machine_level=rest,
        collections=[int(count) for count in collections],
    )
