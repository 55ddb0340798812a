"""report.md: what goes into a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.report.arms_table import build_arms_table
from harness.report.facts import (
    checked_when,
    command_line,
    exposed,
    facts,
    how_sure,
    instrument_cost,
    own_cost,
    steadiness,
    withheld,
)
from harness.report.side_tables import side_tables
from harness.report.table import build_differences, build_totals
from harness.report.verdict import struck, verdict_sentence
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.summary import Summary
    from harness.report.table import Column, Table

__all__ = ["render_markdown", "table_lines"]

_ENVIRONMENT = Environment(
    loader=PackageLoader("harness.report"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 (Markdown for people, no HTML; cells are made in table.py)
)


def render_markdown(summary: Summary, files: Sequence[str] = ()) -> str:
    """The report as Markdown, with links to the files that lie beside it."""
    scope = summary.run["config"]["scope"]
    arms, totals, differences = build_arms_table(summary), build_totals(summary), build_differences(summary)
    return _ENVIRONMENT.get_template("report.md.j2").render(
        title=summary.run["config"]["title"] or summary.run["config_file"],
        verdict=verdict_sentence(summary),
        facts=facts(summary),
        arms="\n".join(table_lines(arms)) if arms else "",
        totals="\n".join(table_lines(totals)) if totals else "",
        differences="\n".join(table_lines(differences)) if differences and differences.columns else "",
        baseline=summary.baseline,
        how_sure=" ".join([*arms.footnotes, how_sure(summary)]) if arms else "",
        own_cost=own_cost(summary),
        exposed=exposed(summary),
        footnotes=totals.footnotes if totals else [],
        side_tables=[
            (caption.replace(scope, f"`{scope}`"), "\n".join(table_lines(side)), side.footnotes)
            for caption, side in side_tables(summary)
        ],
        files=files,
        steadiness=steadiness(summary),
        withheld=withheld(summary),
        cost=instrument_cost(summary),
        struck=struck(summary),
        checked_when=checked_when(summary.run),
        equal=[name for name, arm in summary.arms.items() if arm.equal and name not in (NATIVE, AA)],
        notes=summary.notes,
        command=command_line(summary),
    )


def table_lines(table: Table) -> list[str]:
    """A Markdown table, aligned so that it reads in a terminal too."""
    columns = [[table.corner, *(_code(row) for row in table.rows)]]
    columns += [[_heading(column), *column.cells] for column in table.columns]
    widths = [max(map(len, column)) for column in columns]

    def line(cells: list[str]) -> str:
        first, *rest = cells
        padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rows = [list(row) for row in zip(*columns, strict=True)]
    rule = f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|"
    return [line(rows[0]), rule, *(line(row) for row in rows[1:])]


def _heading(column: Column) -> str:
    return f"{column.title} ({column.subtitle})" if column.subtitle else column.title


def _code(title: str) -> str:
    """A row's title with the function's name in it set as code."""
    name, _, rest = title.partition(" ")
    return f"`{name}`{' ' + rest if rest else ''}" if "." in name or "_" in name else title
