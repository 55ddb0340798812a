"""For the pull request: what reviewers of vLLM ask of a change, answered item by item, to be pasted as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.analysis.grouping import grain_of
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.names import listed
from harness.analysis.own import calls_of, never_called, own_functions
from harness.digits import significant
from harness.report.changed import applied_to, changed_arms, equality_lines, what_it_is
from harness.report.command import command_line
from harness.report.facts import machine_facts
from harness.report.launch_grain import engines
from harness.report.remarks import checked_when, reach
from harness.report.table import count, format_estimate, format_interval, of_time
from harness.seams import AA
from harness.texts import Markdown, code_span, markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.analysis.summary import Summary

__all__ = ["HEADING", "LINES", "pull_request"]

HEADING: Final = "For the pull request"
LINES: Final = 25
"""Lines of the part, at most, its heading included."""
ARMS: Final = 3
"""Arms that it tells of; of more, these are the first ones."""
FUNCTIONS: Final = 4
SHAPES: Final = 3
SYNCHRONISATIONS: Final = "scope_synchronisations"


def pull_request(summary: Summary) -> list[Markdown]:
    """The lines below the heading; none where no arm is a change."""
    changes = [name for name in changed_arms(summary) if name != summary.baseline]
    if not changes:
        return []
    measured = [name for name in changes if summary.arms[name].measured]
    arms = (measured or changes)[:ARMS]
    lines: list[str] = [_item("Change", markdown(_of_arms(summary, arms, lambda name: _change(summary, name))))]
    if wrong := [name for name in changes if summary.arms[name].equal is False]:
        lines.append(_item("Not equal to native, so without figures", markdown(listed(wrong, ARMS))))
    if len(changes) > len(arms) + len([name for name in wrong if name not in arms]):
        lines.append(_item("More arms", markdown("in the tables of the report")))
    for title, text in _figures(summary, arms if measured else []).items():
        lines.append(_item(title, markdown(text)))
    lines.append(_item("Bit-identical, and by which grade", markdown(_equality(summary, arms))))
    machine = machine_facts(summary.run)
    host = summary.run.get("host")
    engine = f"{host['engine']} {host['version']}, {host['runner']}, {host['device']}; " if host else ""
    lines.append(_item("Machine and versions", markdown(f"{engine}{machine['machine']}; {machine['versions']}")))
    lines.append(_item("Again", code_span(command_line(summary))))
    return [Markdown(line) for line in lines]


def _item(title: str, text: Markdown) -> str:
    return f"- **{title}:** {text}"


def _of_arms(summary: Summary, arms: Sequence[str], say: Callable[[str], str]) -> str:
    """What is said of each arm, behind its name where there are several."""
    told = {name: said for name in arms if (said := say(name))}
    if len(arms) == 1:
        return "".join(told.values())
    return "; ".join(f"[{name}] {said}" for name, said in told.items())


def _change(summary: Summary, name: str) -> str:
    base = applied_to(summary, name)
    return f"{what_it_is(summary, name)}{f', {base}' if base else ''}"


def _figures(summary: Summary, arms: Sequence[str]) -> dict[str, str]:
    """The items that need something measured, by their titles; what has no answer is left out."""
    if not arms:
        return {}
    return {
        title: text
        for title, text in {
            f"End to end, of the whole {summary.step_word} of the {summary.timed_in}": _of_arms(
                summary, arms, lambda name: _end_to_end(summary, name)
            ),
            f"Where the change lies, in {summary.scope_in_words}": _of_arms(
                summary, arms, lambda name: _in_scope(summary, name)
            ),
            "Number of runs and spread": _spread(summary),
            "New path taken": _of_arms(summary, arms, lambda name: _taken(summary, name)),
            "New waits for the device": _waits(summary, arms),
            "Batch shapes, in the scope": _of_arms(summary, arms, lambda name: _shapes(summary, name)),
        }.items()
        if text
    }


def _end_to_end(summary: Summary, name: str) -> str:
    found, base = summary.difference(name, STEP), summary.arms[summary.baseline]
    if found is None or not base.bare_step_ns:
        return "not measured (no bare steps)"
    usual_us = base.bare_step_ns / base.steps / 1e3
    share = format_estimate(found.per_step_us.scaled(100 / usual_us)).strip("()")
    rates = {each.arm: each.tokens_per_s for each in summary.throughput}
    rate = ""
    if name in rates and summary.baseline in rates:
        rate = f"; {rates[summary.baseline]:,.0f} → {rates[name]:,.0f} output tokens/s of {of_time(summary)}"
    return f"{found.verdict}, {format_interval(found.per_step_us)} us of {significant(usual_us, 4)} ({share} %){rate}"


def _in_scope(summary: Summary, name: str) -> str:
    found, base = summary.difference(name, SCOPE), summary.arms[summary.baseline]
    if found is None or base.corrected_scope_ns <= 0:
        return ""
    usual_us = base.corrected_scope_ns / base.steps / 1e3
    share = format_estimate(found.per_step_us.scaled(100 / usual_us)).strip("()")
    own = [probe for probe in summary.probes if probe in own_functions(summary.run).get(name, [])]
    before, after = (
        sum(arm.probes[probe].corrected_self_ns for probe in own) / arm.steps / 1e3
        for arm in (base, summary.arms[name])
    )
    of_own = f"; the changed functions themselves {significant(before, 3)} → {significant(after, 3)} us" if own else ""
    return f"{found.verdict}, {format_interval(found.per_step_us)} us of {significant(usual_us, 4)} ({share} %){of_own}"


def _spread(summary: Summary) -> str:
    protocol, base = summary.run["config"]["protocol"], summary.arms[summary.baseline]
    grain = grain_of(protocol)
    launches = "one launch" if summary.launches == 1 else f"{summary.launches} launches"
    floors = [
        f"{format_interval(found.per_step_us)} us in the {'scope' if metric == SCOPE else summary.step_word}"
        for metric in (SCOPE, STEP)
        if (found := summary.difference(AA, metric)) is not None
    ]
    floor = f"; {summary.baseline} against itself (A/A) {' and '.join(floors)}" if floors else ""
    runs = engines(summary) or (
        f"{base.passes} groups of {base.steps} steps in {launches}, arms change from {grain} to {grain} in "
        f"{protocol['order']} order"
    )
    return f"{runs}; intervals hold together at {protocol['confidence'] * 100:g} %, {reach(summary)}{floor}"


def _taken(summary: Summary, name: str) -> str:
    calls, own = calls_of(summary.run, name), own_functions(summary.run).get(name, [])
    if calls is None or not own:
        return ""
    called = [f"{summary.short.get(each, each)} {count(float(calls[each]))} times" for each in own if calls.get(each)]
    silent = [summary.short.get(each, each) for each in never_called(summary.run, name)]
    steps = summary.run.get("steps", {}).get("count", 0)
    told = [f"{listed(called, FUNCTIONS)} in a pass of {steps:,} steps"] if called else []
    told += [f"NEVER CALLED: {listed(silent, FUNCTIONS)}"] if silent else []
    return ", ".join(told)


def _waits(summary: Summary, arms: Sequence[str]) -> str:
    if summary.run.get("host", {}).get("device") == "cpu":
        return "not seen on a CPU"
    base = summary.counters.get(summary.baseline, {}).get(SYNCHRONISATIONS)
    if base is None:
        return "not counted"

    def of_arm(name: str) -> str:
        found = summary.counters.get(name, {}).get(SYNCHRONISATIONS)
        if found is None:
            return "not counted"
        more = "none" if found <= base else "MORE"
        return f"{more}, {count(base)} → {count(found)} a step in the scope"

    return _of_arms(summary, arms, of_arm)


def _shapes(summary: Summary, name: str) -> str:
    found = [each for each in summary.shapes if each.arm == name]
    if not found:
        return "all steps have one shape" if not summary.shapes else ""
    told = []
    for word, verdict in (("wins in", "faster"), ("loses in", "slower"), ("equivalent in", "equivalent")):
        of_word = [each for each in found if each.verdict == verdict]
        shapes = [f"{_shape(each.shape)} ({format_interval(each.per_step_us)} us)" for each in of_word]
        told += [f"{word} {listed(shapes, SHAPES)}"] if shapes else []
    if open_ := [_shape(each.shape) for each in found if each.verdict in ("not resolved", "withheld")]:
        told.append(f"{'no difference is resolved in' if told else 'none is resolved, in'} {listed(open_, SHAPES)}")
    return "; ".join(told)


def _shape(shape: str) -> str:
    """`decode of 5 to 12 tokens`, since commas part several of them."""
    return shape.replace(", ", " of ", 1)


def _equality(summary: Summary, arms: Sequence[str]) -> str:
    equal = [name for name in arms if summary.arms[name].equal]
    if not equal:
        return "not shown"
    who = "yes" if len(arms) == 1 else listed(equal, ARMS)
    return f"{who}, {checked_when(summary.run)}. {' '.join(equality_lines(summary))}"
