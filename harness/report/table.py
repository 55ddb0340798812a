"""The table of issue #6879, as cells: a row an API, a column and a diff column an arm; whole, or as two tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from harness.analysis.metrics import REST, SCOPE, STEP, SUM
from harness.seams import AA

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.analysis.intervals import Interval
    from harness.analysis.summary import ArmSummary, ProbeTotals, Summary

__all__ = [
    "DAGGER",
    "FLOOR",
    "Column",
    "Table",
    "build_differences",
    "build_shape_table",
    "build_table",
    "build_totals",
    "count",
    "format_estimate",
    "format_half_width",
    "format_interval",
    "level_name",
    "number",
    "of_time",
    "unmeasured",
]

TOKENS: Final = "tokens"
"""Row of the output tokens a second of the steps' time, from bare steps."""

UNITS: Final = (("s", 1e9), ("ms", 1e6), ("us", 1e3))
STRUCK: Final = "not equal"
DAGGER: Final = "†"
"""Marks a figure that is smaller than the cost of timing it, which was subtracted from it."""
BELOW_ITS_COST: Final = f"{DAGGER} smaller than the cost of timing it, which was subtracted: do not rely on it"
FLOOR: Final = "A/A: floor"
"""Title of the baseline's difference to itself."""


@dataclass(frozen=True)
class Column:
    """One column under a heading of two lines; `difference` marks a diff column."""

    title: str
    subtitle: str
    cells: list[str]
    difference: bool = False


@dataclass(frozen=True)
class Table:
    """Row titles, the baseline's column, and for every other arm its column and its diff column.

    The last `closing` rows are not probes.
    """

    unit: str
    rows: list[str]
    columns: list[Column]
    footnotes: list[str]
    closing: int
    corner: str = "API"


def build_table(summary: Summary) -> Table | None:
    """The whole table, each arm's differences beside its totals; None where no arm was measured."""
    totals, differences = build_totals(summary), build_differences(summary)
    if totals is None or differences is None:
        return None
    judged = {SCOPE: f"{summary.scope} is"}
    if STEP in _metrics(summary):
        judged[STEP] = f"the {summary.step_word} is"
    diffs = {
        column.title: replace(
            column,
            title=FLOOR if column.title == FLOOR else "difference",
            cells=[*column.cells, *(_verdict(summary, column.title, metric) for metric in judged)],
        )
        for column in differences.columns
    }
    columns = []
    for column in totals.columns:
        columns.append(replace(column, cells=[*column.cells, *("" for _ in judged)]))
        columns += [diffs.pop(column.title)] if column.title in diffs else []
    return replace(
        totals,
        rows=[*totals.rows, *judged.values()],
        columns=[*columns, *diffs.values()],
        closing=totals.closing + len(judged),
    )


def build_totals(summary: Summary) -> Table | None:
    """Self time and calls a pass, one column an arm, the baseline first; None where no arm was measured."""
    metrics, (unit, size) = _metrics(summary), _unit(summary)
    if not any(arm.measured for arm in summary.arms.values()):
        return None
    order = [summary.baseline, *(name for name in summary.arms if name not in (summary.baseline, AA))]
    columns = [
        Column(name, f"{unit} / calls", [_cell(summary, name, metric, size) for metric in metrics]) for name in order
    ]
    marked = any(DAGGER in cell for column in columns for cell in column.cells)
    return Table(unit, list(metrics.values()), columns, [BELOW_ITS_COST] * marked, len(metrics) - len(summary.probes))


def build_differences(summary: Summary, form: Callable[[Interval], str] | None = None) -> Table | None:
    """Differences to the baseline a pass, one column an arm, A/A last; None where no arm was measured.

    Args:
        summary: what is shown.
        form: writes an interval (default: `format_interval`).
    """
    metrics, (unit, size) = _metrics(summary), _unit(summary)
    if not any(arm.measured for arm in summary.arms.values()):
        return None
    columns = [
        Column(
            FLOOR if name == AA else name,
            f"to {summary.baseline}, {unit}",
            [_difference(summary, name, metric, size, form or format_interval) for metric in metrics],
            difference=True,
        )
        for name, arm in summary.arms.items()
        if name != summary.baseline and (arm.measured or name != AA)
    ]
    return Table(unit, list(metrics.values()), columns, [], len(metrics) - len(summary.probes))


def _metrics(summary: Summary) -> dict[str, str]:
    """Every row's metric with its title."""
    titles = {probe: summary.short.get(probe, probe) for probe in summary.probes}
    titles |= {SUM: "sum of these", REST: "rest of the scope", SCOPE: summary.scope}
    if any(arm.bare_step_ns is not None for arm in summary.arms.values()):
        titles |= {STEP: f"whole {summary.step_word}, bare", TOKENS: f"output tokens/s of {of_time(summary)}"}
    return titles


def level_name(summary: Summary, metric: str) -> str:
    """What columns call a metric: the scope, or what a step is."""
    return summary.step_word if metric == STEP else metric


def of_time(summary: Summary) -> str:
    """Whose time it is that output tokens are counted by."""
    return "engine-core time" if summary.turns else "the loop's time" if summary.loop else "runner time"


