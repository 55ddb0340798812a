"""What each phase leaves behind a turn: memory blocks and objects that the garbage collector follows, net."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.records.tables import Columns

__all__ = ["Per", "left_behind"]


class Per(NamedTuple):
    """What counts.

    Attributes:
        window: the first step, and the one after the last.
        turns: how many steps these are.
        arriving: functions of the arrival, whose sums are over all steps,
        requests: and a request.
    """

    window: tuple[int, float]
    turns: int
    arriving: frozenset[str]
    requests: float


def left_behind(table: Columns, per: Per, labels: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """By phase the mean a turn of what it left behind, by what was counted; of the arrival a request.

    Args:
        table: `Records.memory`: step, counted, name of the phase's function, calls, objects.
        per: what the sums are divided by.
        labels: by function; functions of one label are added up.
    """
    columns = {name: np.asarray(column) for name, column in table.items()}
    if not columns:
        return {}
    found: dict[str, dict[str, float]] = {}
    inside = (columns["step"] >= per.window[0]) & (columns["step"] < per.window[1])
    for counted in dict.fromkeys(columns["counted"].tolist()):
        for name in dict.fromkeys(columns["name"].tolist()):
            arrives = name in per.arriving
            here = (columns["counted"] == counted) & (columns["name"] == name) & (inside | arrives)
            of = per.requests if arrives else per.turns
            if not of or not columns["calls"][here].any():
                continue
            of_label = found.setdefault(labels.get(name, name), {})
            of_label[counted] = of_label.get(counted, 0.0) + float(columns["objects"][here].sum()) / of
    return found
