"""What a reader must know of a run before its figures: how it ended, what is missing, what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.records.folder import Records

__all__ = ["run_notes"]

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
    if missing := run.get("flamegraphs_missing"):
        got = ", ".join(run.get("flamegraphs", {}))
        notes.append(f"{f'flamegraphs of {got} only' if got else 'no flamegraphs'}: {missing}")
    if records.partial:
        notes.append(f"cut short, so kept but not analysed: {', '.join(records.partial)}")
    notes += [f"left out, since it cannot be read: {name} ({why})" for name, why in records.unreadable.items()]
    return notes
