"""The issue's table as far as it fits on one screen: the baseline, and the arms that a reader asks for first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.analysis.metrics import SCOPE
from harness.report.table import FLOOR, Column, Table, build_differences, build_totals, format_estimate
from harness.seams import AA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.summary import Summary

__all__ = ["FIRST_ARMS", "GAP", "LEAST_NAME", "build_screen_table", "by_interest", "shortened"]

GAP: Final = 2
"""Spaces between two columns."""
MOST_PROBES: Final = 5
"""Rows for single functions, at most; of more, those that took the most time are shown."""
LEAST_NAME: Final = 15
"""Arms' names are not shortened to less."""
LEAST_TITLE: Final = 20
"""Rows' titles are not shortened to less, so that a function's own name mostly stays whole."""
FIRST_ARMS: Final = 2
"""For so many arms titles of rows are shortened; more arms are shown only where there is room."""
HIDDEN: Final = "…"


def build_screen_table(summary: Summary, width: int) -> Table | None:
    """The table for a terminal of `width` columns; None where no arm was measured.

    An arm has one column, in which its self time, its calls and its difference stand beside each other. Shown are the
    baseline, the config's first arm after it, the one that came out best, and others in the config's order.
    """
    totals, differences = build_totals(summary), build_differences(summary, format_estimate)
    if totals is None or differences is None:
        return None
    rows, footnotes = _rows(summary)
    unit = totals.columns[0].subtitle
    own = {column.title: [column.cells[row] for row in rows] for column in totals.columns}
    diffs = {column.title: [column.cells[row] for row in rows] for column in differences.columns}
    titles = [totals.rows[row] for row in rows]
    name = shortened([summary.baseline], max(LEAST_NAME, *map(len, own[summary.baseline])))[0]
    columns = {summary.baseline: Column(name, unit, own[summary.baseline])}
    columns |= {name: _column(name, unit, own.get(name), cells) for name, cells in diffs.items()}
    longest = max(map(len, titles))
    shown = [summary.baseline]
    for name in by_interest(summary):
        title = min(longest, LEAST_TITLE) if len(shown) <= FIRST_ARMS else longest
        if len(shown) > 1 and title + sum(_taken(columns[each]) for each in (*shown, name)) > width:
            break
        shown.append(name)
    kept = [column for name, column in columns.items() if name in shown]
    room = max(width - sum(map(_taken, kept)), min(longest, LEAST_TITLE))
    return Table(totals.unit, shortened(titles, room), kept, footnotes, totals.closing)


def shortened(names: Sequence[str], width: int) -> list[str]:
    """Names in at most `width` characters: a dotted one keeps its end, any other keeps both ends.

    Where two would become the same, their numbers in the list are added.
    """
    short = [_shortened(name, width) for name in names]
    numbers = [f"{HIDDEN}{place}" if short.count(name) > 1 else "" for place, name in enumerate(short, start=1)]
    return [name[: width - len(number)] + number for name, number in zip(short, numbers, strict=True)]


def _shortened(name: str, width: int) -> str:
    if len(name) <= width:
        return name
    for index, character in enumerate(name):
        if character == "." and len(name) - index < width:
            return HIDDEN + name[index + 1 :]
    end = (width - 1) // 2
    return name[: width - 1 - end] + HIDDEN + name[len(name) - end :]


def _rows(summary: Summary) -> tuple[list[int], list[str]]:
    """Which rows of the whole table are shown, and a line on those that are not."""
    measured = [arm for arm in summary.arms.values() if arm.measured]
    most_ns = {
        probe: max(arm.probes[probe].corrected_self_ns for arm in measured)
        for probe in summary.probes
        if any(arm.probes[probe].calls for arm in measured)
    }
    largest = sorted(most_ns, key=lambda probe: -most_ns[probe])[:MOST_PROBES]
    silent = [probe for probe in summary.probes if probe not in most_ns]
    lines = [f"0 calls under every arm: {silent[0] if len(silent) == 1 else f'{len(silent)} probes'}"] if silent else []
    lines += [f"{len(most_ns) - MOST_PROBES} more functions, in the report"] if len(most_ns) > MOST_PROBES else []
    of_probes = [index for index, probe in enumerate(summary.probes) if probe in largest]
    with_step = any(arm.bare_step_ns is not None for arm in measured)
    closing = range(len(summary.probes), len(summary.probes) + 3 + with_step)  # sum, rest, scope, step
    return [*of_probes, *closing], ["; ".join(lines)] if lines else []


def _column(name: str, unit: str, own: Sequence[str] | None, differences: Sequence[str]) -> Column:
    """Self time and calls, and beside them the difference; A/A has the difference alone."""
    bracketed = any(cell.endswith(")") for cell in differences)
    aligned = [cell + " " * (bracketed and not cell.endswith(")")) for cell in differences]
    if own is None:
        return Column(name, "diff", aligned)
    of_own, of_difference = max(map(len, (unit, *own))), max(map(len, ("diff ", *aligned)))
    cells = [
        f"{mine.rjust(of_own)}{' ' * GAP}{diff.rjust(of_difference)}"
        for mine, diff in zip((unit, *own), ("diff" + " " * bracketed, *aligned), strict=True)
    ]
    return Column(shortened([name], len(cells[0]))[0], cells[0], cells[1:])


def _taken(column: Column) -> int:
    return GAP + max(map(len, (column.title, column.subtitle, *column.cells)))


def by_interest(summary: Summary) -> list[str]:
    """Titles of the arms that have figures: the config's first one after the baseline, the best, the others, A/A."""
    found = {c.arm: c.per_step_us.estimate for c in summary.comparisons if c.metric == SCOPE and c.arm != AA}
    measured = [name for name, arm in summary.arms.items() if arm.measured and name not in (summary.baseline, AA)]
    best = [min(found, key=lambda arm: found[arm])] if found else []
    floor = [FLOOR] if AA in summary.arms and summary.arms[AA].measured else []
    return list(dict.fromkeys([*measured[:1], *best, *measured, *floor]))
