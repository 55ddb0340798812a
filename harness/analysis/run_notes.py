"""What a reader must know of a run before its figures: how it ended, what is missing, what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.analysis.metrics import OF_CPU, STEP
from harness.digits import significant

if TYPE_CHECKING:
    from harness.analysis.intervals import Interval
    from harness.analysis.summary import Comparison, Summary
    from harness.records.folder import Records

__all__ = ["rare_notes", "run_notes", "trend_notes"]

HOST_TABLES: Final = (
    "a V2 runner keeps block tables on the device alone; host arms take them from a copy that harness keeps. The cost "
    "of that copy lies before the scope, in every arm alike, and would come on top of a host arm's time"
)
OPTIONS: Final = {
    "sync": "each probed call waited for the device before its clock stopped (protocol.sync), as in the issue's "
    "tables: probed times include the device's, and only bare steps are as fast as without this option",
    "nvtx": "scope and arms were in NVTX ranges (protocol.nvtx), whose cost is in every arm alike",
}
EMULATED: Final = (
    "this CPU has no native bfloat16, so every step emulates it and takes several times as long as in float32: "
    "set engine.dtype: float32"
)
NAMED: Final = 20
"""Files of a kind that are named, at most."""
FIELDS: Final = 5
"""Fields of a step that are named, at most."""
LEFT_OUT: Final = {"counted": "counting", "traced": "tracing"}
"""Kinds of passes that have a time budget; extras.py leaves out the arms beyond it."""


def run_notes(records: Records) -> list[str]:
    """One sentence each, the most serious first."""
    run = records.run
    notes = []
    if run["status"] == "running":
        notes.append("this run never ended by itself: its process was killed, or is still running")
    elif run["status"] != "complete" or run.get("message"):
        notes.append(run.get("message") or f"this run is {run['status']}")
    checked = run.get("checked") or {}
    if (why := checked.get("not_reset")) and (fields := checked.get("not_repeated")):
        rest = f" and {len(fields) - FIELDS} more" if len(fields) > FIELDS else ""
        notes.append(
            f"{why}: block ids do not repeat from pass to pass, so these are compared by tokens alone: "
            f"{', '.join(fields[:FIELDS])}{rest}"
        )
    plan = run.get("plan")
    clipped, cap = run.get("workload", {}).get("clipped"), run.get("host", {}).get("max_model_len")
    if clipped:
        notes.append(f"{clipped} requests were clipped to the model's {cap} tokens")
    if run.get("host", {}).get("details", {}).get("generation") == "v2":
        notes.append(HOST_TABLES)
    details = run.get("host", {}).get("details", {})
    on_cpu = run.get("host", {}).get("device") == "cpu"
    if on_cpu and details.get("dtype") == "bfloat16" and run["machine"].get("native_bfloat16") is False:
        notes.append(EMULATED)
    notes += [said for key, said in OPTIONS.items() if run["config"]["protocol"].get(key)]
    if plan and plan.get("fit") is not None and plan["fit"] < plan["groups"]:
        notes.append(
            f"only {plan['groups']} groups were measured, the fewest that give an interval "
            f"({plan['asked_s']:g} s had room for {plan['fit']}): intervals are wide"
        )
    notes += [
        f"not {done}, since {noun} the other arms used up the time for it: {', '.join(run[f'not_{done}'])}"
        for done, noun in LEFT_OUT.items()
        if run.get(f"not_{done}")
    ]
    if calls := run.get("other_threads"):
        notes.append(
            f"{calls:,} calls of probes came from other threads while the scope was open; they are in no figure of a "
            "probe, and the scope waited for some of them"
        )
    if missing := run.get("flamegraphs_missing"):
        got = ", ".join(run.get("flamegraphs", {}))
        notes.append(f"{f'flamegraphs of {got} only' if got else 'no flamegraphs'}: {missing}")
    if records.partial:
        named, more = records.partial[:NAMED], len(records.partial) - NAMED
        others = f" and {more} more" if more > 0 else ""
        notes.append(f"cut short, so kept but not analysed: {', '.join(named)}{others}")
    left_out = [f"left out, since it cannot be read: {name} ({why})" for name, why in records.unreadable.items()]
    notes += left_out[:NAMED]
    if len(left_out) > NAMED:
        notes.append(f"left out, since they cannot be read: {len(left_out) - NAMED} more files")
    return notes


def rare_notes(summary: Summary) -> list[str]:
    """Where accumulated time says something else than the usual step, and which arms have more outlying steps."""
    scope, whole = summary.scope, f"the whole {summary.step_word}"
    notes = [
        f"{c.arm}, {whole if c.metric == STEP else scope}: {c.verdict} in the usual step "
        f"({_told(c.per_step_us)} us), {c.means_verdict} in accumulated time ({_told(c.means_us)} us a step): "
        "much of the difference comes rarely"
        for c in summary.comparisons
        if c.means_us is not None and _disagree(c, c.means_us)
    ]
    for c in summary.comparisons:
        by_cpu = summary.difference(c.arm, OF_CPU[c.metric]) if c.metric in OF_CPU else None
        if by_cpu is not None and c.verdict in ("faster", "slower") and _apart(c.per_step_us, by_cpu.per_step_us):
            where = whole if c.metric == STEP else scope
            notes.append(
                f"{c.arm}, {where}: {c.verdict} by the clock ({_told(c.per_step_us)} us a step), {by_cpu.verdict} in "
                f"CPU time ({_told(by_cpu.per_step_us)} us): the rest is waiting, for other threads, processes or a "
                "device"
            )
    rates = {found.arm: f"{significant(found.outlying / found.steps * 100, 2)} %" for found in summary.rare}
    return notes + [
        f"{found.arm} has outlying steps {found.verdict} than {summary.baseline}: {rates[found.arm]} against "
        f"{rates[summary.baseline]} of its steps, with {significant(found.excess_us, 2)} us a step above the usual"
        for found in summary.rare
        if found.verdict in ("more often", "less often")
    ]


def trend_notes(summary: Summary) -> list[str]:
    """Which arms cost more, or less, the longer the run lasted."""
    scope = summary.scope
    return [
        f"{found.arm}, {scope}: its difference to {summary.baseline} changed by {_told(found.growth_us)} us a step "
        "from the first group to the last: what it keeps or fills costs more, or less, the longer it runs, and its "
        "figures are means over this run"
        for found in summary.trends
        if found.found
    ]


def _disagree(found: Comparison, means_us: Interval) -> bool:
    """Whether accumulated time is resolved, and the usual step says something else or is elsewhere."""
    resolved = found.means_verdict in ("faster", "slower")
    return resolved and (_apart(found.per_step_us, means_us) or found.means_verdict != found.verdict)


def _apart(one: Interval, other: Interval) -> bool:
    """Whether two intervals have nothing in common."""
    return other.low > one.high or other.high < one.low


def _told(interval: Interval) -> str:
    return f"{interval.estimate:+.3g} [{interval.low:.3g}, {interval.high:.3g}]"
