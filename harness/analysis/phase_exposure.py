"""How much of each phase's time shows in the loop: what delays planted behind it did to the turns of a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from harness.analysis.statistics import FEWEST, paired_difference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.analysis.intervals import Interval
    from harness.records.tables import Columns

__all__ = ["shown_of_phases"]

PLAIN: Final = ""
"""The name of the passes without a delay."""


def shown_of_phases(table: Columns, labels: Mapping[str, str], confidence: float) -> dict[str, Interval]:
    """By phase how much longer the turns of a pass took, over what was planted in them.

    On a CPU it is 1. Where the engine prepares a step while a device works on the one before, it is less. The
    differences are those of `paired_difference`, with whole passes under one delay, so that what disturbs single turns
    does not count. After Curtsinger & Berger, "Coz: finding code that counts with causal profiling" (SOSP 2015).

    Args:
        table: `Records.exposed`: group, step, name of the phase's function (empty for a pass without a delay), turn_ns,
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
    plain = _turns(columns, PLAIN)
    for name in dict.fromkeys(columns["name"][columns["name"] != PLAIN].tolist()):
        delayed = _turns(columns, name)
        groups = [group for group in delayed if group in plain and len(delayed[group]) == len(plain[group])]
        planted = columns["planted_ns"][columns["name"] == name].sum() / max(len(delayed), 1)
        if len(groups) >= FEWEST and planted > 0 and len({len(plain[group]) for group in groups}) == 1:
            turns, without = (np.stack([of_group[group] for group in groups]) for of_group in (delayed, plain))
            longer = paired_difference(turns, without, confidence, grain="pass")
            found[labels.get(name, name)] = longer.scaled(1 / float(planted))
    return found


def _turns(columns: Mapping[str, NDArray[np.generic]], name: str) -> dict[int, NDArray[np.float64]]:
    """Of one phase's passes the turns in their order, by group."""
    of_it = np.flatnonzero(columns["name"] == name)
    order = of_it[np.lexsort((columns["step"][of_it], columns["group"][of_it]))]
    groups = columns["group"][order]
    return {int(group): columns["turn_ns"][order][groups == group].astype(float) for group in np.unique(groups)}
