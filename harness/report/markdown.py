"""report.md: what goes into a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.names import SEVERAL
from harness.report.arms_table import build_arms_table
from harness.report.changed import changed
from harness.report.command import command_line
from harness.report.facts import facts
from harness.report.pull_request import HEADING, pull_request
from harness.report.remarks import checked_when, exposed, how_sure, instrument_cost, own_cost
from harness.report.side_tables import side_tables
from harness.report.steadiness import steadiness, withheld
from harness.report.table import build_differences, build_totals
from harness.report.templates import render
from harness.report.verdict import struck, verdict_sentence
from harness.seams import AA, NATIVE
from harness.texts import Markdown, code_span, markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.summary import Summary
    from harness.report.table import Column, Table

__all__ = ["markdown_table", "render_markdown", "table_lines"]


def render_markdown(summary: Summary, files: Sequence[str] = ()) -> str:
    """The report as Markdown, with links to the files that lie beside it."""
    scope, changes = summary.scope, changed(summary)
    arms, totals, differences = build_arms_table(summary), build_totals(summary), build_differences(summary)
    return render(
        "report.md.j2",
        title=summary.run["config"]["title"] or summary.run["config_file"],
        verdict=verdict_sentence(summary),
        facts=facts(summary),
        arms=markdown_table(arms) if arms else "",
        totals=markdown_table(totals) if totals else "",
        differences=markdown_table(differences) if differences and differences.columns else "",
        baseline=summary.baseline,
        how_sure=" ".join([*arms.footnotes, how_sure(summary)]) if arms else "",
        own_cost=own_cost(summary),
        exposed=exposed(summary),
        footnotes=totals.footnotes if totals else [],
        side_tables=[
            (_with_code(caption, scope), markdown_table(side), side.footnotes) for caption, side in side_tables(summary)
        ],
        changed=changes,
        changed_tables=[
            (caption, markdown_table(table), table.footnotes) for caption, table in (changes.tables if changes else [])
        ],
        heading=HEADING,
        pull_request=pull_request(summary),
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


def _with_code(caption: str, scope: str) -> Markdown:
    """A caption with the scope in it set as code; where that is plain words, they stay."""
    return markdown(caption) if scope == SEVERAL else Markdown(markdown(caption).replace(scope, code_span(scope)))


def markdown_table(table: Table) -> Markdown:
    """A Markdown table, aligned so that it reads in a terminal too."""
    return Markdown("\n".join(table_lines(table)))


def table_lines(table: Table) -> list[str]:
    """The lines of `markdown_table`."""
    columns = [[markdown(table.corner), *(_code(row) for row in table.rows)]]
    columns += [[markdown(_heading(column)), *(markdown(cell) for cell in column.cells)] for column in table.columns]
    widths = [max(map(len, column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        first, *rest = cells
        padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rows = [list(row) for row in zip(*columns, strict=True)]
    rule = f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|"
    return [line(rows[0]), rule, *(line(row) for row in rows[1:])]


def _heading(column: Column) -> str:
    return f"{column.title} ({column.subtitle})" if column.subtitle else column.title


def _code(title: str) -> Markdown:
    """A row's title with the function's name in it set as code."""
    name, _, rest = title.partition(" ")
    if "." not in name and "_" not in name:
        return markdown(title)
    code = code_span(name).replace("|", r"\|")  # the one escape that a cell needs within code as well
    return Markdown(f"{code}{markdown(f' {rest}' if rest else '')}")
