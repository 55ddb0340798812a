"""Two tables beside the main one: accumulated time, in which rare costs count; and CPU time, blind to other work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.metrics import OF_CPU, SCOPE, STEP
from harness.digits import significant
from harness.report.table import FLOOR, Column, Table, format_interval, level_name
from harness.seams import AA

if TYPE_CHECKING:
    from harness.analysis.summary import Comparison, Summary

__all__ = ["build_accumulated_table", "build_cpu_table"]


def build_accumulated_table(summary: Summary) -> Table | None:
    """A row an arm, the baseline first; None where nothing was compared."""
    if not summary.comparisons:
        return None
    measured = [name for name, arm in summary.arms.items() if arm.measured]
    names = sorted(measured, key=lambda name: name != summary.baseline)
    columns = []
    for metric in (SCOPE, STEP):
        level = level_name(summary, metric)
        found = [summary.difference(name, metric) for name in names]
        if any(found):
            columns += [
                Column(f"Δ {level}", f"of means, to {summary.baseline}, us", [_difference(each) for each in found]),
                Column(f"{level} is", "", ["" if each is None else each.means_verdict for each in found]),
            ]
    rare = {each.arm: each for each in summary.rare}
    if rare:
        of_arms = [rare[name] for name in names]
        columns += [
            Column("p50", "us a step", [significant(each.p50_us, 4) for each in of_arms]),
            Column("p99", "us a step", [significant(each.p99_us, 4) for each in of_arms]),
            Column("longest", "us", [significant(each.max_us, 4) for each in of_arms]),
            Column("outlying", "% of steps", [significant(100 * each.outlying / each.steps, 2) for each in of_arms]),
            Column("above usual", "us a step", [significant(each.excess_us, 2) for each in of_arms]),
            Column("outlying", f"than {summary.baseline}", [each.verdict for each in of_arms]),
        ]
    footnotes = [
        "the main table says what the usual step does; here every step counts, outlying ones as well, so intervals are "
        f"wider. p50, p99 and the longest are of whole {summary.step_word}s, prefills and decodes alike"
    ]
    return Table("us", [FLOOR if name == AA else name for name in names], columns, footnotes, 0, corner="arm")


def build_cpu_table(summary: Summary) -> Table | None:
    """A row an arm: the differences by the thread's own clock beside those by the wall clock; None without them."""
    names = [name for name, arm in summary.arms.items() if arm.measured and name != summary.baseline]
    columns = []
    for metric, of_cpu in OF_CPU.items():
        level = level_name(summary, metric)
        wall, cpu = ([summary.difference(name, each) for name in names] for each in (metric, of_cpu))
        if any(cpu):
            columns += [
                Column(f"Δ {level}", "us, by the clock", [_usual(found) for found in wall]),
                Column(f"Δ {level}", "us of CPU time", [_usual(found) for found in cpu]),
                Column(f"{level} is", "in CPU time", ["" if found is None else found.verdict for found in cpu]),
            ]
    if not columns:
        return None
    footnotes = [
        "CPU time is what the thread had of a processor: other processes do not widen it, and neither waiting nor what "
        "other threads compute is in it. The verdicts of the main table are by the clock"
    ]
    return Table("us", [FLOOR if name == AA else name for name in names], columns, footnotes, 0, corner="arm")


def _difference(found: Comparison | None) -> str:
    return "" if found is None or found.means_us is None else format_interval(found.means_us)


def _usual(found: Comparison | None) -> str:
    return "" if found is None else format_interval(found.per_step_us)
