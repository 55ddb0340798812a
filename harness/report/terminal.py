"""The table on a terminal: whole where it fits, in parts that each show the baseline where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from harness.report.changed import changed
from harness.report.facts import facts
from harness.report.remarks import checked_when, exposed, how_sure, instrument_cost, own_cost
from harness.report.side_tables import side_tables
from harness.report.steadiness import steadiness, withheld
from harness.report.table import build_table
from harness.seams import AA, NATIVE

if TYPE_CHECKING:
    from rich.console import Console

    from harness.analysis.summary import Summary
    from harness.report.table import Column, Table

__all__ = ["print_summary", "table_parts", "whole_table"]

EDGES = 3
"""Characters that a column takes besides its own width: its padding, and the rule between."""


def print_summary(summary: Summary, console: Console, told: str = "") -> None:
    """Print facts, table and remarks, without the remark `told`, which is printed elsewhere."""
    title = summary.run["config"]["title"] or summary.run["config_file"]
    console.print(Text(title, style="bold"))
    grid = _grid()
    for label, text in facts(summary).items():
        grid.add_row(Text(label, style="dim"), Text(text))
    console.print(grid)
    table = build_table(summary)
    if table is None:
        console.print("No arm was measured, so there is no table.")
    else:
        console.print("\nAccumulated self time and calls in one pass, mean over passes", style="dim")
        for part in table_parts(table, console.width):
            console.print(part, crop=False)  # a line that wraps is better than a figure cut off
        for line in (
            *table.footnotes,
            how_sure(summary),
            instrument_cost(summary),
            own_cost(summary),
            exposed(summary),
            *steadiness(summary),
        ):
            if line:
                console.print(Text(line, style="dim"))
    for caption, of_arms in side_tables(summary):
        console.print(Text(f"\n{caption}", style="dim"))
        for part in table_parts(of_arms, console.width):
            console.print(part, crop=False)
        for footnote in of_arms.footnotes:
            console.print(Text(footnote, style="dim"))
    _print_changed(summary, console)
    for line in withheld(summary):
        console.print(Text(line, style="bold red"))
    for name, arm in summary.arms.items():
        if arm.equal is False and name != AA:
            console.print(Text.assemble((f"{name} is struck:", "bold red"), f" {arm.reason}"))
    equal = [name for name, arm in summary.arms.items() if arm.equal and name not in (NATIVE, AA)]
    if equal:
        console.print(
            Text(f"Equal to native bit for bit at every step, {checked_when(summary.run)}: {', '.join(equal)}")
        )
    for note in (note for note in summary.notes if note != told):
        console.print(Text.assemble(("note:", "bold yellow"), f" {note}"))


def _grid() -> RichTable:
    """Labels, each with a text whose long words are broken and not cut off."""
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _print_changed(summary: Summary, console: Console) -> None:
    """What each arm changes; nothing where none is a change."""
    section = changed(summary)
    if section is None:
        return
    console.print(Text("\nWhat was changed", style="bold"))
    for name, entries in section.arms.items():
        console.print(Text(name, style="bold"))
        grid = _grid()
        for entry in entries:
            style = "bold yellow" if entry.loud else ""
            grid.add_row(Text(entry.label, style=style or "dim"), Text(entry.text, style=style))
        console.print(grid)
    for line in section.lines:
        console.print(Text(line, style="dim"))
    for caption, table in section.tables:
        console.print(Text(f"\n{caption}", style="dim"))
        for part in table_parts(table, console.width):
            console.print(part, crop=False)
        for footnote in table.footnotes:
            console.print(Text(footnote, style="dim"))


def whole_table(table: Table) -> RichTable:
    """The table in one piece, however wide."""
    return _rich(table, table.columns)


def table_parts(table: Table, width: int) -> list[RichTable]:
    """As few tables as fit the width: each has the row titles, the baseline and some arms with their diffs."""
    baseline, others = table.columns[0], table.columns[1:]
    pairs: list[list[Column]] = []
    for column in others:  # an arm's own column begins a pair; A/A has only a diff column
        if column.difference and pairs and len(pairs[-1]) == 1 and not pairs[-1][0].difference:
            pairs[-1].append(column)
        else:
            pairs.append([column])
    room = width - max(map(len, table.rows)) - _width(baseline) - 2 * EDGES
    parts: list[list[Column]] = [[]]
    left = room
    for pair in pairs:
        need = sum(map(_width, pair)) + len(pair) * EDGES
        if need > left and parts[-1]:
            parts.append([])
            left = room
        parts[-1] += pair
        left -= need
    return [_rich(table, [baseline, *part]) for part in parts]


def _width(column: Column) -> int:
    return max(map(len, (column.title, column.subtitle, *column.cells)))


def _rich(table: Table, columns: list[Column]) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    rich.add_column(Text(table.corner), no_wrap=True, min_width=max(map(len, table.rows)))
    for column in columns:
        rich.add_column(
            Text(f"{column.title}\n{column.subtitle}"),
            justify="right",
            no_wrap=True,
            min_width=_width(column),
            style="bold" if column.difference else "",
        )
    probes = len(table.rows) - table.closing
    judged = sum(row.endswith(" is") for row in table.rows)
    for index, row in enumerate(table.rows):
        cells = [Text(column.cells[index]) for column in columns]
        rich.add_row(Text(row), *cells, end_section=index + 1 in (probes, len(table.rows) - judged))
    return rich
