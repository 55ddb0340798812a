"""What passes show by which a run ends: what cannot be compared is not timed, and what cannot be trusted no further."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness import signals
from harness.conditions import condition_of
from harness.errors import ArmError, GrainError, HarnessError, SeamError
from harness.seams import SEAMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.hosts.base import PassResult
    from harness.running.reached import Reached

__all__ = ["check_sound", "check_whole", "insist_on_calls", "insist_on_fields", "insist_on_steps"]

ONE_PROCESS: Final = (
    "Where harness reaches the engine core it puts its blocks in their first order before each pass: set "
    "host.process: in_process, and leave tensor_parallel_size and pipeline_parallel_size at 1"
)


def insist_on_steps(result: PassResult) -> None:
    """Refuse what cannot be switched between steps, as a pass of native shows it.

    Raises:
        GrainError: objects of the former step live on, a changed module is imported only now, another thread runs what
            is switched, or vLLM has compiled or captured it.
    """
    if outlive := result.watched.get("outlive"):
        told = ", ".join(f"{count} of {name}" for name, count in outlive.items())
        what = "objects that a changed __init__ or value makes"
        raise GrainError(f"{what} live over a step ({told}): they would stay as made")
    if imported := result.watched.get("imported"):
        raise GrainError(f"{', '.join(imported)}: imported only while the engine serves, as it is installed")
    if not_run := result.watched.get("not_run"):
        raise GrainError("; ".join(f"{name} {why}" for name, why in not_run.items()))
    if threads := result.watched.get("on_other_threads"):
        raise GrainError(
            f"another thread calls {', '.join(threads)}, so no turn can be told from the next: set "
            "engine.async_scheduling: false"
        )


def insist_on_fields(checked: Mapping[str, Any], seam: str) -> None:
    """Refuse to call arms equal by tokens alone, where native does not repeat what arms at this seam compute.

    Args:
        checked: how much checking passes compare, and what they leave out.
        seam: at which the arms are; empty where they are at none.

    Raises:
        SeamError: it does not.
    """
    shown = SEAMS[seam].shown if seam else ""
    # What is kept may be uninitialised memory; what the model is given is not.
    lost = [field for field in checked.get("not_repeated", ()) if shown in field and not field.startswith("state")]
    if shown and lost:
        why = checked.get("not_reset") or "its passes differ in it"
        raise SeamError(
            f"native does not repeat what arms at {seam} compute (`{lost[0]}`), so no arm can be called equal "
            f"to it: {why}. {ONE_PROCESS}"
        )


def insist_on_calls(reached: Reached, named: str, seam: bool) -> None:
    """Refuse to time what the workload never reaches.

    Args:
        reached: what the checking passes saw.
        named: what is swapped, for the message.
        seam: whether it must be called in every step.

    Raises:
        SeamError: it is not.
    """
    if seam:
        for steps in reached.native_steps.values():
            if not steps or not all(steps):
                step = next((i for i, calls in enumerate(steps) if not calls), 0)
                raise SeamError(f"{named} was not called in step {step}: this engine computes it in another way")
    elif not any(sum(calls.values()) for calls in reached.calls.values()):
        if reached.values - {name for calls in reached.calls.values() for name in calls}:
            return  # a number or a class under a name: nobody can tell who reads it
        silent = sorted({name for calls in reached.calls.values() for name in calls})
        when = dict.fromkeys(filter(None, map(condition_of, silent)))
        known = f"vLLM calls {'it' if len(silent) == 1 else 'some of them'} {', '.join(when)}; " if when else ""
        raise SeamError(
            f"0 calls of {named} in this workload, so there is nothing to measure; {known}nothing was timed"
        )


def check_whole(result: PassResult, where: str) -> None:
    """Check that vLLM is as it was before a pass."""
    signals.insist()  # an arm may have swallowed what a signal raised
    if result.unrestored:
        raise HarnessError(f"after {where} these could not be put back: {', '.join(result.unrestored)}")


def check_sound(result: PassResult, where: str) -> None:
    """Check that a pass went well: no arm raised or changed what all share, and vLLM is as it was.

    Raises:
        ArmError: an arm did.
    """
    check_whole(result, where)
    if result.failure is not None:
        failure = result.failure
        raise ArmError(f"arm {failure['arm']!r} raised at step {failure['step']} of {where}: {failure['error']}")
    if result.changed:
        raise ArmError(
            f"in {where} an arm changed {', '.join(result.changed)}, for all that came after it; it has been put "
            "back, but what was measured since is not to be trusted"
        )
