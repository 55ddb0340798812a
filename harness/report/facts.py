"""The lines above and below every table: what was measured, on what, and what the instrument cost."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from harness.analysis.by_launch import is_by_launch
from harness.analysis.drift import LEVEL, MACHINE, SHARE
from harness.analysis.grouping import grain_of
from harness.analysis.names import scope_parts
from harness.digits import significant
from harness.report.launch_grain import CHECKED, PAIRED, UNPAIRED, engines
from harness.report.table import format_interval
from harness.seams import swapped_in
from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.drift import LevelShift
    from harness.analysis.summary import Summary

__all__ = [
    "checked_when",
    "command_line",
    "exposed",
    "facts",
    "how_sure",
    "instrument_cost",
    "machine_facts",
    "own_cost",
    "reach",
    "shifts",
    "steadiness",
    "untested",
    "withheld",
    "without_out",
]


def facts(summary: Summary) -> dict[str, str]:
    """What stands above the table, label by label; only what the run recorded."""
    run = summary.run
    host, work = run.get("host"), run.get("workload")
    lines: dict[str, str] = {}
    if host is not None:
        details = host["details"]
        place = f", {details['process'].replace('_', ' ')}" if "process" in details else ""
        lines["engine"] = f"{host['engine']} {host['version']}, {host['runner']}{place}"
        counted = host["device"] == "cpu" and "torch_threads" in details
        threads = f", {_count(details['torch_threads'], 'thread')}" if counted else ""
        ranks = "" if host["world_size"] == 1 else f", worker 0 of {host['world_size']}"
        if "substituted" in details:
            lines["not its own"] = "; ".join(details["substituted"])
        told = (("driver", "driver"), ("cuda", "CUDA"), ("compute_capability", "compute capability"))
        of_gpu = "".join(f", {name} {details[key]}" for key, name in told if details.get(key))
        lines["device"] = f"{host['device']}{of_gpu}{threads}{ranks}"
        about = [host["model"]]
        if "dtype" in details:
            since = f" since {details['dtype_since']}" if "dtype_since" in details else ""
            about.append(f"{details['dtype']}{since}")
        if details.get("block_size"):
            about.append(f"blocks of {', '.join(map(str, details['block_size']))}")
        lines["model"] = f"{run.get('engine_args', {}).get('model', '')} ({', '.join(about)})"
    if work is not None:
        steps = run.get("steps", {}).get("count", 0)
        hits = work.get("cached_tokens")
        cached = "" if hits is None else f" ({hits:,} found in the prefix cache)"
        lines["workload"] = (
            f"{_count(work['requests'], 'request')} at once, {work['prompt_tokens']:,} prompt{cached} and "
            f"{work['output_tokens']:,} output tokens, {_count(steps, 'step')}"
        )
    measured = [arm for arm in summary.arms.values() if arm.measured]
    if measured:
        protocol = run["config"]["protocol"]
        lines["launches" if is_by_launch(run) else "groups"] = engines(summary) or (
            f"{measured[0].passes}, each with {_count(len(measured), 'arm')} (one of them A/A: the baseline once more)"
            f"{', and as many bare' if summary.own_costs else ''}; arms change from {grain_of(protocol)} to "
            f"{grain_of(protocol)} in {'random' if protocol['order'] == 'random' else 'rotating'} order, in "
            f"{'one launch' if summary.launches == 1 else f'{summary.launches} launches'}{_stopped(summary)}"
        )
        steps_ms = [(arm.bare_step_ns or arm.step_ns) / arm.steps / 1e6 for arm in measured]
        shares = [arm.corrected_scope_ns / arm.step_ns * 100 for arm in measured]
        lines["a step"] = (
            f"{_range(steps_ms, '.3g')} ms in the {summary.timed_in}, of which {summary.scope} takes "
            f"{_range(shares, '.3g')} %, by arm"
        )
    lines |= _full_names(summary)
    lines |= machine_facts(run)
    return lines


def _full_names(summary: Summary) -> dict[str, str]:
    """The scope, and the functions that the report has short names for, with all of their modules."""
    config, lines = summary.run["config"], {}
    parts = scope_parts(config["scope"])
    if any("." in part for part in parts):
        found = ", found by the checking passes" if summary.run.get("scope_found") else ""
        counted = f"{len(parts)} functions" if len(parts) > 1 else "a function"
        lines["the scope"] = f"{counted}{found}: {', '.join(parts)}"
    others = [name for name, short in summary.short.items() if short != name and name not in parts]
    if others:
        lines["functions"] = ", ".join(others)
    return lines


def checked_when(run: dict[str, Any]) -> str:
    """When all arms were compared with native, behind "equal at every step"."""
    if is_by_launch(run):
        return CHECKED
    drawn = run.get("checked_after_groups", [])
    when = ["before measuring"]
    when += [f"after {_listed(drawn)} groups (drawn)"] if drawn else []
    when += ["after the last one"] if run.get("checked_at_end") else []
    return f"checked in passes of their own {_listed(when)}; the same tokens in every pass"


def _listed(items: Sequence[object]) -> str:
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def machine_facts(run: dict[str, Any]) -> dict[str, str]:
    """The machine, its selftest and the versions, label by label."""
    machine, versions = run["machine"], run["versions"]
    after = f" before, {run['load_average_at_end'][0]} after" if "load_average_at_end" in run else ""
    lines = {
        "machine": (
            f"{machine['cpu']}, {machine['usable_cores']} of {machine['cores']} cores, {machine['memory_gib']} GiB, "
            f"{machine['system']}, load {machine['load_average'][0]}{after}"
        )
    }
    if run.get("selftest"):
        lines["selftest"] = run["selftest"]
    lines["versions"] = ", ".join(
        [
            f"Python {machine['python']}",
            *(f"{name} {versions[name]}" for name in ("torch", "numpy") if name in versions),
        ]
    )
    return lines


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


def steadiness(summary: Summary) -> list[str]:
    """What changed during the run and does not invalidate verdicts: level shifts, outlying steps with their causes."""
    if not any(arm.measured for arm in summary.arms.values()):
        return []
    return [*shifts(summary), *untested(summary), *_no_shift(summary), *_outliers(summary)]


def shifts(summary: Summary) -> list[str]:
    """The level shifts that do not withhold verdicts."""
    harmless = {
        SHARE: "less than the margin",
        LEVEL: "both sides of a paired difference share it",
        MACHINE: "all arms share it, so it cancels in paired differences",
    }
    told = [shift for shift in summary.drift if not shift.withholds]
    if len({shift.launch for shift in told}) > 1:
        low, high = (limit(shift.size for shift in told) * 100 for limit in (min, max))
        return [
            f"The level shifted in {len({shift.launch for shift in told})} of {summary.launches} launches, by "
            f"{low:+.2g} to {high:+.2g} %. This does not withhold verdicts (summary.json lists each)."
        ]
    if is_by_launch(summary.run):
        harmless = dict.fromkeys(harmless, "it is in the spread between launches")
    return [f"{_shift(summary, shift)}: {harmless[shift.of]}." for shift in told]


def untested(summary: Summary) -> list[str]:
    """A line where there were too few passes to test for shifts."""
    watched = summary.run["config"]["protocol"]["drift"]
    if (
        summary.drift_tested
        or any(shift.of == watched for shift in summary.drift)
        or not any(arm.measured for arm in summary.arms.values())
    ):
        return []
    return ["There were too few passes to look for a shift of the level during the run."]


def withheld(summary: Summary) -> list[str]:
    """Why verdicts are withheld, if they are."""
    margin = summary.run["config"]["protocol"]["margin"] * 100
    baseline = summary.arms[summary.baseline]
    return [
        f"Verdicts are withheld. {_shift(summary, shift)} "
        f"({abs(shift.size) * baseline.corrected_scope_ns / baseline.steps / 1e3:.2g} us a step), "
        f"which is more than the margin of {margin:g} %. Run it again."
        for shift in summary.drift
        if shift.withholds
    ]


def _shift(summary: Summary, shift: LevelShift) -> str:
    scope = summary.scope
    what = {
        SHARE: f"{scope}, relative to the rest of the step,",
        LEVEL: scope,
        MACHINE: "the rest of the step",
    }[shift.of]
    where = f"pass {shift.first_pass} of {shift.passes}"
    if summary.launches > 1:
        where += f" of launch {shift.launch}"
    size = f"{abs(shift.size) * 100:.2g} % {'slower' if shift.size > 0 else 'faster'}"
    return f"From {where} on {what} was {size}"


def _no_shift(summary: Summary) -> list[str]:
    watched = summary.run["config"]["protocol"]["drift"]
    if not summary.drift_tested or any(shift.of == watched for shift in summary.drift):
        return []
    of = "the scope's share of the step" if watched == SHARE else "the scope"
    return [f"No shift of the level of {of} was found during the run (change-point test at 5 %)."]


def _outliers(summary: Summary) -> list[str]:
    found = summary.outliers
    if found is None:
        return []
    line = (
        f"{found.outlying:,} of {found.steps:,} steps were outlying, with {found.excess_share * 100:.2g} % of all time "
        "above the usual"
    )
    if not found.outlying:
        return [f"None of {found.steps:,} steps was outlying."]
    causes = [
        f"in {cause.steps:,} {cause.meaning} (so in {significant(cause.outlying_share * 100, 2)} % of the outlying "
        f"steps and {significant(cause.ordinary_share * 100, 2)} % of the others)"
        for cause in found.causes
        if cause.steps
    ]
    return [f"{line}: {'; '.join([*causes, f'{found.unexplained:,} without a cause that this process can see'])}."]


def _stopped(summary: Summary) -> str:
    stopped, until = summary.run.get("stopped"), summary.run["config"]["protocol"].get("until")
    if stopped is None or until is None:
        return ""
    asked = f"+-{until['half_width_us']:g} us a step"
    if stopped["narrow_enough"]:
        return f", until all intervals of the scope were within {asked}"
    return f", until the time was over: +-{stopped['half_width_us']:.2g} us a step was reached, {asked} was asked for"


def how_sure(summary: Summary) -> str:
    """One line: what the intervals and verdicts mean."""
    confidence = summary.run["config"]["protocol"]["confidence"] * 100
    planned = summary.run.get("looks", [])
    looks = f", {len(planned)} looks taken into account" if planned else ""
    differing = "" if summary.launches == 1 else ", each with another hash seed and environment size"
    return (
        f"{UNPAIRED if is_by_launch(summary.run) else PAIRED} All intervals and tests of this "
        f"report hold together at {confidence:g} % ({summary.confidence_each * 100:.4g} % each{looks}), "
        f"{reach(summary)}{differing}. Equivalent means within "
        f"{summary.margin_us:.3g} us a step, {summary.run['config']['protocol']['margin'] * 100:g} % of the scope."
    )


def reach(summary: Summary) -> str:
    """What the intervals of a run hold for: one process, or several launches."""
    return "in this process" if summary.launches == 1 else f"across {summary.launches} launches"


def command_line(summary: Summary) -> str:
    """How to run it again, into a new folder; what came from standard input is in the run's own folder."""
    arguments = without_out(summary.run["command"])
    if "ab" in arguments and "-" in arguments:
        arguments = ["python", "-m", "harness", "run", "config.yaml"]
    return one_line(shlex.join(arguments))


def without_out(command: Sequence[str]) -> list[str]:
    """A command line without its --out."""
    arguments = list(command)
    if "--out" in arguments:
        place = arguments.index("--out")
        del arguments[place : place + 2]
    return [argument for argument in arguments if not argument.startswith("--out=")]


def _range(values: list[float], spec: str) -> str:
    low, high = format(min(values), spec), format(max(values), spec)
    return low if low == high else f"{low} to {high}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
