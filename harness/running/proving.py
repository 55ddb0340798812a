"""Showing that arms do what native does: each alone, then all of them mixed, every step compared with native's.

What an arm's code raises in the middle of the engine is a refusal of that arm: the engine is put right, or started
anew, and goes on with the others.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from harness import signals
from harness.conditions import condition_of
from harness.errors import ArmError, GrainError, HarnessError, SeamError, StepMismatchError, told, told_with_place
from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.phases import PHASES
from harness.instrument.scopes import AUTO, JOIN
from harness.records.agreement import answer_difference, signature, signature_difference
from harness.running.took import remember_took, took
from harness.seams import NATIVE, SEAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.hosts.base import Host, PassResult
    from harness.running.equality import Equality
    from harness.running.observer import Observer
    from harness.workload.requests import Request

__all__ = ["Proving"]

MIXED_SEED = 2
"""Beside the seed of the measured passes, so that both are drawn independently."""
ONE_PROCESS: Final = (
    "Where harness reaches the engine core it puts its blocks in their first order before each pass: set "
    "host.process: in_process, and leave tensor_parallel_size and pipeline_parallel_size at 1"
)


class _Wrong(NamedTuple):
    """What a mixed pass did other than native; the arm is empty where it cannot be told in whose step."""

    arm: str
    why: str


def _raised(error: BaseException) -> str:
    """What came out of the engine, in words."""
    endless = "; does it call the function that it replaces? Whoever calls that calls the arm itself"
    return f"raised {told_with_place(error)}{endless if isinstance(error, RecursionError) else ''}"


def _others(requests: Sequence[Request]) -> list[Request]:
    """As many requests, of the same lengths, each with another's place and its prompt turned round."""
    turned = [replace(request, prompt_token_ids=request.prompt_token_ids[::-1]) for request in requests]
    return [*turned[-1:], *turned[:-1]]


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
        reference: what native answers.
        reference_signature: what native's steps are.
        cached_tokens: what native finds in the prefix cache.
        steps: how many.
        pass_s: how long a checking pass of native took.
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
    reference: Any = field(default=None, init=False)
    reference_signature: dict[str, Any] = field(default_factory=dict, init=False)
    cached_tokens: int = field(default=0, init=False)
    steps: int = field(default=0, init=False)
    pass_s: float = field(default=0.0, init=False)
    phases: Counter[str] = field(default_factory=Counter, init=False)
    _mixed_passes: int = field(default=0, init=False)

    def prove(self, label: str) -> None:
        """Serve under native, under each arm alone, and under all of them mixed; `label` names the time it takes."""
        arms = self.installed[1:]
        self.observer.stage("checking that all arms compute the same", NATIVE_PASSES + len(arms) + 1, took(label))
        began = time.monotonic()
        self._native(self.observer.advance)
        for arm in arms:
            if arm not in self.equality.unequal and (result := self._alone(arm)) is not None:
                self._note_calls(arm, result)
            self.observer.advance()
        self.mixed("", self._equal(arms))
        self.observer.advance()
        remember_took(label, time.monotonic() - began)
        self.facts["checked"] = self.host.checked()

    def _equal(self, arms: Sequence[str]) -> list[str]:
        return [arm for arm in arms if arm not in self.equality.unequal]

    def _soil(self) -> None:
        """Before each checking pass native serves other requests from other blocks.

        An engine keeps its buffers, and in the pass before native has written there what is right for this one, at the
        same places: a function that does nothing would look equal.
        """
        result = self.host.run_pass("soil", [0], _others(self.requests))
        self.check_whole(result, "a pass of native")

    def _native(self, advance: Callable[[], None] = lambda: None) -> None:
        """Native alone, several times: what it does not repeat cannot be compared."""
        for _ in range(NATIVE_PASSES):
            self._soil()
            began = time.monotonic()
            result = self.host.run_pass("check", [0], self.requests)
            self.pass_s = time.monotonic() - began
            self.check_whole(result, "a checking pass of native")
            self.equality.strike_found(result)  # what failed when it was loaded
            if self.reference is None:
                self.reference, self.cached_tokens = result.answers, result.cached_tokens
                self.reference_signature = signature(result.columns)
                self.steps = len(result.columns["step"])
            if other := answer_difference(self.reference, result.answers):
                raise StepMismatchError(
                    f"two passes of native generated different {other.what} ({other.where}), so equality of arms "
                    "cannot be judged by them: make the engine deterministic"
                )
            if difference := signature_difference(self.reference_signature, result.columns):
                raise StepMismatchError(
                    f"two passes of native did other work: {difference}. The engine must do the same in every pass: "
                    "look at enable_prefix_caching, and at anything else that remembers earlier requests"
                )
            advance()
        self._note_calls(NATIVE, result)
        self._insist_on_steps(result)
        self._insist_on_fields()
        self.facts["steps"] = {"count": self.steps, **self.reference_signature}

    def _insist_on_steps(self, result: PassResult) -> None:
        """Refuse what cannot be switched between steps, as a pass of native shows it.

        Raises:
            GrainError: objects of the former step live on, another thread runs what is switched, or vLLM has compiled
                or captured it.
        """
        if outlive := result.watched.get("outlive"):
            told = ", ".join(f"{count} of {name}" for name, count in outlive.items())
            raise GrainError(
                f"objects that a changed __init__ makes live over a step ({told}): they would stay as made"
            )
        if not_run := result.watched.get("not_run"):
            raise GrainError("; ".join(f"{name} {why}" for name, why in not_run.items()))
        if threads := result.watched.get("on_other_threads"):
            raise GrainError(
                f"another thread calls {', '.join(threads)}, so no turn can be told from the next: set "
                "engine.async_scheduling: false"
            )

    def _insist_on_fields(self) -> None:
        """Refuse to call arms equal by tokens alone, where native does not repeat what arms at this seam compute.

        Raises:
            SeamError: it does not.
        """
        self.facts["checked"] = checked = self.host.checked()
        shown = SEAMS[self.seam].shown if self.seam else ""
        # What is kept may be uninitialised memory; what the model is given is not.
        lost = [field for field in checked.get("not_repeated", ()) if shown in field and not field.startswith("state")]
        if shown and lost:
            why = checked.get("not_reset") or "its passes differ in it"
            raise SeamError(
                f"native does not repeat what arms at {self.seam} compute (`{lost[0]}`), so no arm can be called equal "
                f"to it: {why}. {ONE_PROCESS}"
            )

    def _alone(self, arm: str, when: str = "") -> PassResult | None:
        """One arm alone, which is struck where it does other than native; None where it raised out of the engine."""
        self._soil()
        try:
            result = self.host.run_pass("check", [self.installed.index(arm)], self.requests)
        except BaseException as error:  # noqa: BLE001 (an arm's code can fail in any way, in the middle of the engine)
            signals.insist()  # a signal is not of the arm's making
            self.equality.strike(arm, f"fails{when}: {_raised(error)}")
            self._serve_as_before(f"arm {arm!r}", cut=True)
            return None
        self.check_whole(result, f"the checking pass of arm {arm!r}")
        if not self.equality.strike_found(result, when) and (why := self._other_work(result)):
            self.equality.strike(arm, f"{why}{when}")
        if arm in self.equality.unequal:
            self._serve_as_before(f"arm {arm!r}")
        return result

    def _other_work(self, result: PassResult) -> str:
        if other := answer_difference(self.reference, result.answers):
            return f"generates other {other.what}: {other.where}"
        if difference := signature_difference(self.reference_signature, result.columns):
            return f"does other work: {difference}"
        return ""

    def _serve_as_before(self, after: str, cut: bool = False) -> None:
        """After something went wrong native serves, so that nothing of it is left in buffers, and then as at first.

        Where it does not, the engine is started anew.

        Args:
            after: what went wrong.
            cut: whether an exception ended the pass.
        """
        try:
            sound = not cut or self.host.recover()
            result = None
            for _ in range(2 if sound else 0):  # the first still finds in buffers what went wrong
                self._soil()
                result = self.host.run_pass("check", [0], self.requests)
        except BaseException as error:  # noqa: BLE001 (an engine that cannot go on can say so in any way)
            signals.insist()
            result, why = None, told(error)
        else:
            why = "it cannot serve on"
        if result is not None:
            self.check_whole(result, "a checking pass of native")
            why = "; ".join(found["reason"] for found in result.mismatches if found["arm"] == NATIVE)
            why = why or self._other_work(result)
        if why:
            self.observer.note(f"the engine does not serve as before after {after}, and is started anew: {why}")
            self.restart()
            self._native()

    def mixed(self, when: str, arms: Sequence[str]) -> list[str]:
        """Native and the arms mixed at random by step, which shows state that one leaves and another cannot read.

        The step that shows it may be another's, native's for one. So each arm is then mixed with native alone, at the
        same steps; those that differ there are struck, and the others are mixed again. Gives the arms that were struck.

        Raises:
            ArmError: only several arms together do other than native, and none can be blamed.
        """
        left, struck = list(arms), list[str]()
        while left:
            drawn = np.random.default_rng([self.seed, MIXED_SEED, self._mixed_passes])
            self._mixed_passes += 1
            indices = [0, *(self.installed.index(arm) for arm in left)]
            schedule = drawn.choice(indices, size=self.steps).tolist()
            wrong = self._mixed_once(schedule, f"{when}, mixed with {'other arms' if len(left) > 1 else NATIVE}")
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
            left = self._equal(left)
        return struck

    def _guilty(self, schedule: Sequence[int], arms: Sequence[str], when: str) -> dict[str, str]:
        """The arms that do other than native where native takes the steps of all others, and what each does."""
        found = {}
        for arm in arms:
            index = self.installed.index(arm)
            if index in schedule and (wrong := self._mixed_once([at * (at == index) for at in schedule], when)):
                found[arm] = wrong.why
        return found

    def _mixed_once(self, schedule: Sequence[int], when: str) -> _Wrong | None:
        """One pass by this schedule; what is wrong with it, after which native has served as before."""
        self._soil()
        try:
            result = self.host.run_pass("check", schedule, self.requests)
        except BaseException as error:  # noqa: BLE001 (an arm's code can fail in any way, in the middle of the engine)
            signals.insist()  # a signal is not of the arm's making
            self._serve_as_before(f"a pass{when}", cut=True)
            return _Wrong("", f"fails{when}: {_raised(error)}")
        self.check_whole(result, f"a pass{when}")
        known = [found for found in result.mismatches if found["arm"] not in self.equality.unequal]
        if known:
            step = f"{known[0]['step']}, which is native's," if known[0]["arm"] == NATIVE else known[0]["step"]
            told = f"{'fails' if known[0]['raised'] else 'differs'} at step {step}{when}: {known[0]['reason']}"
            wrong = _Wrong(known[0]["arm"], told)
        elif other := self._other_work(result):
            wrong = _Wrong("", f"{other}{when}")
        else:
            return None
        self._serve_as_before(f"a pass{when}")
        return wrong

    def again(self, when: str, arms: Sequence[str], alone: bool) -> list[str]:
        """Compare once more, beside what is timed: all mixed, or each alone. Gives the arms that are newly struck."""
        if not alone:
            return self.mixed(when, self._equal(arms))
        self._serve_as_before("what was measured")  # or one arm might answer for what another has left in the engine
        for arm in self._equal(arms):
            self._alone(arm, when)
        self.facts["checked"] = self.host.checked()
        return [arm for arm in arms if arm in self.equality.unequal]

    def check_whole(self, result: PassResult, where: str) -> None:
        """Check that vLLM is as it was before a pass."""
        signals.insist()  # an arm may have swallowed what a signal raised
        if result.unrestored:
            raise HarnessError(f"after {where} these could not be put back: {', '.join(result.unrestored)}")

    def _note_calls(self, arm: str, result: PassResult) -> None:
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
            self.seam_steps = watched.get("calls", {})

    def insist_on_calls(self, named: str, seam: bool) -> None:
        """Refuse to time what the workload never reaches.

        Args:
            named: what is swapped, for the message.
            seam: whether it must be called in every step.

        Raises:
            SeamError: it is not.
        """
        if seam:
            for steps in self.seam_steps.values():
                if not steps or not all(steps):
                    step = next((i for i, calls in enumerate(steps) if not calls), 0)
                    raise SeamError(f"{named} was not called in step {step}: this engine computes it in another way")
        elif not any(sum(calls.values()) for calls in self.facts["calls"].values()):
            silent = sorted({name for calls in self.facts["calls"].values() for name in calls})
            when = dict.fromkeys(filter(None, map(condition_of, silent)))
            known = f"vLLM calls {'it' if len(silent) == 1 else 'some of them'} {', '.join(when)}; " if when else ""
            raise SeamError(
                f"0 calls of {named} in this workload, so there is nothing to measure; {known}nothing was timed"
            )

    def called(self) -> list[str]:
        """The changed functions that were called under any arm, by name."""
        return sorted({name for calls in self.facts["calls"].values() for name, count in calls.items() if count})

    def found_scope(self, scope: str) -> str:
        """What `auto` is: the phases in which the changed functions were called, in the order of a turn."""
        if scope != AUTO:
            return scope
        known = [phase for phase in PHASES if self.phases[phase]]
        return JOIN.join([*known, *sorted(name for name in self.phases if name not in PHASES)])
