"""What a workload reaches of the change: how often its functions are called under each arm, and in which phases."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.instrument.phases import PHASES
from harness.instrument.scopes import AUTO, JOIN
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.hosts.base import PassResult

__all__ = ["Reached"]


@dataclass
class Reached:
    """The calls that checking passes have seen.

    Attributes:
        facts: the run's facts, which are filled here.
        phases: how many calls lay in each phase of a turn, under all arms; of those in none, the function's own name.
        native_steps: by function, its calls in each step of native.
    """

    facts: dict[str, Any]
    phases: Counter[str] = field(default_factory=Counter, init=False)
    native_steps: Mapping[str, Sequence[int]] = field(default_factory=dict, init=False)

    def note(self, arm: str, result: PassResult) -> None:
        """How often the functions that arms change were called under this one, and where these calls lay."""
        watched = result.watched
        before = watched.get("calls_before", {})
        calls = {name: sum(steps) + before.get(name, 0) for name, steps in watched.get("calls", {}).items()}
        self.facts.setdefault("calls", {})[arm] = calls
        for name, phases in watched.get("phases", {}).items():
            self.facts.setdefault("called_in", {}).setdefault(name, dict(phases))  # native's come first
            for phase, count in phases.items():
                self.phases[phase or name] += count
        if hits := {
            name: count for name, count in watched.get("cache_hits", {}).items() if name.startswith(f"{arm}: ")
        }:
            self.facts.setdefault("cache_hits", {})[arm] = hits
        if arm == NATIVE:
            self.native_steps = watched.get("calls", {})

    @property
    def calls(self) -> dict[str, dict[str, int]]:
        """By arm and function, how often it was called."""
        found: dict[str, dict[str, int]] = self.facts["calls"]
        return found

    @property
    def values(self) -> set[str]:
        """The names whose value an arm changes: a function that one of them stands for is counted, nothing else is."""
        return {name for arm in self.facts.get("switch", {}).get("arms", {}).values() for name in arm["values"]}

    def called(self) -> list[str]:
        """The changed functions that were called under any arm, by name."""
        called = {name for calls in self.calls.values() for name, count in calls.items() if count}
        return sorted(called - self.values)

    def scope(self, scope: str) -> str:
        """What `auto` is: the phases in which the changed functions were called, in the order of a turn."""
        if scope != AUTO:
            return scope
        known = [phase for phase in PHASES if self.phases[phase]]
        return JOIN.join([*known, *sorted(name for name in self.phases if name not in PHASES)])
