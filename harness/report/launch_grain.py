"""What a report says otherwise at launch grain, where each engine has one arm in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.analysis.by_launch import is_by_launch, took_turns
from harness.seams import AA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.analysis.summary import Summary

__all__ = ["CHECKED", "engines", "how_compared", "not_compared"]

PAIRED: Final = "Differences are paired within each step and say what the usual step does."
USUAL: Final = "and say what the usual step does; A/A is every other launch of native against the rest of them"
CHECKED: Final = "checked between engines, in a pass of each"


def how_compared(run: dict[str, Any]) -> str:
    """A sentence on what a difference is between."""
    if not is_by_launch(run):
        return PAIRED
    if took_turns(run):
        turns = f"within blocks whose engines took turns of {_turn(run)}"
        return f"Differences are between launches, {turns}, {USUAL}, each relative to the other arms of its block."
    return f"Differences are between launches (Welch; paired within blocks from 10 blocks on), {USUAL}."


def _turn(run: Mapping[str, Any]) -> str:
    return "some steps" if run.get("by_turns") == "steps" else "a pass"


def engines(summary: Summary) -> str:
    """How many engines there were, and what each measured; empty for a run that is at no launch grain."""
    if not is_by_launch(summary.run):
        return ""
    measured = {name: arm for name, arm in summary.arms.items() if arm.measured and name != AA}
    passes = ", ".join(f"{name} {arm.passes}" for name, arm in measured.items())
    turns = f", those of a block side by side, by turns of {_turn(summary.run)}" if took_turns(summary.run) else ""
    return (
        f"{summary.launches} engines, each with one arm in it, in drawn order{turns}, one figure an engine; "
        f"passes: {passes}{', and as many bare' if summary.own_costs else ''}"
    )


def not_compared(run: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """What is not compared between engines of other processes, each with the reason first."""
    across = run.get("across") or {}
    if not across:
        return []
    only_there = across.get("only_there", {})
    return [
        ("buffers that no step has written hold what a process found in memory", ["state"]),
        *((f"native has no such field, {arm} has", fields) for arm, fields in only_there.items()),
    ]
