"""A profile's values by phase, and its steps by kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.analysis.names import short_names
from harness.analysis.shapes import kind_of_turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.analysis.measured import Values
    from harness.analysis.probe_cost import ProbeCost

__all__ = ["ARRIVAL", "OUTPUT", "Part", "beside_ns", "kinds_of", "labels_of", "parts_of"]

ARRIVAL: Final = "arrival"
OUTPUT: Final = "output"
TURN: Final = "turn"


@dataclass(frozen=True)
class Part:
    """A phase's values: its own corrected time, its calls and what its probes cost, each [groups, steps].

    `depth` is 0 for a phase, and more for a function inside of one that was opened, whose label `within` is.
    """

    label: str
    section: str
    names: tuple[str, ...]
    depth: int
    within: str
    own_ns: NDArray[np.float64]
    calls: NDArray[np.float64]
    cost_ns: NDArray[np.float64]

    def at(self, steps: NDArray[np.int64]) -> Part:
        """At these steps alone."""
        values = (values[:, steps] for values in (self.own_ns, self.calls, self.cost_ns))
        return Part(self.label, self.section, self.names, self.depth, self.within, *values)

    def per(self, requests: float) -> Part:
        """Of a whole pass, over its requests: one value a group."""
        each = (values.sum(axis=1, keepdims=True) / requests for values in (self.own_ns, self.calls, self.cost_ns))
        return Part(self.label, self.section, self.names, self.depth, self.within, *each)


def parts_of(run: Mapping[str, Any], native: Values, cost: ProbeCost) -> list[Part]:
    """The phases, functions of one label added up; those that were never called are left out."""
    turn = run.get("switch", {}).get("turn", "")
    grouped: dict[tuple[str, str, int, str], list[str]] = {}
    phases, labels = run["anatomy"]["phases"], labels_of(run)
    for name in run["config"]["probes"]:
        about = phases.get(name, {})
        within = labels.get(about.get("within") or "", "")
        key = labels.get(name, name), about.get("section") or TURN, int(about.get("depth") or 0), within
        grouped.setdefault(key, []).append(name)
    found = []
    for (label, section, depth, within), names in grouped.items():
        calls = np.sum([native[f"{name}.calls"] for name in names], axis=0)
        if not calls.any():
            continue
        nested = np.sum([native[f"{name}.nested_calls"] for name in names], axis=0)
        own = np.sum([native[name] for name in names], axis=0)
        if turn in names:
            own = own - beside_ns(run, native)
        # What a call costs lies inside of it and in its caller's time.
        looking = calls * cost.inside_ns + nested * cost.outside_ns
        found.append(Part(label, section, tuple(names), depth, within, own, calls, looking))
    return found


def labels_of(run: Mapping[str, Any]) -> dict[str, str]:
    """What tables call each function: the label of a phase, and of any other the last parts of its name."""
    phases = run["anatomy"]["phases"]
    own = [name for name, about in phases.items() if about["label"] == name or about.get("within")]
    return {name: str(about["label"]) for name, about in phases.items()} | short_names(own)


def beside_ns(run: Mapping[str, Any], native: Values) -> NDArray[np.float64]:
    """What the instrument itself took in the middle of each turn, [groups, steps].

    It works there, around the model's execution, with the turn's clock stopped. So that is in the time of the function
    that is the turn, and in no turn.
    """
    turn = run.get("switch", {}).get("turn", "")
    if f"{turn}.total_ns" not in native:
        return np.zeros_like(native["probed_step_ns"])
    return np.asarray(native[f"{turn}.total_ns"] - native["probed_step_ns"])


def kinds_of(steps: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
    """The steps of each kind."""
    kinds = list(map(kind_of_turn, steps["num_reqs"], steps["num_prefills"]))
    return {kind: np.flatnonzero(np.array(kinds) == kind) for kind in dict.fromkeys(kinds)}
