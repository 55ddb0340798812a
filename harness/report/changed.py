"""What was changed: of each arm what it puts into the engine, how equality was shown, and what switching costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from harness.analysis.by_launch import is_by_launch
from harness.analysis.grouping import grain_of
from harness.analysis.metrics import SCOPE
from harness.analysis.names import listed
from harness.analysis.own import calls_of, never_called, own_functions
from harness.conditions import with_condition
from harness.digits import significant
from harness.records.agreement import answered
from harness.report.launch_grain import not_compared
from harness.report.own_tables import build_calls_table, build_kinds_table, build_own_table
from harness.report.table import DAGGER
from harness.seams import NATIVE
from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.analysis.summary import Summary
    from harness.report.table import Table

__all__ = ["Changed", "applied_to", "changed", "changed_arms", "equality_lines", "in_a_line", "what_it_is"]

MOST: Final = 40
"""Names of a kind that are shown, at most."""
REASONS: Final = 3
"""Reasons for launch grain that are shown, at most."""
EXACT: Final = "exact"
NEVER_SPECIALISES: Final = (3, 13)
"""From this Python on a function whose code was set never specialises again."""


class Entry(NamedTuple):
    """A label with what is said of it; `loud` where a reader must not miss it."""

    label: str
    text: str
    loud: bool = False


@dataclass(frozen=True)
class Changed:
    """The section: of each arm its entries; then lines on all of them, and tables with their captions."""

    arms: dict[str, list[Entry]]
    lines: list[str]
    tables: list[tuple[str, Table]] = field(default_factory=list)


def changed_arms(summary: Summary) -> list[str]:
    """The arms that are a patch, a tree, or a function in place of one that the config names."""
    run = summary.run
    known = {*run.get("changes", {}), *(own_functions(run) if not run["config"].get("seam") else ())}
    return [arm["name"] for arm in run["config"]["arms"] if arm["name"] in known and not arm.get("ceiling")]


def changed(summary: Summary) -> Changed | None:
    """The section; None where no arm is a change."""
    arms = changed_arms(summary)
    if not arms:
        return None
    tables = [
        ("Calls of the changed functions in one pass", build_calls_table(summary, arms)),
        ("The change's own functions, the scope and the whole " + summary.step_word, build_own_table(summary, arms)),
        ("Steps of two kinds, the difference of " + summary.scope, build_kinds_table(summary)),
    ]
    return Changed(
        {name: _entries(summary, name) for name in arms},
        [_grain(summary), *equality_lines(summary), *_mechanism(summary, arms), *_one_kind(summary)],
        [(caption, table) for caption, table in tables if table is not None],
    )


def in_a_line(summary: Summary) -> str:
    """The section in one line, for a screen; empty where there is none."""
    arms = changed_arms(summary)
    if not arms:
        return ""
    functions = {name for names in own_functions(summary.run).values() for name in names}
    parts = [f"{len(functions)} function{'s' * (len(functions) != 1)} swapped"] if functions else []
    if leaves := summary.run.get("checked", {}).get("leaves"):
        parts.append(f"{leaves:,} leaves a pass compared")
    return f"{', '.join(parts)}; see the report" if parts else ""


def what_it_is(summary: Summary, name: str) -> str:
    """The file of an arm, with its digest and its title."""
    change = summary.run.get("changes", {}).get(name)
    if change is None:
        arm = next(arm for arm in summary.run["config"]["arms"] if arm["name"] == name)
        digest = summary.run.get("arm_sources", {}).get(name, "")
        return f"{arm['reference']}{f' (sha256 {digest})' if digest else ''}"
    digest = f" (sha256 {change['sha256']})" if change.get("sha256") else ""
    title = f', "{one_line(change["title"], 200)}"' if change.get("title") else ""
    only = f", of it only {_named(change['only'], {})}" if change.get("only") else ""
    reverted = ", reverted: what is installed has it" if change.get("revert") else ""
    return f"{change['file']}{digest}{title}{reverted}{only}"


def applied_to(summary: Summary, name: str) -> str:
    """How it goes with what is installed; empty where that was not recorded."""
    change, host = summary.run.get("changes", {}).get(name, {}), summary.run.get("host", {})
    installed = f"{host['engine']} {host['version']}" if host else "what is installed"
    if own := summary.run.get("environments", {}).get(name):
        installed = f"vllm {own['vllm']}"
    base = change.get("base", "")
    if base == EXACT:
        return f"applies exactly to {installed}"
    return f"to {installed}: {base}" if base else ""


def _entries(summary: Summary, name: str) -> list[Entry]:
    run, short = summary.run, summary.short
    change, put = run.get("changes", {}).get(name, {}), run.get("switch", {}).get("arms", {}).get(name, {})
    swapped = own_functions(run).get(name, [])
    through = put.get("called_through", [])
    silent = never_called(summary.run, name)
    found = [
        Entry(change.get("kind", "replacement"), what_it_is(summary, name)),
        Entry("base", applied_to(summary, name)),
        Entry("in the engine from its start" if is_by_launch(run) else "swapped", _named(swapped, short)),
        Entry("called in", _called_in(run, swapped, short)),
        Entry("values switched", _named(put.get("values", []), short)),
        Entry("added", _named(put.get("added", []), short)),
        Entry("found in its caches", _from_caches(run, name, short)),
        Entry("called through a trampoline", _named(through, short)),
        Entry("not switched", _with_why(put.get("left", []), short)),
        Entry("cannot be switched in a living engine", _with_why(change.get("refused", []), short)),
        Entry("left out", _named(change.get("left_out", []), {})),
        Entry("needs a build", _named(change.get("needs_build", []), {})),
        Entry("NEVER CALLED in this workload", _silent(silent, short), loud=True),
    ]
    return [entry for entry in found if entry.text]


def _named(names: Iterable[str], short: Mapping[str, str]) -> str:
    return listed([short.get(name, name) for name in names], MOST)


def _called_in(run: Mapping[str, Any], names: Iterable[str], short: Mapping[str, str]) -> str:
    """The phases of a turn that functions were called in, in one pass; what lies in none is a phase of its own."""
    found = {name: run.get("called_in", {}).get(name, {}) for name in names}
    told = [
        f"{short.get(name, name)} in {phase.rpartition('.')[2]}"
        for name, phases in found.items()
        for phase in phases
        if phase and phase != name
    ]
    return listed(told, MOST)


def _from_caches(run: Mapping[str, Any], arm: str, short: Mapping[str, str]) -> str:
    """How often each cache of an arm had the answer; in measured passes it is filled in this arm's steps alone."""
    found = {name.removeprefix(f"{arm}: "): count for name, count in run.get("cache_hits", {}).get(arm, {}).items()}
    told = listed([f"{short.get(name, name)} {count:,}" for name, count in found.items()], MOST)
    return f"{told}, in a pass of this arm alone; caches are emptied before each pass" if told else ""


