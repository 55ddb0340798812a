"""How much of each phase's time shows in the loop: what delays planted behind it did to a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from harness.analysis.intervals import Interval, mean_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.records.tables import Columns

__all__ = ["shown_of_phases"]

FEWEST: Final = 3
NATIVE: Final = ""
"""The name of the passes without a delay."""


def shown_of_phases(table: Columns, labels: Mapping[str, str], confidence: float) -> dict[str, Interval]:
    """By phase the time that a pass took longer, over what was planted in it; paired by group.

    On a CPU it is 1. Where the engine prepares a step while a device works on the one before, it is less. After
    Curtsinger & Berger, "Coz: finding code that counts with causal profiling" (SOSP 2015).

    Args:
        table: `Records.exposed`: group, name of the phase's function (empty for a pass without a delay), pass_ns,
            planted_ns.
        labels: by function.
        confidence: of each interval.

    Returns:
        By label; without those that fewer than three groups have.
    """
    columns = {name: np.asarray(column) for name, column in table.items()}
    if not columns:
        return {}
    found = {}
    natives = columns["name"] == NATIVE
    plain = dict(zip(columns["group"][natives], columns["pass_ns"][natives].astype(float), strict=True))
    for name in dict.fromkeys(columns["name"][~natives].tolist()):
        of_it = columns["name"] == name
        shares = [
            (float(pass_ns) - plain[group]) / float(planted_ns)
            for group, pass_ns, planted_ns in zip(
                columns["group"][of_it], columns["pass_ns"][of_it], columns["planted_ns"][of_it], strict=True
            )
            if group in plain and planted_ns > 0
        ]
        if len(shares) >= FEWEST:
            found[labels.get(name, name)] = mean_interval(np.asarray(shares), confidence)
    return found
