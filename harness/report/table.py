"""The table of issue #6879, as cells: one row an API, one column an arm, one diff column an arm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.seams import AA
from harness.summary import REST, SCOPE, STEP, SUM

if TYPE_CHECKING:
    from harness.statistics import Interval
    from harness.summary import ProbeTotals, Summary

__all__ = [
    "Column",
    "Table",
    "build_shape_table",
    "build_table",
    "count",
    "format_interval",
]

TOKENS: Final = "tokens"
"""Row of the output tokens a second of model-runner time, from bare steps."""

UNITS: Final = (("s", 1e9), ("ms", 1e6), ("us", 1e3))
STRUCK: Final = "not equal"
DAGGER: Final = "†"
"""Marks a figure that is smaller than the cost of timing it, which was subtracted from it."""


@dataclass(frozen=True)
class Column:
    """One column under a heading of two lines; `difference` tells a diff column from an arm's own."""

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
    """The table, or None where no arm was measured."""
    measured = [arm for arm in summary.arms.values() if arm.measured]
    if not measured:
        return None
    largest = max(arm.corrected_scope_ns for arm in measured)
    unit, size = next(((unit, size) for unit, size in UNITS if largest >= size), UNITS[-1])
    scope = summary.run["config"]["scope"]
    metrics = [*summary.probes, SUM, REST, SCOPE]
    rows = [*summary.probes, "sum of these", "rest of the scope", scope]
    judged = {SCOPE: f"{scope} is"}
    if any(arm.bare_step_ns is not None for arm in measured):
        metrics += [STEP, TOKENS]
        rows += ["whole step, bare", "output tokens/s"]
        judged[STEP] = "the step is"

    columns = []
    order = [summary.baseline, *(name for name in summary.arms if name != summary.baseline)]
    for name in order:
        arm = summary.arms[name]
        if name != AA:
            cells = [_cell(summary, name, metric, size) for metric in metrics]
            columns.append(Column(name, f"{unit} / calls", [*cells, *("" for _ in judged)]))
        if name != summary.baseline and (arm.measured or name != AA):
            cells = [_difference(summary, name, metric, size) for metric in metrics]
            cells += [_verdict(summary, name, metric) for metric in judged]
            title = "A/A: floor" if name == AA else "difference"
            columns.append(Column(title, f"to {summary.baseline}, {unit}", cells, difference=True))
    footnotes = []
    if any(DAGGER in cell for column in columns for cell in column.cells):
        footnotes.append(f"{DAGGER} smaller than the cost of timing it, which was subtracted: do not rely on it")
    return Table(unit, [*rows, *judged.values()], columns, footnotes, len(judged) + len(metrics) - len(summary.probes))


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
        return f"{interval.estimate:+.2g} [too few passes]"
    decimals = _supported_decimals((interval.high - interval.low) / 2)
    numbers = [f"{value:.{decimals}f}" for value in (interval.low, interval.high)]
    low, high = (number.lstrip("-") if float(number) == 0 else number for number in numbers)
    return f"{interval.estimate:+.{decimals}f} [{low}, {high}]"


def _supported_decimals(half_width: float) -> int:
    """Decimals by the Particle Data Group's rule: two digits of an uncertainty up to 354, one from 355 on.

    Review of Particle Physics (2024), section 5.3. No more than four, and two where nothing varies.
    """
    if half_width == 0:
        return 2
    exponent = math.floor(math.log10(half_width))
    digits = 2 if half_width / 10**exponent < 3.55 else 1
    return min(max(digits - 1 - exponent, 0), 4)


def _cell(summary: Summary, name: str, metric: str, size: float) -> str:
    arm = summary.arms[name]
    if not arm.measured:
        return STRUCK if arm.equal is False else "not measured"
    if metric == TOKENS:
        return next((f"{found.tokens_per_s:,.0f}" for found in summary.throughput if found.arm == name), "")
    if metric == STEP:
        return "" if arm.bare_step_ns is None else _number(arm.bare_step_ns / size)
    if metric == SCOPE:
        return _number(arm.corrected_scope_ns / size)
    if metric == REST:
        return _number(arm.corrected_residual_ns / size)
    if metric == SUM:
        return _number(sum(probe.corrected_self_ns for probe in arm.probes.values()) / size)
    return _probe_cell(arm.probes[metric], size)


def _probe_cell(probe: ProbeTotals, size: float) -> str:
    if not probe.calls:
        return "0 calls"
    mark = DAGGER if probe.self_ns - probe.corrected_self_ns > probe.corrected_self_ns else ""
    return f"{_number(probe.corrected_self_ns / size)}{mark} / {count(float(probe.calls))}"


def count(value: float) -> str:
    """A count, with a decimal only where it is no whole number."""
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.1f}"


def _number(value: float) -> str:
    decimals = 3 if abs(value) < 1 else 2 if abs(value) < 100 else 1
    return f"{value:.{decimals}f}"


def _difference(summary: Summary, arm: str, metric: str, size: float) -> str:
    if metric == TOKENS and summary.arms[arm].measured:
        change = next((found.difference for found in summary.throughput if found.arm == arm), None)
        return "" if change is None else format_interval(change)
    comparison = summary.difference(arm, metric)
    if comparison is None:
        return "" if summary.arms[arm].measured else _cell(summary, arm, metric, size)
    return format_interval(comparison.per_pass_ms.scaled(1e6 / size))


def _verdict(summary: Summary, arm: str, metric: str) -> str:
    comparison = summary.difference(arm, metric)
    if comparison is None:
        return "" if summary.arms[arm].measured else _cell(summary, arm, metric, 1.0)
    return comparison.verdict
