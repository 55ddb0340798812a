"""A run on one screen: its verdict, the issue's table, a line an arm, and what to distrust."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from harness.analysis.by_launch import is_by_launch
from harness.report.arms_table import build_arms_table
from harness.report.changed import in_a_line
from harness.report.remarks import reach
from harness.report.screen_table import FIRST_ARMS, GAP, LEAST_NAME, build_screen_table, by_interest, shortened
from harness.report.table import FLOOR, Column, format_half_width
from harness.report.verdict import NAMED, doubts, verdict_sentence
from harness.texts import on_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console, RenderableType

    from harness.analysis.summary import Summary
    from harness.report.table import Table

__all__ = ["arms_on_screen", "print_screen", "where_the_report_is"]

WIDTH: Final = 80
LINES: Final = 40
"""What a terminal of usual size shows at once. A narrower one breaks lines, so that there may be more."""
CLOSING: Final = 3
"""Lines of `where_the_report_is`."""
EXTRAS: Final = ("tokens/s", "Δ step, %", "Δ turn, %", "Δ scope, %")
"""Columns of the arms' table that are left out where there is no room, in this order; `LAST` come last."""
LAST: Final = ("Δ step", "Δ turn")
CORNER: Final = "us a step"
HEADER: Final = 2
"""Lines of the heading of the arms' table."""
REMARK_LINES: Final = 3
"""A longer remark is shortened here; the report has it in full."""
MOST_CEILINGS: Final = 3
"""Arms that may compute less, with a line each."""
LEAST_REMARKS: Final = 2
"""Lines kept for remarks, if there are any, before all arms are shown."""
SENTENCE_LINES: Final = 4
"""The sentence names fewer arms where it would be longer."""


def print_screen(summary: Summary, console: Console, told: str = "") -> None:
    """Print what a reader needs first; 40 lines at most, `where_the_report_is` included, from 80 columns on.

    Args:
        summary: the run.
        console: where to print.
        told: a remark that is left out, since it is printed right below.
    """
    width = console.width
    remarks, sentence = doubts(summary, told), _sentence(summary, width)
    if summary.withheld:
        sentence = Text(remarks.pop(0), style="bold red")
    top: list[RenderableType] = [*_heading(summary), Text("")]
    top += [sentence, Text("")] if sentence else []
    table, arms = build_screen_table(summary, width), build_arms_table(summary, format_half_width)
    if table is None or arms is None:
        top.append(Text("No arm was measured, so there is no table."))
        below: list[RenderableType] = []
    else:
        top += [_grid("", table.rows, table.columns), *(Text(line, style="dim") for line in table.footnotes), Text("")]
        below = [*_ceilings(summary), Text(_legend(summary), style="dim")]
    lines = _height(console, [*top, *below]) + CLOSING + (_height(console, [Text(told)]) if told else 0)
    room = LINES - lines if width >= WIDTH else 10 * LINES
    if arms is not None:
        first = [summary.baseline, *by_interest(summary)[:FIRST_ARMS], FLOOR]
        of_arms = _arms(arms, first, width, room - min(LEAST_REMARKS, len(remarks)))
        room -= _height(console, of_arms)
        below = [*of_arms, *below]
    for item in (*top, *below):
        console.print(item, crop=False, highlight=False)
    for line in _that_fit(remarks, width, room):
        console.print(Text(line, style="yellow"), crop=False, highlight=False)


def arms_on_screen(summary: Summary, width: int, most_lines: int = LINES) -> list[RenderableType]:
    """The table of arms in as many columns as fit, and what its signs mean; empty where no arm was measured."""
    arms = build_arms_table(summary, format_half_width)
    if arms is None:
        return []
    first = [summary.baseline, *by_interest(summary)[:FIRST_ARMS], FLOOR]
    return [*_arms(arms, first, width, most_lines), Text(_legend(summary), style="dim")]


def where_the_report_is(folder: Path) -> str:
    """The last lines of the screen."""
    command = shlex.join(["python", "-m", "harness", "report", str(folder), "--full"])
    return on_terminal(f"\n{folder}/report.md\n{command}")


def _heading(summary: Summary) -> list[Text]:
    """The run's title, and in a line what it was measured on."""
    run = summary.run
    lines = [Text(run["config"]["title"] or run["config_file"], style="bold", no_wrap=True, overflow="ellipsis")]
    if host := run.get("host"):
        device = f"cpu ({run['machine']['cpu']})" if host["device"] == "cpu" else host["device"]
        said = [f"{host['engine']} {host['version']}", host["runner"], device]
        if measured := [arm for arm in summary.arms.values() if arm.measured]:
            launches = f" in {summary.launches} launches" if summary.launches > 1 else ""
            of_what = "passes an arm" if is_by_launch(run) else "groups"
            said.append(f"{measured[0].passes} {of_what} of {measured[0].steps} steps{launches}")
        lines.append(Text(", ".join(said), style="dim"))
    if changes := in_a_line(summary):
        lines.append(Text(changes, style="dim", no_wrap=True, overflow="ellipsis"))
    return lines


