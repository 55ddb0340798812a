"""Showing that arms do what native does: each alone, then all of them mixed, every step compared with native's.

What an arm's code raises in the middle of the engine is a refusal of that arm: the engine is put right, or started
anew, and goes on with the others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness import signals
from harness.instrument.checking import NATIVE_PASSES
from harness.running.equality import raised
from harness.running.mixing import Mixing
from harness.running.reached import Reached
from harness.running.reference import Reference
from harness.running.refusing import check_whole
from harness.running.took import remember_took, took

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.hosts.base import Host, PassResult
    from harness.running.equality import Equality
    from harness.running.observer import Observer
    from harness.workload.requests import Request

__all__ = ["Proving"]


@dataclass
class Proving:
    """The checking passes of a run.

    Attributes:
        installed: every arm that the host knows, native first; schedules name them by their index.
        requests: the workload.
        seed: draws the mixed passes.
        restart: starts the engine anew, with everything installed.
        facts: the run's facts, which are filled here.
        seam: at which the arms are; empty where they are at none.
        reached: what the workload reaches of the change.
        reference: what native does.
        mixing: the mixed passes.
    """

    host: Host
    observer: Observer
    equality: Equality
    installed: Sequence[str]
    requests: Sequence[Request]
    seed: int
    restart: Callable[[], None]
    facts: dict[str, Any]
    seam: str = ""
    reached: Reached = field(init=False)
    reference: Reference = field(init=False)
    mixing: Mixing = field(init=False)
    _round_s: float = field(default=0.0, init=False)
    """How long a checking pass took, with native's before it."""

    def __post_init__(self) -> None:
        self.reached = Reached(self.facts)
        self.reference = Reference(
            self.host, self.observer, self.equality, self.requests, self.restart, self.facts, self.seam, self.reached
        )
        self.mixing = Mixing(self.host, self.equality, self.reference, self.installed, self.requests, self.seed)

    def prove(self, label: str) -> None:
        """Serve under native, under each arm alone, and under all of them mixed; `label` names the time it takes."""
        arms = self.installed[1:]
        rounds = NATIVE_PASSES + len(arms) + 1
        self.observer.stage("checking that all arms compute the same", rounds, took(label))
        began = time.monotonic()
        self.reference.serve(self.observer.advance)
        for arm in arms:
            if arm not in self.equality.unequal and (result := self._alone(arm)) is not None:
                self.reached.note(arm, result)
            self.observer.advance()
        self.mixing.mixed("", self.equality.equal(arms))
        self.observer.advance()
        seconds = time.monotonic() - began
        self._round_s = seconds / rounds
        remember_took(label, seconds)
        self.facts["checked"] = self.host.checked()

    def _alone(self, arm: str, when: str = "") -> PassResult | None:
        """One arm alone, which is struck where it does other than native; None where it raised out of the engine."""
        self.reference.soil()
        try:
            result = self.host.run_pass("check", [self.installed.index(arm)], self.requests)
        except BaseException as error:  # noqa: BLE001 (an arm's code can fail in any way, in the middle of the engine)
            signals.insist()  # a signal is not of the arm's making
            self.equality.strike(arm, f"fails{when}: {raised(error)}")
            self.reference.serve_as_before(f"arm {arm!r}", cut=True)
            return None
        check_whole(result, f"the checking pass of arm {arm!r}")
        if not self.equality.strike_found(result, when) and (why := self.reference.other_work(result)):
            self.equality.strike(arm, f"{why}{when}")
        if arm in self.equality.unequal:
            self.reference.serve_as_before(f"arm {arm!r}")
        return result

    def again(self, when: str, arms: Sequence[str], alone: bool) -> list[str]:
        """Compare once more, beside what is timed: all mixed, or each alone. Gives the arms that are newly struck."""
        if not alone:
            return self.mixing.mixed(when, self.equality.equal(arms))
        equal = self.equality.equal(arms)
        rounds = 1 + len(equal)
        self.observer.stage("checking all arms once more", rounds, rounds * self._round_s)
        # Or one arm might answer for what another has left in the engine.
        self.reference.serve_as_before("what was measured", wrong=False)
        self.observer.advance()
        for arm in equal:
            self._alone(arm, when)
            self.observer.advance()
        self.facts["checked"] = self.host.checked()
        return [arm for arm in arms if arm in self.equality.unequal]
