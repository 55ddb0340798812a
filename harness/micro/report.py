"""Reports of micro-benchmarks: on a terminal, as Markdown and as a page, from the run's folder alone."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from rich.text import Text

from harness.micro.claims import claims
from harness.micro.results import read_micro
from harness.micro.tables import build_micro_table
from harness.records.folder import RunFolder
from harness.report.facts import machine_facts
from harness.report.markdown import markdown_table
from harness.report.templates import render
from harness.report.terminal import table_parts

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from harness.micro.claims import Claim
    from harness.micro.results import Results
    from harness.report.plots import Plot
    from harness.report.table import Table

__all__ = ["print_micro", "render_micro_reports", "write_micro_reports"]


class _Section:
    """One benchmark as it is shown."""

    def __init__(self, results: Results) -> None:
        self.title = results.title
        self.device = results.device
        self.table: Table | None = build_micro_table(results) if results.rows else None
        self.lines = markdown_table(self.table) if self.table else ""
        self.claims: list[Claim] = claims(results)
        self._results = results
        missing = results.planned - len(results.rows)
        self.missing = f"{missing} of {results.planned} rows were not measured." if missing else ""

    @functools.cached_property
    def plot(self) -> Plot | None:
        """Drawn when asked for: the table on the terminal does not wait for it."""
        from harness.micro.plots import sweep_plot

        return sweep_plot(self._results)

    @property
    def svg(self) -> str:
        """The plot, for a page."""
        return Markup(self.plot.svg) if self.plot else ""  # noqa: S704 (made by matplotlib)


def write_micro_reports(folder: Path) -> None:
    """Make report.md, report.html and the plots from micro.json.

    Raises:
        RecordsError: the folder holds no micro-benchmarks, or cannot be written.
    """
    RunFolder.existing(folder).write_texts(render_micro_reports(folder))


def render_micro_reports(folder: Path) -> dict[str, str]:
    """Every file that is made from micro.json, by its name in the folder; nothing is written.

    Raises:
        RecordsError: the folder holds no micro-benchmarks.
    """
    run, results = read_micro(folder)
    sections = [_Section(each) for each in results]
    plots = [section.plot for section in sections if section.plot]
    texts = {f"plots/{plot.name}.svg": plot.standalone for plot in plots}
    content: dict[str, Any] = {
        "title": run["title"], "facts": machine_facts(run), "sections": sections, "message": run.get("message", ""),
        "command": run["again"], "files": list(texts),
    }  # fmt: skip
    texts["report.md"] = render("micro_report.md.j2", **content)
    texts["report.html"] = render("micro_report.html.j2", **content) + "\n"
    return texts


def print_micro(folder: Path, console: Console) -> None:
    """Print every table, and the verdict on each of the thread's claims."""
    run, results = read_micro(folder)
    console.print(Text(run["title"], style="bold"))
    for label, text in machine_facts(run).items():
        console.print(Text(f"{label:<9} {text}"))
    for each in results:
        section = _Section(each)
        console.print(Text(f"\n{section.title} ({section.device})", style="bold"))
        if section.table is not None:
            for part in table_parts(section.table, console.width):
                console.print(part, crop=False)
            for footnote in section.table.footnotes:
                console.print(Text(footnote, style="dim"))
        for claim in section.claims:
            console.print(Text(f"{claim.verdict}: ", style="bold") + Text(str(claim)))
        if section.missing:
            console.print(Text(section.missing, style="bold yellow"))
