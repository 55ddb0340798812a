"""At most how much could be won: arms that may compute less, against the baseline in passes of their own.

The passes of a group belong together; their differences are taken by group, and the interval is Student's t on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.intervals import joint_confidence, mean_interval
from harness.analysis.statistics import FEWEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.analysis.intervals import Interval
    from harness.records.tables import Columns

__all__ = ["Ceiling", "find_ceilings"]

METRICS = ("scope_ns", "step_ns")


@dataclass(frozen=True)
class Ceiling:
    """What an arm that may compute less saves, in us a step; both intervals hold together with the other ceilings'.

    Attributes:
        arm: its name.
        groups: passes of it.
        scope_us: saved in the scope.
        step_us: saved in the whole step.
        scope_of: what share of the baseline's scope that is.
        step_of: what share of its whole step.
        reason: why there are no figures; empty where there are.
    """

    arm: str
    groups: int = 0
    scope_us: Interval | None = None
    step_us: Interval | None = None
    scope_of: float = 0.0
    step_of: float = 0.0
    reason: str = ""


def find_ceilings(run: Mapping[str, Any], table: Columns) -> list[Ceiling]:
    """Each ceiling of a run's config, with what it saves as far as that was measured.

    Args:
        run: run.json.
        table: one row a (arm, group, step), of the baseline too.
    """
    names = [arm["name"] for arm in run["config"]["arms"] if arm.get("ceiling")]
    if not names:
        return []
    confidence = joint_confidence(float(run["config"]["protocol"]["confidence"]), len(METRICS) * len(names))
    baseline = run["config"]["baseline"]
    means = {name: _by_group(table, name) for name in (baseline, *names)}
    return [_ceiling(name, means[baseline], means[name], confidence, run.get("no_ceiling", {})) for name in names]


def _by_group(table: Columns, name: str) -> dict[int, NDArray[np.float64]]:
    """By group, the mean of each metric a step, in us."""
    if not table:
        return {}
    of_arm = np.asarray(table["arm"]) == name
    groups = np.asarray(table["group"])[of_arm]
    values = np.stack([np.asarray(table[metric], dtype=np.float64)[of_arm] / 1e3 for metric in METRICS])
    return {int(group): values[:, groups == group].mean(axis=1) for group in np.unique(groups)}


def _ceiling(
    name: str,
    base: Mapping[int, NDArray[np.float64]],
    own: Mapping[int, NDArray[np.float64]],
    confidence: float,
    reasons: Mapping[str, str],
) -> Ceiling:
    if name in reasons:
        return Ceiling(name, reason=reasons[name])
    both = sorted(base.keys() & own.keys())
    if len(both) < FEWEST:
        return Ceiling(name, len(both), reason="was not measured" if not both else "too few groups")
    of_base = np.stack([base[group] for group in both])
    saved = of_base - np.stack([own[group] for group in both])
    scope, step = (mean_interval(of_metric, confidence) for of_metric in saved.T)
    scope_of, step_of = (float(part) for part in saved.mean(axis=0) / of_base.mean(axis=0))
    return Ceiling(name, len(both), scope, step, scope_of, step_of)
