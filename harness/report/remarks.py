"""The lines below every table: what the instrument cost, how much of the change shows, and how sure all of it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.analysis.by_launch import is_by_launch
from harness.digits import significant
from harness.records.agreement import answered
from harness.report.launch_grain import CHECKED, how_compared
from harness.report.table import format_interval
from harness.seams import swapped_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.summary import Summary

__all__ = ["checked_when", "exposed", "how_sure", "instrument_cost", "own_cost", "reach"]


def instrument_cost(summary: Summary) -> str:
    """One line: nanoseconds a probe call, and the share of a step that probes took; empty if nothing was measured."""
    calibration: dict[str, Any] | None = summary.run.get("calibration")
    arms = [arm for arm in summary.arms.values() if arm.measured]
    if calibration is None or not arms:
        return ""
    hot_ns, in_run = calibration["inside_ns"] + calibration["outside_ns"], summary.probe_call_ns
    call_ns = hot_ns if in_run is None else in_run.estimate
    shares = [call_ns * sum(probe.calls for probe in arm.probes.values()) / arm.step_ns * 100 for arm in arms]
    subtracted = (
        "It is subtracted above."
        if in_run is None
        else f"In the scope of this run it was {in_run.estimate:.0f} [{in_run.low:.0f}, {in_run.high:.0f}] ns: that is "
        "subtracted above, and how far it can be wrong is in the intervals."
    )
    return (
        f"A probe call costs {hot_ns:.0f} ns in a hot loop here ({calibration['inside_ns']:.0f} in its own time, "
        f"{calibration['outside_ns']:.0f} in its caller's; quartiles {calibration['spread_ns']:.0f} apart); "
        f"the probes took {min(shares):.2f} to {max(shares):.2f} % of a step. {subtracted}"
    )


def own_cost(summary: Summary) -> str:
    """One line: what the instrument cost a step, as bare steps show; empty without bare passes."""
    cost = next((cost for cost in summary.own_costs if cost.arm == summary.baseline), None)
    if cost is None:
        return ""
    return (
        f"Probed steps took {format_interval(cost.per_step_us)} us longer than bare ones under {summary.baseline} "
        f"({cost.share * 100:.2g} % of a step)."
    )


def exposed(summary: Summary) -> str:
    """One line: how much of the seam's time shows up in the loop; empty where that was not asked for."""
    found = summary.exposure
    if found is None:
        return ""
    config, told = summary.run["config"], format_interval(found.slope)
    seam = config.get("seam") or config.get("swap") or "the seam"
    turn = significant(found.turn_us, 4)
    line = f"A microsecond planted at {seam} made a turn of the engine's loop ({turn} us) {told} us longer"
    if found.slope.low <= 0:
        hidden = f"at most {found.slope.high * 100:.2g} % of it" if 0 < found.slope.high < 1 else "how much of it"
        return f"{line}: {hidden} shows, and whether any does is not resolved."
    if found.share is None:
        return f"{line}."
    share, probe = found.share.scaled(100), swapped_in(config)
    return (
        f"{line}: if {probe} took no time under {summary.baseline}, a turn would be {share.estimate:.2g} % shorter "
        f"(from {share.low:.2g} to {share.high:.2g})."
    )


def checked_when(run: dict[str, Any]) -> str:
    """When all arms were compared with native, behind "equal at every step"."""
    same = f"the same {answered(run['config'].get('workload', {}))} in every pass"
    if is_by_launch(run):
        return f"{CHECKED}; {same}"
    drawn = run.get("checked_after_groups", [])
    when = ["before measuring"]
    when += [f"after {_listed(drawn)} groups (drawn)"] if drawn else []
    when += ["after the last one"] if run.get("checked_at_end") else []
    return f"checked in passes of their own {_listed(when)}; {same}"


def _listed(items: Sequence[object]) -> str:
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def how_sure(summary: Summary, of: str = "report") -> str:
    """One line: what the intervals and verdicts mean; `of` is the word for what holds together."""
    confidence = summary.run["config"]["protocol"]["confidence"] * 100
    planned = summary.run.get("looks", [])
    looks = f", {len(planned)} looks taken into account" if planned else ""
    differing = "" if summary.launches == 1 else ", each with another hash seed and environment size"
    return (
        f"{how_compared(summary.run)} All intervals and tests of this "
        f"{of} hold together at {confidence:g} % ({summary.confidence_each * 100:.4g} % each{looks}), "
        f"{reach(summary)}{differing}. Equivalent means within "
        f"{summary.margin_us:.3g} us a step, {summary.run['config']['protocol']['margin'] * 100:g} % of the scope."
    )


def reach(summary: Summary) -> str:
    """What the intervals of a run hold for: one process, or several launches."""
    return "in this process" if summary.launches == 1 else f"across {summary.launches} launches"
