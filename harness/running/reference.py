"""Native's own checking passes: what every arm is held against, and that the engine still serves so."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness import signals
from harness.errors import StepMismatchError, told
from harness.instrument.checking import NATIVE_PASSES
from harness.records.agreement import answer_difference, signature, signature_difference
from harness.running.refusing import check_whole, insist_on_fields, insist_on_steps
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.hosts.base import Host, PassResult
    from harness.running.equality import Equality
    from harness.running.observer import Observer
    from harness.running.reached import Reached
    from harness.workload.requests import Request

__all__ = ["Reference"]


@dataclass
class Reference:
    """What native does with the workload.

    Attributes:
        requests: the workload.
        restart: starts the engine anew, with everything installed.
        facts: the run's facts, which are filled here.
        seam: at which the arms are; empty where they are at none.
        reached: is given the calls of native's passes.
        answers: what native answers: tokens, texts, log probabilities.
        cached_tokens: what native finds in the prefix cache.
        signature: what native's steps are.
        steps: how many.
        pass_s: how long a checking pass of native took.
        resets: whether the engine can be put in its first state after each of native's passes.
    """

    host: Host
    observer: Observer
    equality: Equality
    requests: Sequence[Request]
    restart: Callable[[], None]
    facts: dict[str, Any]
    seam: str
    reached: Reached
    answers: Any = field(default=None, init=False)
    cached_tokens: int = field(default=0, init=False)
    signature: dict[str, Any] = field(default_factory=dict, init=False)
    steps: int = field(default=0, init=False)
    pass_s: float = field(default=0.0, init=False)
    resets: bool = field(default=False, init=False)

    def soil(self) -> None:
        """Before each checking pass native serves other requests from other blocks.

        An engine keeps its buffers, and in the pass before native has written there what is right for this one, at the
        same places: a function that does nothing would look equal.
        """
        result = self.host.run_pass("soil", [0], _others(self.requests))
        check_whole(result, "a pass of native")

    def serve(self, advance: Callable[[], None] = lambda: None) -> None:
        """Native alone, several times: what it does not repeat cannot be compared."""
        resets = True
        for _ in range(NATIVE_PASSES):
            self.soil()
            began = time.monotonic()
            result = self.host.run_pass("check", [0], self.requests)
            self.pass_s = time.monotonic() - began
            check_whole(result, "a checking pass of native")
            resets = resets and not result.not_reset
            self.equality.strike_found(result)  # what failed when it was loaded
            if self.answers is None:
                self.answers, self.cached_tokens = result.answers, result.cached_tokens
                self.signature = signature(result.columns)
                self.steps = len(result.columns["step"])
            if other := answer_difference(self.answers, result.answers):
                raise StepMismatchError(
                    f"two passes of native generated different {other.what} ({other.where}), so equality of arms "
                    "cannot be judged by them: make the engine deterministic"
                )
            if difference := signature_difference(self.signature, result.columns):
                raise StepMismatchError(
                    f"two passes of native did other work: {difference}. The engine must do the same in every pass: "
                    "look at enable_prefix_caching, and at anything else that remembers earlier requests"
                )
            advance()
        self.resets = resets
        self.reached.note(NATIVE, result)
        insist_on_steps(result)
        self.facts["checked"] = checked = self.host.checked()
        insist_on_fields(checked, self.seam)
        self.facts["steps"] = {"count": self.steps, **self.signature}

    def other_work(self, result: PassResult) -> str:
        """What a pass did other than native, by its answers, steps and what it left; empty where it did the same.

        What the engine core keeps between steps is in no fingerprint: what is left there would else be seen in the next
        pass, and blamed on whoever serves it.
        """
        if other := answer_difference(self.answers, result.answers):
            return f"generates other {other.what}: {other.where}"
        if difference := signature_difference(self.signature, result.columns):
            return f"does other work: {difference}"
        if self.resets and result.not_reset:
            return f"leaves the engine other than native does: {result.not_reset}"
        return ""

    def check_signature(self, result: PassResult, where: str) -> None:
        """Check that the steps of a pass are native's.

        Raises:
            StepMismatchError: it did other work.
        """
        if difference := signature_difference(self.signature, result.columns):
            raise StepMismatchError(
                f"{where} did other work than the checking pass: {difference}. The engine must do the same in every "
                "pass: look at enable_prefix_caching, and at anything else that remembers earlier requests"
            )

    def serve_as_before(self, after: str, wrong: bool = True, cut: bool = False) -> None:
        """Native serves as at first; where it does not, the engine is started anew.

        Args:
            after: what came before.
            wrong: whether that was wrong: then native serves once more, so that nothing of it is left in buffers.
            cut: whether an exception ended the pass.
        """
        try:
            sound = not cut or self.host.recover()
            result = None
            for _ in range(1 + wrong if sound else 0):
                self.soil()
                result = self.host.run_pass("check", [0], self.requests)
        except BaseException as error:  # noqa: BLE001 (an engine that cannot go on can say so in any way)
            signals.insist()
            result, why = None, told(error)
        else:
            why = "it cannot serve on"
        if result is not None:
            check_whole(result, "a checking pass of native")
            why = "; ".join(found["reason"] for found in result.mismatches if found["arm"] == NATIVE)
            why = why or self.other_work(result)
        if why:
            self.observer.note(f"the engine does not serve as before after {after}, and is started anew: {why}")
            self.restart()
            self.serve()


def _others(requests: Sequence[Request]) -> list[Request]:
    """As many requests, of the same lengths, each with another's place and its prompt turned round."""
    turned = [replace(request, prompt_token_ids=request.prompt_token_ids[::-1]) for request in requests]
    return [*turned[-1:], *turned[:-1]]
