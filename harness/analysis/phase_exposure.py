"""How much of each phase's time shows in the loop: what delays planted behind it did to the turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import special

from harness.analysis.exposure import LAGS, lagged_fit
from harness.analysis.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.records.tables import Columns

__all__ = ["shown_of_phases"]

PLAIN: Final = ""
"""The name in turns without a delay."""
FEWEST_PASSES: Final = 6
STRETCH: Final = 8
"""Turns in which the machine's speed is taken as one: it drifts by a tenth within seconds."""


def shown_of_phases(table: Columns, labels: Mapping[str, str], confidence: float) -> dict[str, Interval]:
    """By phase how much longer turns took, over what was planted in them.

    On a CPU it is 1. Where the engine prepares a step while a device works on the one before, it is less. Which phase
    has a delay is drawn anew for each step. So the turns are fitted to the delay of each phase in them and in the turns
    before (`exposure.lagged_fit`), and a phase's share is the sum over these lags; its interval is from the sums of
    influences by pass (cluster-robust; Liang & Zeger 1986). After Curtsinger & Berger, "Coz: finding code that counts
    with causal profiling" (SOSP 2015).

    Args:
        table: `Records.exposed`: pass, step, name of the phase's function (empty without a delay), turn_ns, planted_ns.
        labels: by function.
        confidence: of each interval.

    Returns:
        By label; nothing where there are too few passes, or where they are not of the same steps.
    """
    columns = {name: np.asarray(column) for name, column in table.items()}
    if not columns:
        return {}
    passes, counts = np.unique(columns["pass"], return_counts=True)
    turns = int(counts[0])
    if len(passes) < FEWEST_PASSES or (counts != turns).any():
        return {}
    order = np.lexsort((columns["step"], columns["pass"]))

    def by_pass(name: str) -> NDArray[Any]:
        return columns[name][order].reshape(len(passes), turns)  # type: ignore[no-any-return]

    names, planted = by_pass("name"), by_pass("planted_ns").astype(float)
    of_label: dict[str, list[str]] = {}  # functions of one label are one phase
    for name in dict.fromkeys(columns["name"].tolist()):
        if name != PLAIN:
            of_label.setdefault(labels.get(name, name), []).append(name)
    lags = LAGS if turns >= 2 * LAGS else 1
    there = [slice(lags - 1 - lag, turns - lag) for lag in range(lags)]  # turns with as many before them
    design = np.stack(
        [np.where(np.isin(names[:, at], own), planted[:, at], 0.0) for own in of_label.values() for at in there], axis=2
    )
    fitted = lagged_fit(
        design, by_pass("turn_ns").astype(float)[:, there[0]], np.zeros(len(passes), dtype=np.int64), STRETCH
    )
    critical = float(special.stdtrit(len(passes) - 1, (1 + confidence) / 2))
    found = {}
    for place, label in enumerate(of_label):
        own = slice(place * lags, (place + 1) * lags)
        share = float(fitted.coefficients[own].sum())
        squares = float((fitted.influences(own).sum(axis=1) ** 2).sum())
        half = critical * float(np.sqrt(len(passes) / (len(passes) - 1) * squares))
        found[label] = Interval(share, share - half, share + half)
    return found
