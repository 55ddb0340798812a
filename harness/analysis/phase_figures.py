"""A profile's figures as a comparison of runs takes them: a row a phase, whichever functions that is.

Two releases of vLLM, or two generations of its runner, have other functions for one phase. Its label is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from harness.analysis.measured import arm_values, launches_turns
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.phase_parts import beside_ns, parts_of
from harness.analysis.probe_cost import probe_cost
from harness.analysis.statistics import typical_sum
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.records.folder import Records

    PhaseFigures: TypeAlias = dict[str, dict[str, NDArray[np.float64]]]

__all__ = ["lacking", "opened", "phase_figures"]


def phase_figures(records: Records) -> PhaseFigures:
    """By arm and phase, the scope first and the whole step last: microseconds a step of each launch.

    A phase that some launch never called is left out.
    """
    launches = records.launches or [records]
    turns = launches_turns(launches)
    each: list[dict[str, dict[str, float]]] = []
    for launch in launches:
        if (values := arm_values(launch, [], turns)) and launch.run.get("anatomy"):
            cost = probe_cost(launch)
            each.append({})
            for arm, native in values.items():
                times = {SCOPE: native[SCOPE] - beside_ns(launch.run, native)}
                for part in parts_of(launch.run, native, cost):
                    times[part.label] = times.get(part.label, 0.0) + part.own_ns
                times |= {STEP: native[STEP]} if STEP in native else {}
                each[-1][arm] = {
                    name: float(typical_sum(found)) / found.shape[-1] / 1e3 for name, found in times.items()
                }
    if not each:
        return {}
    return {
        arm: {
            name: np.array([of_launch[arm][name] for of_launch in each])
            for name in each[0][arm]
            if all(name in of_launch[arm] for of_launch in each)
        }
        for arm in each[0]
        if all(arm in of_launch for of_launch in each)
    }


def opened(run: Mapping[str, Any]) -> list[str]:
    """What a profile times beside its phases: the functions of opened phases, and further targets."""
    profile = run["config"]["profile"]
    into = profile.get("into") or []
    return [*into, *([f"to depth {profile.get('depth')}"] if into else []), *(profile.get("targets") or [])]


def lacking(names: Sequence[str], figures: Sequence[PhaseFigures]) -> list[str]:
    """Which phases were called in only one of two profiles: what they do may be in another phase of the other one.

    Args:
        names: of the first profile, and of another.
        figures: theirs.
    """
    called = [{*each.get(NATIVE, ())} - {SCOPE, STEP} for each in figures]
    return [
        f"only {names[here]} has {', '.join(sorted(phases))}: "
        f"{names[1 - here]} does that in other phases, or not at all"
        for here in (0, 1)
        if (phases := called[here] - called[1 - here]) and called[1 - here]
    ]
