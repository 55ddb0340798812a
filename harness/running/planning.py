"""How long a run takes: the groups that fit into the requested time, and the time budget of all other passes."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.config.experiment import Protocol

__all__ = ["BESIDE_S", "MIN_GROUPS", "Budget", "Plan", "beside_s", "counting_s", "plan_groups", "plan_run"]

MIN_GROUPS: Final = 5
"""Fewer give hardly any interval at the confidence that a report of many rows needs: Student's t at 99.9 % is 32 with
three groups and 8.6 with five."""
BESIDE_S: Final = 30.0
"""What counting passes may take together, and tracing passes likewise; a quarter of the measuring time if longer."""

COUNTING_SLOWS: Final = 2.0
"""About how many times as long a pass takes while PyTorch's work is counted."""


@dataclass(frozen=True)
class Plan:
    """How much is measured, fixed before anything is.

    Attributes:
        groups: how often every step runs under every arm.
        expected_s: about how long that takes.
        asked_s: how long it was asked to take; None where a number of groups was asked for.
        fit: how many groups fit into `asked_s`; None likewise.
    """

    groups: int
    expected_s: float
    asked_s: float | None = None
    fit: int | None = None

    @property
    def short(self) -> bool:
        """Whether the fewest groups that give an interval take longer than the time that was asked for."""
        return self.fit is not None and self.fit < self.groups

    def as_dict(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)


def plan_groups(group_s: float, groups: int, seconds: float | None) -> Plan:
    """Plan by time where `seconds` are given, else by number.

    Args:
        group_s: how long one group takes: every arm, probed and bare, once.
        groups: to measure where no time is given.
        seconds: how long to measure; at least `MIN_GROUPS` groups are, however long they take.
    """
    if seconds is None:
        return Plan(groups, groups * group_s)
    fit = round(seconds / group_s)
    groups = max(MIN_GROUPS, fit)
    return Plan(groups, groups * group_s, seconds, fit)


def plan_run(protocol: Protocol, arms: int, pass_s: float) -> Plan:
    """Plan a launch of so many arms, A/A among them, as the protocol asks; `pass_s` is what a pass takes."""
    seconds = protocol.seconds if protocol.until is None else protocol.until.max_seconds
    return plan_groups(pass_s * arms * (1 + protocol.bare), protocol.groups, seconds)


def beside_s(plan: Plan) -> float:
    """The budget of one kind of passes beside the measured ones."""
    return max(BESIDE_S, plan.expected_s / 4)


def counting_s(arms: int, pass_s: float, budget_s: float) -> float:
    """About how long counting takes: a slowed pass an arm, within its budget."""
    return min(arms * pass_s * COUNTING_SLOWS, budget_s)


class Budget:
    """Time for passes that a run can do without: the first one is always served, others while they are likely to fit.

    Args:
        seconds: for all of them together.
        clock: gives seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = clock() + seconds
        self._began: float | None = None
        self._longest = 0.0

    def admits(self) -> bool:
        """Whether one more may begin; asked before each."""
        now = self._clock()
        if self._began is None:
            self._began = now
            return True
        self._longest = max(self._longest, now - self._began)
        self._began = now
        return now + self._longest <= self._ends
