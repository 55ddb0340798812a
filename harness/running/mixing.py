"""Checking passes in which native and arms are mixed at random by step, and the search for the arms to be blamed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from harness import signals
from harness.errors import ArmError
from harness.running.equality import raised
from harness.running.refusing import check_whole
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.hosts.base import Host
    from harness.running.equality import Equality
    from harness.running.reference import Reference
    from harness.workload.requests import Request

__all__ = ["Mixing"]

MIXED_SEED: Final = 2
"""Beside the seed of the measured passes, so that both are drawn independently."""


class _Wrong(NamedTuple):
    """What a mixed pass did other than native; the arm is empty where it cannot be told in whose step."""

    arm: str
    why: str


@dataclass
class Mixing:
    """Mixes arms, each time by another schedule.

    Attributes:
        reference: what native does.
        installed: every arm that the host knows, native first; schedules name them by their index.
        requests: the workload.
        seed: draws the schedules.
    """

    host: Host
    equality: Equality
    reference: Reference
    installed: Sequence[str]
    requests: Sequence[Request]
    seed: int
    _passes: int = field(default=0, init=False)

    def mixed(self, when: str, arms: Sequence[str]) -> list[str]:
        """Native and the arms mixed at random by step, which shows state that one leaves and another cannot read.

        The step that shows it may be another's, native's for one. So each arm is then mixed with native alone, at the
        same steps; those that differ there are struck, and the others are mixed again. Gives the arms that were struck.

        Raises:
            ArmError: only several arms together do other than native, and none can be blamed.
        """
        left, struck = list(arms), list[str]()
        while left:
            drawn = np.random.default_rng([self.seed, MIXED_SEED, self._passes])
            self._passes += 1
            indices = [0, *(self.installed.index(arm) for arm in left)]
            schedule = drawn.choice(indices, size=self.reference.steps).tolist()
            wrong = self._once(schedule, f"{when}, mixed with {'other arms' if len(left) > 1 else NATIVE}")
            if wrong is None:
                break
            beside = f"{when}, mixed with {NATIVE}"
            guilty = {left[0]: wrong.why} if len(left) == 1 else self._guilty(schedule, left, beside)
            if not guilty and wrong.arm in left:
                guilty = {wrong.arm: wrong.why}
            if not guilty:
                raise ArmError(f"{' and '.join(left)}, each equal to native, are not when they are mixed: {wrong.why}")
            for arm, why in guilty.items():
                self.equality.strike(arm, why)
            struck += guilty
            left = self.equality.equal(left)
        return struck

    def _guilty(self, schedule: Sequence[int], arms: Sequence[str], when: str) -> dict[str, str]:
        """The arms that do other than native where native takes the steps of all others, and what each does."""
        found = {}
        for arm in arms:
            index = self.installed.index(arm)
            if index in schedule and (wrong := self._once([at * (at == index) for at in schedule], when)):
                found[arm] = wrong.why
        return found

    def _once(self, schedule: Sequence[int], when: str) -> _Wrong | None:
        """One pass by this schedule; what is wrong with it, after which native has served as before."""
        self.reference.soil()
        try:
            result = self.host.run_pass("check", schedule, self.requests)
        except BaseException as error:  # noqa: BLE001 (an arm's code can fail in any way, in the middle of the engine)
            signals.insist()  # a signal is not of the arm's making
            self.reference.serve_as_before(f"a pass{when}", cut=True)
            return _Wrong("", f"fails{when}: {raised(error)}")
        check_whole(result, f"a pass{when}")
        known = [found for found in result.mismatches if found["arm"] not in self.equality.unequal]
        if known:
            step = f"{known[0]['step']}, which is native's," if known[0]["arm"] == NATIVE else known[0]["step"]
            told = f"{'fails' if known[0]['raised'] else 'differs'} at step {step}{when}: {known[0]['reason']}"
            wrong = _Wrong(known[0]["arm"], told)
        elif other := self.reference.other_work(result):
            wrong = _Wrong("", f"{other}{when}")
        else:
            return None
        self.reference.serve_as_before(f"a pass{when}")
        return wrong
