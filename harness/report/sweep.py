"""A sweep's report: on a terminal, as Markdown, as a page, as JSON and as CSV."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from rich.text import Text

from harness.analysis.sweep import METRICS
from harness.records.folder import RunFolder
from harness.report.command import without_out
from harness.report.markdown import markdown_table
from harness.report.sweep_tables import crossover_lines, sentence, struck, sweep_tables
from harness.report.templates import render
from harness.report.terminal import table_parts
from harness.texts import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from harness.analysis.sweep import SweepSummary

__all__ = ["print_sweep", "render_sweep", "sweep_frame_csv", "write_sweep"]


def print_sweep(sweep: SweepSummary, console: Console) -> None:
    """Print what the sweep is, where the answer turns, and its tables."""
    console.print(Text(_title(sweep), style="bold"))
    console.print(Text(f"{sentence(sweep)}.", style="dim"))
    for arm, reason in struck(sweep):
        console.print(Text.assemble((f"{arm} is struck:", "bold red"), f" {reason}"))
    for line in crossover_lines(sweep):
        console.print(Text(f"{line}."))
    for caption, table in sweep_tables(sweep, compact=True):
        console.print(Text(f"\n{caption}", style="dim"))
        for part in table_parts(table, console.width):
            console.print(part, crop=False)
        for footnote in table.footnotes:
            console.print(Text(footnote, style="dim"))
    for note in sweep.notes:
        console.print(Text.assemble(("note:", "bold yellow"), f" {note}"))


def render_sweep(folder: Path, sweep: SweepSummary) -> dict[str, str]:
    """Every file that is made of a sweep, by its name in the folder; nothing is written."""
    from harness.report.sweep_plot import draw_sweep

    plots = draw_sweep(sweep)
    tables = sweep_tables(sweep)
    numbers = [point.number for point in sweep.points if (folder / "points" / f"{point.number:02d}").is_dir()]
    context: dict[str, Any] = {
        "title": _title(sweep),
        "sentence": sentence(sweep),
        "lines": crossover_lines(sweep),
        "struck": list(struck(sweep)),
        "notes": sweep.notes,
        "points": [f"points/{number:02d}/" for number in numbers],
        "command": _command(sweep),
    }
    return {
        "summary.json": json.dumps(sweep.as_json(), indent=2, ensure_ascii=False) + "\n",
        **{f"plots/{plot.name}.svg": plot.standalone for plot in plots},
        "report.md": render(
            "sweep.md.j2", tables=[(caption, markdown_table(table)) for caption, table in tables],
            plots=[f"plots/{plot.name}.svg" for plot in plots], **context,
        ),
        "report.html": render(
            "sweep.html.j2", tables=tables,
            plots={plot.heading: Markup(plot.svg) for plot in plots},  # noqa: S704 (made by matplotlib)
            **context,
        ) + "\n",
    }  # fmt: skip


def write_sweep(folder: Path, sweep: SweepSummary) -> None:
    """Make the sweep's files in its folder.

    Raises:
        RecordsError: it cannot be written.
    """
    RunFolder.existing(folder).write_texts(render_sweep(folder, sweep))


def sweep_frame_csv(sweep: SweepSummary) -> str:
    """A row a (point, arm, metric)."""
    import pandas as pd

    rows = [
        {
            **point.values, "arm": found.arm, "metric": found.metric, "baseline_us": point.baseline_us(found.metric),
            "us": found.per_step_us.estimate, "low_us": found.per_step_us.low, "high_us": found.per_step_us.high,
            "verdict": found.verdict,
        }
        for point in sweep.points
        for found in (point.summary.comparisons if point.summary is not None else ())
        if point.baseline_us(found.metric) is not None and found.metric in METRICS
    ]  # fmt: skip
    columns = [*sweep.axes, "arm", "metric", "baseline_us", "us", "low_us", "high_us", "verdict"]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False)


def _title(sweep: SweepSummary) -> str:
    return str(sweep.run["config"]["title"] or sweep.run["config_file"])


def _command(sweep: SweepSummary) -> str:
    """How to run it again, into a new folder."""
    return one_line(shlex.join(without_out(sweep.run["command"])))
