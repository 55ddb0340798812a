"""A history's report: on a terminal, as Markdown, as a page, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import shlex
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup
from rich.text import Text

from harness.analysis.by_launch import took_turns
from harness.analysis.history import HOST, WHOLE
from harness.analysis.phase_parts import ARRIVAL
from harness.digits import duration, significant
from harness.report.command import without_out
from harness.report.markdown import markdown_table
from harness.report.table import Column, Table
from harness.report.templates import render
from harness.report.terminal import table_parts
from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from harness.analysis.history import Course, Summary

__all__ = ["courses_csv", "print_history", "render_history"]

SHOWN: Final = 10
"""Phases of a kind of turn that tables have, by their longest time."""
NAMES: Final = {WHOLE: "whole turn", HOST: "host (without the model)"}


def print_history(summary: Summary, console: Console) -> None:
    """Print what changed at which release, and the turn and its longest phases by release."""
    console.print(Text(_title(summary), style="bold"))
    console.print(Text(f"{_sentence(summary)}.", style="dim"))
    for line in found_lines(summary):
        console.print(Text(f"{line}."))
    for caption, table in _tables(summary, shown=5):
        console.print(Text(f"\n{caption}", style="dim"))
        for part in table_parts(table, console.width):
            console.print(part, crop=False)
    for note in _notes(summary):
        console.print(Text.assemble(("note:", "bold yellow"), f" {note}"))


def render_history(summary: Summary) -> dict[str, str]:
    """Every file that is made of a history, by its name in the folder; nothing is written."""
    from harness.report.history_plot import draw_history

    plots = draw_history(summary)
    tables = _tables(summary, SHOWN)
    context: dict[str, Any] = {
        "title": _title(summary),
        "sentence": _sentence(summary),
        "lines": found_lines(summary),
        "notes": _notes(summary),
        "command": one_line(shlex.join(without_out(summary.history.facts["command"]))),
    }
    return {
        "summary.json": json.dumps(_as_json(summary), indent=2, ensure_ascii=False) + "\n",
        **{f"plots/{plot.name}.svg": plot.standalone for plot in plots},
        "report.md": render(
            "history.md.j2", tables=[(caption, markdown_table(table)) for caption, table in tables],
            plots=[f"plots/{plot.name}.svg" for plot in plots], **context,
        ),
        "report.html": render(
            "history.html.j2", tables=tables,
            plots={plot.heading: Markup(plot.svg) for plot in plots},  # noqa: S704 (made by matplotlib)
            **context,
        ) + "\n",
    }  # fmt: skip


def courses_csv(summary: Summary) -> str:
    """A row a (kind of turn, phase, release)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "phase", "section", "release", "us", "low_us", "high_us", "calls", "changed"])
    for course in summary.courses:
        steps = {step.release for step in course.steps}
        for release, level in course.levels.items():
            if level is not None:
                limits = [significant(each, 5) for each in (level.estimate, level.low, level.high)]
                name = NAMES.get(course.phase, course.phase)
                row = [course.kind, name, course.section, release, *limits, course.calls[release], release in steps]
                writer.writerow(row)
    return text.getvalue()


def found_lines(summary: Summary) -> list[str]:
    """At which release a turn, or a phase of it, became slower or faster: a sentence each, turns first."""
    lines = []
    for course in summary.courses:
        for step in course.steps:
            how = "slower" if step.us.estimate > 0 else "faster"
            lines.append(
                f"{_of(course)} became {how} from {step.before} to {step.release}: {_signed(step.us.estimate)} us "
                f"({_limits(step.us.low, step.us.high)}), {_signed(100 * step.share, 2)} %"
            )
    turns = [course for course in summary.courses if course.phase in (WHOLE, HOST)]
    lines += [
        f"no release is shown to have changed {_of(course)}"
        for course in turns
        if course.tested and not course.steps and course.phase == HOST
    ]
    if turns and not any(course.tested for course in turns):
        lines.append(f"{summary.blocks} blocks are too few to look for changes")
    return lines


def _of(course: Course) -> str:
    unit = "request's arrival" if course.kind == ARRIVAL else f"turn of {course.kind}"
    if course.phase == WHOLE:
        return f"a {unit}"
    return f"the host time of a {unit}" if course.phase == HOST else f"{course.phase} in a {unit}"