def _silent(names: Iterable[str], short: Mapping[str, str]) -> str:
    return listed([with_condition(name, short.get(name, name)) for name in names], MOST)


def _with_why(entries: Iterable[Mapping[str, Any]], short: Mapping[str, str]) -> str:
    told = [f"{short.get(e['name'], e['name'])}{f' ({why})' if (why := e.get('why', '')) else ''}" for e in entries]
    return listed(told, MOST)


def _grain(summary: Summary) -> str:
    run = summary.run
    grain = grain_of(run["config"]["protocol"])
    refused = {
        entry["name"]: entry.get("why", "")
        for change in run.get("changes", {}).values()
        for entry in change.get("refused", [])
    }
    if grain != "launch":
        why = "everything that the arms change can be switched in the living engine"
        why = "the config asks for it" if run["config"]["protocol"]["grain"] == "pass" else why
        return f"Arms change from {grain} to {grain}: {why}."
    of_text = [f"{summary.short.get(name, name)} ({why})" if why else name for name, why in refused.items()]
    in_engine = list((run.get("grain") or {}).get("why", []))  # only the living engine told these
    told = listed(of_text or in_engine, REASONS)
    return f"Arms change from launch to launch: {f'not to be switched: {told}' if told else 'the config asks for it'}."


def equality_lines(summary: Summary) -> list[str]:
    """How it was shown that arms do what native does, grade by grade, and what was not compared."""
    run = summary.run
    checked, config = run.get("checked", {}), run["config"]
    equality = config.get("equality") or {}
    grades = []
    if leaves := checked.get("leaves"):
        how = "each arm in engines of its own" if is_by_launch(run) else "each arm alone and all mixed"
        grades.append(f"(1) the fingerprint of every step, {leaves:,} leaves a pass, {how}")
    if config.get("swap"):
        grades.append(f"(2) arguments and results of each call of {summary.short.get(config['swap'], config['swap'])}")
    grades.append(f"(3) the {answered(config.get('workload', {}))} of every pass")
    lines = [f"Compared with {NATIVE}: {'; '.join(grades)}."]
    left_out = (
        ("native itself does not repeat it", checked.get("not_repeated", [])),
        ("harness looks no further there", checked.get("cut", [])),
        ("the config ignores it", checked.get("ignored", []) or equality.get("ignore", [])),
        ("it differs by design", equality.get("by_design", [])),
        *not_compared(run),
    )
    told = [f"{listed(fields, 10)} ({why})" for why, fields in left_out if fields]
    lines.append(f"Not compared: {'; '.join(told)}." if told else "Nothing was left out of it.")
    for arm, threads in run.get("on_other_threads", {}).items():
        names = listed([summary.short.get(name, name) for name in threads], 5)
        lines.append(f"Under {arm} other threads called {names}: those calls are in no figure.")
    return lines


