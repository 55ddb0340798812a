"""What each phase leaves behind a turn: memory blocks and objects that the garbage collector follows, net."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.records.tables import Columns

__all__ = ["left_behind"]


def left_behind(table: Columns, steps: int, labels: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """By phase the mean over a pass's turns of what it left behind, by what was counted.

    Args:
        table: `Records.memory`: step, counted, name of the phase's function, calls, objects.
        steps: turns of a pass.
        labels: by function; functions of one label are added up.
    """
    columns = {name: np.asarray(column) for name, column in table.items()}
    if not columns or not steps:
        return {}
    found: dict[str, dict[str, float]] = {}
    for counted in dict.fromkeys(columns["counted"].tolist()):
        for name in dict.fromkeys(columns["name"].tolist()):
            here = (columns["counted"] == counted) & (columns["name"] == name)
            if not columns["calls"][here].any():
                continue
            of_label = found.setdefault(labels.get(name, name), {})
            of_label[counted] = of_label.get(counted, 0.0) + float(columns["objects"][here].sum()) / steps
    return found