def _unit(summary: Summary) -> tuple[str, float]:
    """The unit of a pass's figures, and its size in nanoseconds."""
    largest = max((arm.corrected_scope_ns for arm in summary.arms.values()), default=0.0)
    return next(((unit, size) for unit, size in UNITS if largest >= size), UNITS[-1])


def build_shape_table(summary: Summary) -> Table | None:
    """The scope's differences by batch shape, or None where all steps have the same shape."""
    if not summary.shapes:
        return None
    shapes = list(dict.fromkeys((found.shape, found.steps) for found in summary.shapes))
    columns = [Column("steps", "a pass", [f"{steps:,}" for _, steps in shapes])]
    for arm in dict.fromkeys(found.arm for found in summary.shapes):
        of_arm = {found.shape: found for found in summary.shapes if found.arm == arm}
        cells = [f"{format_interval(of_arm[shape].per_step_us)} {of_arm[shape].verdict}" for shape, _ in shapes]
        columns.append(Column(arm, f"to {summary.baseline}, us a step", cells, difference=True))
    return Table("us", [shape for shape, _ in shapes], columns, [], 0, corner="batch")


def format_interval(interval: Interval) -> str:
    """`+2.79 [2.71, 2.86]`, with only the digits that the interval supports."""
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return f"{interval.estimate:+.2g} [too few groups]"
    decimals = _supported_decimals((interval.high - interval.low) / 2)
    numbers = [f"{value:.{decimals}f}" for value in (interval.low, interval.high)]
    low, high = (number.lstrip("-") if float(number) == 0 else number for number in numbers)
    return f"{interval.estimate:+.{decimals}f} [{low}, {high}]"


def format_half_width(interval: Interval) -> str:
    """`+2.79 ±0.07`: the same of a symmetric interval, as those of times are."""
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return format_interval(interval)
    half_width = (interval.high - interval.low) / 2
    decimals = _supported_decimals(half_width)
    return f"{interval.estimate:+.{decimals}f} ±{half_width:.{decimals}f}"


def format_estimate(interval: Interval) -> str:
    """`+2.79` with the same digits, in parentheses where the interval holds zero: `(+0.01)`."""
    estimate = format_interval(interval).partition(" ")[0]
    return f"({estimate})" if interval.low <= 0 <= interval.high else estimate


def _supported_decimals(half_width: float) -> int:
    """Decimals by the Particle Data Group's rule: two digits of an uncertainty up to 354, one from 355 on.

    Review of Particle Physics (2024), section 5.3. Two where nothing varies.
    """
    if half_width == 0:
        return 2
    exponent = math.floor(math.log10(half_width))
    digits = 2 if half_width / 10**exponent < 3.55 else 1
    return max(digits - 1 - exponent, 0)


def _cell(summary: Summary, name: str, metric: str, size: float) -> str:
    arm = summary.arms[name]
    if not arm.measured:
        return unmeasured(arm)
    if metric == TOKENS:
        return next((f"{found.tokens_per_s:,.0f}" for found in summary.throughput if found.arm == name), "")
    if metric == STEP:
        return "" if arm.bare_step_ns is None else number(arm.bare_step_ns / size)
    if metric == SCOPE:
        return number(arm.corrected_scope_ns / size)
    if metric == REST:
        return number(arm.corrected_residual_ns / size)
    if metric == SUM:
        return number(sum(probe.corrected_self_ns for probe in arm.probes.values()) / size)
    return _probe_cell(arm.probes[metric], size)


def _probe_cell(probe: ProbeTotals, size: float) -> str:
    if not probe.calls:
        return "0 calls"
    mark = DAGGER if probe.self_ns - probe.corrected_self_ns > probe.corrected_self_ns else ""
    return f"{number(probe.corrected_self_ns / size)}{mark} / {count(float(probe.calls))}"


def count(value: float) -> str:
    """A count, with a decimal only where it is no whole number."""
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.1f}"


def unmeasured(arm: ArmSummary) -> str:
    """What stands in place of an arm's figures where it has none."""
    return STRUCK if arm.equal is False else "not measured"


def number(value: float) -> str:
    """A level, which has no interval that says how many of its digits are significant."""
    decimals = 3 if abs(value) < 1 else 2 if abs(value) < 100 else 1
    return f"{value:.{decimals}f}"


def _difference(summary: Summary, name: str, metric: str, size: float, form: Callable[[Interval], str]) -> str:
    if not summary.arms[name].measured:
        return unmeasured(summary.arms[name])
    if metric == TOKENS:
        change = next((found.difference for found in summary.throughput if found.arm == name), None)
        return "" if change is None else form(change)
    comparison = summary.difference(name, metric)
    return "" if comparison is None else form(comparison.per_pass_ms.scaled(1e6 / size))


def _verdict(summary: Summary, title: str, metric: str) -> str:
    name = AA if title == FLOOR else title
    if not summary.arms[name].measured:
        return unmeasured(summary.arms[name])
    comparison = summary.difference(name, metric)
    return "" if comparison is None else comparison.verdict
