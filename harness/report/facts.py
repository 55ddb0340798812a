"""The lines above every table: what was measured, and on what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.analysis.by_launch import is_by_launch
from harness.analysis.grouping import grain_of
from harness.analysis.names import beside_turns, is_turn, listed, scope_parts
from harness.report.launch_grain import engines

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

__all__ = ["facts", "machine_facts"]


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
        lines["launches" if is_by_launch(run) else "groups"] = _engines(summary) or (
            f"{measured[0].passes}, each with {_count(len(measured), 'arm')} (one of them A/A: the baseline once more)"
            f"{', and as many bare' if summary.own_costs else ''}; arms change from {grain_of(protocol)} to "
            f"{grain_of(protocol)} in {'random' if protocol['order'] == 'random' else 'rotating'} order, in "
            f"{'one launch' if summary.launches == 1 else f'{summary.launches} launches'}{_stopped(summary)}"
        )
        steps_ms = [(arm.bare_step_ns or arm.step_ns) / arm.steps / 1e6 for arm in measured]
        shares = [arm.corrected_scope_ns / arm.step_ns * 100 for arm in measured]
        beside = beside_turns(run["config"]["scope"]) if summary.turns else []
        lies = f" ({listed(beside, len(beside))} lies beside the turn, and not in it)" if beside else ""
        takes = "beside it" if beside else "of which"
        of_scope = (
            f"{takes} {summary.scope} takes {_range(shares, '.3g')} %{' of that' if beside else ''}, by arm{lies}"
        )
        if summary.turns and is_turn(run["config"]["scope"]):
            of_scope = "which is the scope as well, by arm"
        lines["a step"] = f"{_range(steps_ms, '.3g')} ms in the {summary.timed_in}, {of_scope}"
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


def _engines(summary: Summary) -> str:
    """At launch grain the engines, and when no more were started; else empty."""
    told = engines(summary)
    return f"{told}{_stopped(summary)}" if told else ""


def _stopped(summary: Summary) -> str:
    stopped, until = summary.run.get("stopped"), summary.run["config"]["protocol"].get("until")
    if stopped is None or until is None:
        return ""
    asked = f"+-{until['half_width_us']:g} us a step"
    if stopped["narrow_enough"]:
        return f", until all intervals of the scope were within {asked}"
    return f", until the time was over: +-{stopped['half_width_us']:.2g} us a step was reached, {asked} was asked for"


def _range(values: list[float], spec: str) -> str:
    low, high = format(min(values), spec), format(max(values), spec)
    return low if low == high else f"{low} to {high}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
