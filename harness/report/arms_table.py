"""The table with a row an arm: equal or not, the scope, the whole step, and the verdicts on both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.analysis.metrics import SCOPE, STEP
from harness.report.table import (
    FLOOR,
    Column,
    Table,
    format_estimate,
    format_interval,
    level_name,
    number,
    of_time,
    unmeasured,
)
from harness.seams import AA

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.analysis.intervals import Interval
    from harness.analysis.summary import Summary

__all__ = ["EQUAL", "build_arms_table"]

EQUAL: Final = {True: "yes", False: "no", None: "not checked"}
"""What the column `equal` says of an arm."""
OTHERWISE: Final = "otherwise"
"""Of a setting that computes otherwise than native, which a note then tells."""
IN_PER_CENT: Final = "Per cent are of the baseline's time; in parentheses where the interval holds zero."


def build_arms_table(summary: Summary, form: Callable[[Interval], str] = format_interval) -> Table | None:
    """A row an arm in the config's order, the baseline first and A/A last; None where no arm was measured.

    Args:
        summary: what is shown; times are microseconds a step, changes per cent of the baseline's.
        form: writes an interval.
    """
    names = [name for name, arm in summary.arms.items() if arm.measured or name != AA]
    if not any(summary.arms[name].measured for name in names):
        return None
    names.sort(key=lambda name: name != summary.baseline)
    rows = [FLOOR if name == AA else name for name in names]
    equal = ["" if name == AA else _equal(summary, name) for name in names]
    columns = [Column("equal", "", equal), *_level_columns(summary, names, SCOPE, form)]
    if any(arm.bare_step_ns is not None for arm in summary.arms.values()):
        columns += _level_columns(summary, names, STEP, form)
        rates = {found.arm: f"{found.tokens_per_s:,.0f}" for found in summary.throughput}
        columns.append(Column("tokens/s", f"output, of {of_time(summary)}", [rates.get(name, "") for name in names]))
    footnotes = [IN_PER_CENT] if summary.comparisons else []
    return Table("us", rows, columns, footnotes, 0, corner="arm")


def _equal(summary: Summary, name: str) -> str:
    across = summary.run.get("across") or {}
    return OTHERWISE if name in across.get("otherwise", {}) else EQUAL[summary.arms[name].equal]


def _level_columns(summary: Summary, names: list[str], metric: str, form: Callable[[Interval], str]) -> list[Column]:
    """Of the scope or of the step: its time, the difference to the baseline, the same in per cent, and the verdict."""
    baseline, level = summary.arms[summary.baseline], level_name(summary, metric)
    of_baseline_us = _a_step_us(summary, summary.baseline, metric) if baseline.measured else None
    times, differences, changes, verdicts = [], [], [], []
    for name in names:
        arm, comparison = summary.arms[name], summary.difference(name, metric)
        time_us = _a_step_us(summary, name, metric) if arm.measured else None
        times.append("" if time_us is None else number(time_us))
        if comparison is None or of_baseline_us is None or of_baseline_us <= 0:
            itself = name == summary.baseline and arm.measured
            differences.append("baseline" if itself else "")
            changes.append("")
            verdicts.append("" if arm.measured else unmeasured(arm))
        else:
            differences.append(form(comparison.per_step_us))
            changes.append(f"{format_estimate(comparison.per_step_us.scaled(100 / of_baseline_us))}")
            verdicts.append(comparison.verdict)
    return [
        *([Column(metric, "us a step", times)] if metric == SCOPE else []),
        Column(f"Δ {level}", f"to {summary.baseline}, us", differences, difference=True),
        Column(f"Δ {level}, %", "", changes),
        Column(f"{level} is", "", verdicts, difference=True),
    ]


def _a_step_us(summary: Summary, name: str, metric: str) -> float | None:
    arm = summary.arms[name]
    of_pass_ns = arm.corrected_scope_ns if metric == SCOPE else arm.bare_step_ns
    return None if of_pass_ns is None else of_pass_ns / arm.steps / 1e3
