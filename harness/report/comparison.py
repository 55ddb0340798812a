"""A comparison of runs: on a terminal, as Markdown, HTML, JSON and CSV."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from harness.analysis.metrics import SCOPE, STEP
from harness.report.console import make_console
from harness.report.markdown import markdown_table
from harness.report.table import Column, Table, format_interval
from harness.report.templates import render
from harness.report.terminal import whole_table

if TYPE_CHECKING:
    from harness.analysis.compare import Row, RunComparison

__all__ = ["FORMATS", "render_comparison"]

FORMATS = ("terminal", "markdown", "html", "json", "csv")


def render_comparison(comparison: RunComparison, shape: str, width: int = 100) -> str:
    """The comparison as text in one of `FORMATS`; `width` is a terminal's."""
    if shape == "json":
        return json.dumps(comparison.as_json(), indent=2, ensure_ascii=False) + "\n"
    if shape == "csv":
        return _csv(comparison)
    tables = [differences_table(comparison), *figures_tables(comparison)]
    context: dict[str, Any] = {
        "title": " against ".join([", ".join(comparison.names[1:]), comparison.names[0]]),
        "same": not comparison.differences,
        "refusals": comparison.refusals,
        "how_sure": _how_sure(comparison),
    }
    if shape == "terminal":
        text = io.StringIO()
        console = make_console(text, width=width)
        console.print(Text(context["title"], style="bold"))
        if not comparison.differences:
            console.print("Nothing that the runs recorded differs between them.")
        for table in filter(None, tables):
            console.print(whole_table(table), crop=False)
        for line in (*comparison.refusals, _how_sure(comparison)):
            console.print(line, highlight=False)
        return text.getvalue()
    shown = [(table, markdown_table(table)) for table in tables if table is not None]
    if shape == "markdown":
        return render("compare.md.j2", tables=shown, **context)
    return render("compare.html.j2", tables=shown, **context) + "\n"


def differences_table(comparison: RunComparison) -> Table | None:
    """What differs between the runs; None where nothing does."""
    found = comparison.differences
    if not found:
        return None
    columns = [
        Column(name, "", [_short(each.values[index]) for each in found]) for index, name in enumerate(comparison.names)
    ]
    return Table("", [f"{each.category}: {each.key}" for each in found], columns, [], 0, corner="what differs")


def figures_tables(comparison: RunComparison) -> list[Table]:
    """For each run but the first: every arm's metrics in both, and the difference."""
    tables = []
    first = comparison.names[0]
    for name in comparison.names[1:]:
        rows = [row for row in comparison.rows if row.run == name]
        if not rows:
            continue
        titles = {SCOPE: "the scope", STEP: "whole step, bare"}
        columns = [
            Column(first, "us a step", [f"{row.first_us:.2f}" for row in rows]),
            Column(name, "us a step", [f"{row.other_us:.2f}" for row in rows]),
            Column("difference", "us a step", [_difference(row) for row in rows], difference=True),
            Column(name, "is", [row.verdict for row in rows], difference=True),
        ]
        labels = [f"{row.arm}: {titles.get(row.metric, row.metric)}" for row in rows]
        tables.append(Table("us", labels, columns, [], 0, corner="arm: API"))
    return tables


def _difference(row: Row) -> str:
    if row.difference_us is None:
        return f"{row.other_us - row.first_us:+.2f}"
    return format_interval(row.difference_us)


def _how_sure(comparison: RunComparison) -> str:
    launches = ", ".join(f"{name}: {count}" for name, count in zip(comparison.names, comparison.launches, strict=True))
    if all(row.difference_us is None for row in comparison.rows):
        return f"Launches: {launches}. There are no intervals, so the figures are shown without verdicts."
    return (
        f"Launches: {launches}. Intervals are Welch's on the launches' own figures, each at "
        f"{comparison.confidence_each * 100:.4g} % so that all hold together; equivalent means within "
        f"{comparison.margin * 100:g} % of the arm's scope."
    )


def _csv(comparison: RunComparison) -> str:
    import pandas as pd

    rows = [
        {
            "run": row.run, "against": comparison.names[0], "arm": row.arm, "metric": row.metric,
            "first_us": row.first_us, "other_us": row.other_us, "us": row.other_us - row.first_us,
            "low_us": None if row.difference_us is None else row.difference_us.low,
            "high_us": None if row.difference_us is None else row.difference_us.high, "verdict": row.verdict,
        }
        for row in comparison.rows
    ]  # fmt: skip
    columns = ["run", "against", "arm", "metric", "first_us", "other_us", "us", "low_us", "high_us", "verdict"]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False)


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}..."
