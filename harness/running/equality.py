"""Which arms compute what native computes, as far as it has been checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import told_with_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.hosts.base import PassResult
    from harness.running.observer import Observer

__all__ = ["Equality", "raised"]


@dataclass
class Equality:
    """Arms are struck here.

    Attributes:
        named: the arms of the config; of others nothing is said, since they are the baseline's repetitions.
        unequal: struck arms, and why; the run's own, filled here.
        facts: the run's facts, which are filled here.
    """

    named: Sequence[str]
    observer: Observer
    unequal: dict[str, str]
    facts: dict[str, Any]

    def strike(self, arm: str, reason: str) -> None:
        """An arm is not equal to native: reported now, and not when everything else has been measured."""
        self.unequal[arm] = reason
        if arm in self.named:
            self.observer.note(f"{arm} is struck: {reason}")

    def strike_found(self, result: PassResult, when: str = "") -> list[str]:
        """Strike what a checking pass found; `when` it was, for the reason. Gives the arms that are newly struck."""
        struck = []
        for found in result.mismatches:
            if found["arm"] in self.unequal:
                continue  # another worker has said so
            wrong = "fails" if found["raised"] else "differs"
            step = "cannot be used" if found["step"] is None else f"{wrong} at step {found['step']}{when}"
            self.strike(found["arm"], f"{step}: {found['reason']}")
            struck.append(found["arm"])
        return struck

    def equal(self, arms: Sequence[str]) -> list[str]:
        """Those of some arms that are not struck."""
        return [arm for arm in arms if arm not in self.unequal]

    def note(self, arms: Sequence[str]) -> None:
        """Put into the facts what is known of these arms."""
        self.facts["equality"] = {
            name: {"equal": name not in self.unequal, "reason": self.unequal.get(name, "")} for name in arms
        }


def raised(error: BaseException) -> str:
    """What came out of the engine, in words."""
    endless = "; does it call the function that it replaces? Whoever calls that calls the arm itself"
    return f"raised {told_with_place(error)}{endless if isinstance(error, RecursionError) else ''}"
