"""The issue's tables with our figures: a column a container, how it compares, and the published figures beside."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from harness.micro.published import Rows, published_tables
from harness.report.table import Column, Table

if TYPE_CHECKING:
    from harness.micro.results import Results
    from harness.micro.timing import MeasuredRow

__all__ = ["build_micro_table"]

CORNERS: Final = {"operations": "op", "concat": "pieces"}
UNITS: Final = {"operations": "ms for 1,000", "incremental": "ms in all", "concat": "us", "copy_to_gpu": "us"}
"""What a figure is of, where it is not milliseconds a call."""
SCALES: Final = {"ms": 1e3, "ms for 1,000": 1e6, "ms in all": 1e3, "us": 1e6}
STRUCK: Final = "unequal"


def build_micro_table(results: Results) -> Table:
    """One row a size or operation; for each column its time with its spread, and its speed relative to the first."""
    unit = UNITS.get(results.benchmark, "ms")
    first, *others = results.columns
    published = published_tables(results.benchmark)
    columns = [Column(first, unit, [_time(row, first, unit) for row in results.rows])]
    for name in others:
        columns += [
            Column(name, unit, [_time(row, name, unit) for row in results.rows]),
            Column("speed", f"{first} / this", [_ratio(row, name) for row in results.rows], difference=True),
        ]
    for number, rows in enumerate(published):
        subtitle = "published, ms" if not number else "published later, ms"
        columns += [
            Column(name, subtitle, [_published(rows, row, name) for row in results.rows])
            for name in results.columns
            if any(name in row for row in rows.values())
        ]
    footnotes = [
        f"{row.label}: {name} is not equal to {first}, so its ratio is struck: {why}"
        for row in results.rows[-1:]
        for name, why in row.unequal.items()
        if results.benchmark == "to_gpu"
    ] or [f"{row.label}: {name}: {why}" for row in results.rows for name, why in row.unequal.items()]
    footnotes += [f"{row.label}: {row.note}" for row in results.rows if row.note]
    footnotes.append("+- is half the distance of the rounds' quartiles")
    if published:
        footnotes.append("published figures are as printed in the issue, from another machine")
    if results.benchmark == "operations":
        footnotes.append(
            "it is not known how many items the published init, pre-allocate, append, slice and to_torch handle, so "
            "they cannot be compared with ours"
        )
    corner = CORNERS.get(results.benchmark, "N")
    return Table(unit, [row.label for row in results.rows], columns, footnotes, 0, corner)


def _time(row: MeasuredRow, column: str, unit: str) -> str:
    timing = row.timings[column]
    value = timing.median_s * SCALES[unit]
    digits = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{digits} +-{100 * timing.spread_s / timing.median_s:.1f} %"


def _ratio(row: MeasuredRow, column: str) -> str:
    if column in row.unequal:
        return STRUCK
    ratio = statistics.median(row.ratios(column))
    return f"{_number(ratio)}x" if ratio >= 1 else f"1/{_number(1 / ratio)}x"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _published(published: Rows, row: MeasuredRow, column: str) -> str:
    """Rows have what they are of in parentheses, published ones do not."""
    found = published.get(row.label) or published.get(row.label.partition(" (")[0], {})
    return f"{found[column]:g}" if column in found else ""