def _tables(summary: Summary, shown: int) -> list[tuple[str, Table]]:
    """By kind of turn, the turn and its longest phases by release."""
    found = []
    for kind in reversed(summary.kinds):
        courses = [each for each in summary.courses if each.kind == kind]
        turn = [each for each in courses if each.phase in (WHOLE, HOST)]
        phases = [each for each in courses if each.phase not in (WHOLE, HOST)]
        unit = "a request, when it comes" if kind == ARRIVAL else f"a turn of {kind}"
        more = f"; {len(phases) - shown} more phases are in csv" if len(phases) > shown else ""
        beside = ", as against the other releases" if took_turns(summary.history.facts) else ""
        caption = f"us {unit} (95 % of each mean over launches{beside}; * where a change was found{more})"
        found.append((caption, _table([*turn, *phases[:shown]], summary)))
    return found


def _table(courses: Sequence[Course], summary: Summary) -> Table:
    releases = [release for release in summary.history.releases if any(release in each.levels for each in courses)]
    columns = [
        Column(NAMES.get(course.phase, course.phase), "", [_cell(course, release) for release in releases])
        for course in courses
    ]
    return Table("us", releases, columns, [], 0, "vLLM")


def _cell(course: Course, release: str) -> str:
    level = course.levels.get(release)
    if level is None:
        return "no such phase" if release not in course.calls else "one launch"
    mark = "*" if any(step.release == release for step in course.steps) else ""
    half = (level.high - level.low) / 2
    return f"{significant(level.estimate, 3)}{mark} +-{significant(half, 2)}"


def _title(summary: Summary) -> str:
    return str(summary.history.facts["config"].get("title") or summary.history.facts["config_file"])


def _sentence(summary: Summary) -> str:
    facts = summary.history.facts
    machine = facts["machine"]
    turns = "their engines side by side and by turns" if took_turns(facts) else "in drawn order"
    return (
        f"vLLM {summary.history.releases[0]} to {summary.history.releases[-1]}, {len(summary.history.releases)} "
        f"releases, {summary.blocks} launches of each, {turns}, in {duration(facts.get('seconds', 0.0))}; "
        f"{machine['cpu']}, {machine['usable_cores']} cores, Python {machine['python']}"
    )


def _notes(summary: Summary) -> list[str]:
    facts = summary.history.facts
    notes = [f"the history {facts['status']}: {facts['message']}"] if facts.get("message") else []
    notes += [
        f"{each['release']} is left out: {each['left_out']}" for each in facts["releases"] if each.get("left_out")
    ]
    lost = [each for each in facts["blocks"] if each.get("lost")]
    notes += [f"block {each['number']} is lost, with what it had measured: {each['lost']}" for each in lost[:5]]
    torches: dict[str, list[str]] = {}
    for each in facts["releases"]:
        torches.setdefault(each["torch"], []).append(each["release"])
    told = "; ".join(f"torch {torch}: {', '.join(releases)}" for torch, releases in torches.items())
    notes.append(f"a release comes with its torch, and a change can be of either: {told}")
    notes += [
        f"{release} has no whole turn and no host time, since its engine's turns could not be timed here: its phases "
        "are those of the model runner alone"
        for release in facts.get("runner_alone", [])
    ]
    notes += _moved(summary)
    return notes


def _moved(summary: Summary) -> list[str]:
    """Phases that are other functions in one release than in the release before, or that a release does not have."""
    functions = summary.history.facts.get("functions", {})
    told = []
    releases = [release for release in summary.history.releases if release in functions]
    for before, release in itertools.pairwise(releases):
        old, new = functions[before], functions[release]
        if gone := sorted(set(old) - set(new)):
            told.append(f"{release} has no phase {', '.join(gone)}, which {before} has")
        if added := sorted(set(new) - set(old)):
            told.append(f"{release} has {', '.join(added)}, which {before} has not")
        told += [
            f"{label} is {', '.join(new[label])} from {release} on, and was {', '.join(old[label])}"
            for label in sorted(set(old) & set(new))
            if old[label] != new[label]
        ]
    return told


def _as_json(summary: Summary) -> dict[str, Any]:
    def limits(level: Any) -> list[float] | None:
        if level is None or not math.isfinite(level.low):
            return None
        return [round(each, 3) for each in (level.estimate, level.low, level.high)]

    return {
        "schema": 1,
        "releases": summary.history.releases,
        "blocks": summary.blocks,
        "level": summary.level,
        "courses": [
            {
                "kind": course.kind,
                "phase": NAMES.get(course.phase, course.phase),
                "us": {release: limits(level) for release, level in course.levels.items()},
                "steps": [
                    {
                        "release": step.release,
                        "before": step.before,
                        "us": limits(step.us),
                        "share": round(step.share, 4),
                    }
                    for step in course.steps
                ],
            }
            for course in summary.courses
        ],
    }


def _signed(value: float, digits: int = 3) -> str:
    return f"{'+' if value > 0 else ''}{significant(value, digits)}"


def _limits(low: float, high: float) -> str:
    return f"{_signed(low)} to {_signed(high)}"