def _sentence(summary: Summary, width: int) -> Text:
    """The verdict, with fewer arms by name where it would be long."""
    for named in range(NAMED, 0, -1):
        text = verdict_sentence(summary, named)
        if len(textwrap.wrap(text, width)) <= SENTENCE_LINES:
            break
    return Text(text, style="bold")


def _ceilings(summary: Summary) -> list[Text]:
    """A line each for arms that may compute less: at most how much could be won."""
    lines = []
    for found in summary.ceilings[:MOST_CEILINGS]:
        if found.scope_us is not None:
            half = (found.scope_us.high - found.scope_us.low) / 2
            most = f"at most {found.scope_us.estimate:.3g} ±{half:.2g} us of {summary.scope}"
            told = f"{found.arm} (ceiling): {most} ({100 * found.scope_of:.2g} %) could be won"
            lines.append(Text(told, no_wrap=True, overflow="ellipsis"))
    return lines


def _legend(summary: Summary) -> str:
    """What the signs of both tables mean."""
    equal = "Equal yes: bit for bit when checked, and in tokens."
    if not summary.comparisons:
        return equal
    confidence = summary.run["config"]["protocol"]["confidence"] * 100
    return (
        f"In parentheses: the interval holds zero. ±: {confidence:g} % together, {reach(summary)}.\n"
        f"Equivalent: within {summary.margin_us:.3g} us. {equal}\n"
        f"Δ is {'between launches' if is_by_launch(summary.run) else 'paired'} and robust, so it need not be the "
        "difference of the two means."
    )


def _arms(table: Table, first: Sequence[str], width: int, most_lines: int) -> list[RenderableType]:
    """A line an arm, in as many columns as fit; in parts, where even the columns that must be shown do not fit.

    Where there is no room for all arms, those in `first` are shown.
    """
    longest = max(map(len, (CORNER, *table.rows)))
    name = min(longest, LEAST_NAME)
    columns = [column for column in table.columns if any(column.cells)]
    for title, kept in (*((extra, longest) for extra in EXTRAS), *((last, name) for last in LAST)):
        if kept + _needed(columns) > width:
            columns = [column for column in columns if column.title != title]
    parts: list[list[Column]] = [[]]
    for column in columns:
        if parts[-1] and name + _needed([*parts[-1], column]) > width:
            parts.append([])
        parts[-1].append(column)
    names = shortened(table.rows, max(width - max(map(_needed, parts)), LEAST_NAME))
    lines = _some(table.rows, first, most_lines - HEADER)
    grids: list[RenderableType] = []
    for part in parts:
        grids += [Text("")] if grids else []
        shown = [_one_line(column, lines) for column in part]
        grids.append(_grid(CORNER, [names[line] for line in lines], shown))
    more = len(names) - len(lines)
    return [*grids, Text(f"and {more} more arms, in the report", style="dim")] if more else grids


def _some(rows: Sequence[str], first: Sequence[str], room: int) -> list[int]:
    """The arms' lines that fit, `first` before others; one line is kept to say how many do not."""
    if len(rows) <= room:
        return list(range(len(rows)))
    order = sorted(range(len(rows)), key=lambda line: (rows[line] not in first, line))
    return sorted(order[: max(room - 1, len(first))])


def _one_line(column: Column, lines: Sequence[int]) -> Column:
    """Some of a column's cells, under a heading of one line."""
    return Column(column.title, "", [column.cells[line] for line in lines], column.difference)


def _needed(columns: Sequence[Column]) -> int:
    """Characters that columns take, with what stands between them."""
    return sum(GAP + max(map(len, (column.title, *column.cells))) for column in columns)


def _grid(corner: str, rows: Sequence[str], columns: Sequence[Column]) -> RichTable:
    """A table without a frame."""
    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    grid.add_column(Text(corner), no_wrap=True, min_width=max(map(len, (corner, *rows))))
    widths = [max(map(len, (column.title, column.subtitle, *column.cells))) for column in columns]
    for column, width in zip(columns, widths, strict=True):
        heading = "\n".join(line.rjust(width) for line in (column.title, column.subtitle) if line)
        grid.add_column(Text(heading), no_wrap=True, min_width=width, style="bold" if column.difference else "")
    for index, row in enumerate(rows):  # justified here: rich would strip the spaces that stand below a parenthesis
        cells = [Text(column.cells[index].rjust(width)) for column, width in zip(columns, widths, strict=True)]
        grid.add_row(Text(row), *cells)
    return grid


def _height(console: Console, items: Sequence[RenderableType]) -> int:
    return sum(len(console.render_lines(item, pad=False)) for item in items)


def _that_fit(remarks: Sequence[str], width: int, room: int) -> list[str]:
    """The lines of the first remarks that fit, and of a note that says how many do not."""
    lines: list[str] = []
    for number, remark in enumerate(remarks):
        more = len(remarks) - number
        left = room - len(lines) - (more > 1)
        if left < 1:
            return [*lines, f"note: {more} more, in the report"]
        lines += textwrap.wrap(
            f"note: {remark}", width, subsequent_indent="  ", max_lines=min(left, REMARK_LINES), placeholder=" ...",
            break_on_hyphens=False,
        )  # fmt: skip
    return lines