def _mechanism(summary: Summary, arms: Iterable[str]) -> list[str]:
    """What switching costs, beside what it is to show."""
    switch = summary.run.get("switch", {})
    lines = []
    if put_ns := switch.get("put_ns"):
        lines.append(
            f"All functions are put in place before each step, in {put_ns / 1e3:.3g} us, in every arm alike and "
            "outside of the step's clock."
        )
    through, a_call_ns = switch.get("trampolines", []), switch.get("trampoline_ns", 0.0)
    for name in arms if through and a_call_ns else ():
        calls, arm = calls_of(summary.run, name), summary.arms[name]
        found = summary.difference(name, SCOPE)
        if calls is None or not arm.measured or found is None:
            continue
        counted = sum(calls.get(function, 0) for function in through)
        cost_us = counted * a_call_ns / arm.steps / 1e3
        effect_us = abs(found.per_step_us.estimate)
        mark, note = (DAGGER, f", which is more than the difference: {DAGGER}") if cost_us > effect_us else ("", "")
        lines.append(
            f"{name}: {counted:,} calls a pass through a trampoline of {a_call_ns:.0f} ns are "
            f"{significant(cost_us, 2)}{mark} us a step, in every arm alike, beside a difference of "
            f"{significant(effect_us, 2)} us{note}."
        )
    if switch.get("functions"):
        lines.append(_python(summary.run["machine"]["python"]))
    return [line for line in lines if line]


def _python(version: str) -> str:
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(parts) == 2 and parts >= NEVER_SPECIALISES:
        return f"Python {version}: from 3.13 on a function whose code was set never specialises again; so in every arm."
    return ""


def _one_kind(summary: Summary) -> list[str]:
    names = [found.arm for found in summary.populations if not found.kinds]
    if not names:
        return []
    return [f"Steps of one kind only for {listed(names, 3)}: nearly every step calls the changed functions as often."]
