"""The report of a run whose arms are of both grains: a table a grain, kept apart, and where each has its own report."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.text import Text

from harness.analysis.by_launch import is_by_launch
from harness.analysis.names import listed
from harness.report import render_reports
from harness.report.arms_table import build_arms_table
from harness.report.command import without_out
from harness.report.markdown import markdown_table
from harness.report.remarks import how_sure
from harness.report.screen import arms_on_screen
from harness.report.templates import render
from harness.report.terminal import print_summary
from harness.report.verdict import struck, verdict_sentence
from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from harness.analysis.grains import GrainsSummary
    from harness.analysis.summary import Summary
    from harness.report.table import Table

__all__ = ["grains_frame_csv", "print_grains", "render_grains"]

MOST_NAMED: Final = 10
WITHIN: Final = (
    "Switched in one engine (step grain)",
    "Arms take turns in the same engine, so that intervals are fine, and hold for that engine.",
)
BETWEEN: Final = (
    "Each arm in engines of its own (launch grain)",
    "Each engine has one arm in it. Intervals are between launches, so what differs from engine to engine is in them.",
)


class Shown(NamedTuple):
    """What the report shows of one grain.

    Attributes:
        grain: its folder's name.
        heading, meaning: what it is, and what its intervals mean.
        verdict: in a sentence; empty where there is none.
        table: a row an arm; None where none was measured.
        below: lines below the table.
        struck: by arm, why.
        notes: what a reader has to know.
    """

    grain: str
    heading: str
    meaning: str
    verdict: str
    table: Table | None
    below: list[str]
    struck: dict[str, str]
    notes: list[str]


def _shown(grain: str, summary: Summary) -> Shown:
    heading, meaning = BETWEEN if is_by_launch(summary.run) else WITHIN
    table = build_arms_table(summary)
    below = [*table.footnotes, how_sure(summary, "table")] if table and summary.comparisons else []
    return Shown(grain, heading, meaning, verdict_sentence(summary), table, below, struck(summary), summary.notes)


def _sentence(whole: GrainsSummary) -> str:
    """What there is, in a few words, and how sure."""
    confidence = whole.run["config"]["protocol"]["confidence"] * 100
    named = {entry["grain"]: listed(entry["arms"], MOST_NAMED) for entry in whole.run["grains"]}
    return (
        f"Arms of both grains: {named.get('step', 'none')} switched in one engine, {named.get('launch', 'none')} in "
        "engines started in turn. These are two runs: compare within a table, and not between them. All intervals of "
        f"both hold together at {confidence:g} %."
    )


def _title(whole: GrainsSummary) -> str:
    return str(whole.run["config"]["title"] or whole.run["config_file"])


def print_grains(whole: GrainsSummary, console: Console, full: bool = False) -> None:
    """Print what the run is, and a table a grain; with `full` all that each grain's own report says."""
    console.print(Text(_title(whole), style="bold"))
    console.print(Text(_sentence(whole), style="dim"))
    for each in (_shown(grain, summary) for grain, summary in whole.parts.items()):
        console.print(Text(f"\n{each.heading}", style="bold"))
        if full:
            print_summary(whole.parts[each.grain], console)
            continue
        console.print(Text(each.verdict or "There is no verdict."))
        console.print()
        for part in arms_on_screen(whole.parts[each.grain], console.width):
            console.print(part, crop=False, highlight=False)
        for arm, reason in each.struck.items():
            console.print(Text.assemble((f"{arm} is struck:", "bold red"), f" {reason}"))
        console.print(Text(each.meaning, style="dim"))
        if each.notes:
            many = "1 note is" if len(each.notes) == 1 else f"{len(each.notes)} notes are"
            console.print(Text(f"{many} in {each.grain}/report.md", style="yellow"))
    for note in whole.notes:
        console.print(Text.assemble(("note:", "bold yellow"), f" {note}"))


def render_grains(folder: Path, whole: GrainsSummary, alone: Mapping[str, Summary]) -> dict[str, str]:
    """Every file that is made of such a run, by its name in the folder; nothing is written.

    Args:
        folder: of the run.
        whole: what the report shows.
        alone: by grain, the summary of its run as that of a run of its own, for its own report.
    """
    shown = [_shown(grain, summary) for grain, summary in whole.parts.items()]
    context: dict[str, Any] = {
        "title": _title(whole),
        "sentence": _sentence(whole),
        "notes": whole.notes,
        "command": one_line(shlex.join(without_out(whole.run["command"]))),
    }
    texts = {
        f"{grain}/{name}": text
        for grain, summary in alone.items()
        for name, text in render_reports(folder / grain, summary).items()
    }
    tables = {each.grain: markdown_table(each.table) for each in shown if each.table is not None}
    return {
        **texts,
        "summary.json": json.dumps(whole.as_json(), indent=2, ensure_ascii=False) + "\n",
        "report.md": render("grains.md.j2", shown=shown, tables=tables, **context),
        "report.html": render("grains.html.j2", shown=shown, **context) + "\n",
    }


def grains_frame_csv(whole: GrainsSummary) -> str:
    """A row a difference, with its grain."""
    import pandas as pd

    from harness.analysis.frames import comparisons_frame

    frames = [comparisons_frame(summary).assign(grain=grain) for grain, summary in whole.parts.items()]
    return pd.concat(frames).to_csv(index=False) if frames else ""
