"""Passes of each arm alone before measuring: they warm up, and their tokens are compared with native's."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import StepMismatchError
from harness.records.agreement import answer_difference
from harness.running.refusing import check_sound
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.hosts.base import Host
    from harness.running.equality import Equality
    from harness.running.observer import Observer
    from harness.running.reference import Reference
    from harness.workload.requests import Request

__all__ = ["Warming"]


@dataclass
class Warming:
    """These passes of one run.

    Attributes:
        equality: strikes arms, and `unequal` has those that are struck.
        reference: what native does with the workload.
        requests: the workload.
    """

    host: Host
    observer: Observer
    equality: Equality
    unequal: Mapping[str, str]
    reference: Reference
    requests: Sequence[Request]

    def median_s(self, installed: Sequence[str], rounds: int, pass_s: float) -> float:
        """Serve rounds in which each arm has a pass; gives how long a pass takes.

        Args:
            installed: every arm that the host knows; schedules name them by their index.
            rounds: how many.
            pass_s: how long a pass is thought to take.

        Raises:
            StepMismatchError: native does not repeat its own answers.
        """
        arms = [name for name in installed if name not in self.unequal]
        self.observer.stage("warming up, comparing tokens", rounds * len(arms), rounds * len(arms) * pass_s)
        durations = []
        for _ in range(rounds):
            for name in arms:
                if name in self.unequal:
                    continue
                began = time.monotonic()
                result = self.host.run_pass("bare", [installed.index(name)], self.requests)
                durations.append(time.monotonic() - began)
                if result.failure is None and result.changed and name != NATIVE and not result.unrestored:
                    self.equality.strike(name, f"changed {', '.join(result.changed)} while it warmed up")
                    self.observer.advance()
                    continue
                check_sound(result, "a warm-up pass")
                self.reference.check_signature(result, f"the warm-up of arm {name!r}")
                if other := answer_difference(self.reference.answers, result.answers):
                    if name == NATIVE:
                        raise StepMismatchError(
                            f"two passes of native generated different {other.what} ({other.where}), so equality of "
                            "arms cannot be judged by them: make the engine deterministic"
                        )
                    self.equality.strike(name, f"generates other {other.what}: {other.where}")
                self.observer.advance()
        return statistics.median(durations)
