"""How differences and levels change over the run and over a pass: what the plots of a report show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.metrics import SCOPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.analysis.drift import Levels

__all__ = ["Course", "find_course"]


@dataclass(frozen=True)
class Course:
    """What plots show and summary.json leaves out: medians of the scope's paired differences, and levels.

    Attributes:
        by_group_us: each arm's difference in each group, the median over steps.
        by_step_us: each arm's difference in each step of a pass, the median over groups.
        scope_level: the scope relative to its usual time, less 1, pass by pass (launch after launch).
        machine_level: likewise the rest of the step.
        collections: garbage collections in each pass.
    """

    by_group_us: dict[str, list[float]]
    by_step_us: dict[str, list[float]]
    scope_level: list[float]
    machine_level: list[float]
    collections: list[int]


def find_course(
    values: Mapping[str, Mapping[str, NDArray[np.float64]]], baseline: str, levels: Sequence[Levels]
) -> Course:
    """The scope's paired differences by group and by step, and the levels by pass.

    Args:
        values: by arm and metric, shape [groups, steps], in nanoseconds.
        baseline: the arm that the others are compared with.
        levels: of each launch.
    """
    differences = {
        name: (found[SCOPE] - values[baseline][SCOPE]) / 1e3 for name, found in values.items() if name != baseline
    }
    return Course(
        by_group_us={name: np.median(found, axis=1).tolist() for name, found in differences.items()},
        by_step_us={name: np.median(found, axis=0).tolist() for name, found in differences.items()},
        scope_level=[level for of_pass in levels for level in np.expm1(of_pass.scope).tolist()],
        machine_level=[level for of_pass in levels for level in np.expm1(of_pass.machine).tolist()],
        collections=[count for of_pass in levels for count in of_pass.collections.tolist()],
    )
