"""What run.json tells of the functions that each arm replaces, and of how often they were called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.analysis.names import listed
from harness.conditions import with_condition

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["calls_of", "never_called", "never_called_notes", "own_functions"]

NAMED = 5


def own_functions(run: Mapping[str, Any]) -> dict[str, list[str]]:
    """By arm, the functions of the host that it replaces, as far as run.json tells; at launch grain, from the start."""
    config, switched = run["config"], run.get("switch", {}).get("arms", {})
    found = {}
    for arm in config["arms"]:
        name = arm["name"]
        if name in switched:
            found[name] = list(dict.fromkeys(switched[name].get("swapped", [])))
        elif name in run.get("started_with", {}):
            found[name] = list(run["started_with"][name])
        elif arm.get("reference") and config.get("swap"):
            found[name] = [_behind_the_name(run)]
    return found


def _behind_the_name(run: Mapping[str, Any]) -> str:
    """What `swap` has led to: a backend may have put a function of its own under the name that the config gives."""
    switch, swap = run.get("switch", {}), str(run["config"]["swap"])
    of_patches = {name for arm in switch.get("arms", {}).values() for name in arm.get("swapped", [])}
    others = [name for name in switch.get("functions", []) if name not in of_patches]
    return others[0] if swap not in switch.get("functions", []) and len(others) == 1 else swap


def calls_of(run: Mapping[str, Any], arm: str) -> dict[str, int] | None:
    """Calls of each changed function in a pass under one arm; None where they were not counted."""
    calls: dict[str, int] | None = run.get("calls", {}).get(arm)
    return calls


def never_called(run: Mapping[str, Any], arm: str) -> list[str]:
    """The functions that an arm swaps, and that were not called once in this workload."""
    calls = calls_of(run, arm)
    return [] if calls is None else [name for name in own_functions(run).get(arm, []) if not calls.get(name)]


def never_called_notes(run: Mapping[str, Any], short: Mapping[str, str]) -> list[str]:
    """A sentence an arm of which some function was never called: its figures say nothing of that."""
    silent = {arm: never_called(run, arm) for arm in own_functions(run)}
    told = {arm: [with_condition(name, short.get(name, name)) for name in names] for arm, names in silent.items()}
    return [
        f"never called in this workload: {listed(names, NAMED)} of {arm}; the figures say nothing of them"
        for arm, names in told.items()
        if names
    ]
