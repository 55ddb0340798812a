"""Tables of a change's own functions: their calls, their time beside scope and step, and steps of two kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.names import beside_turns, listed
from harness.analysis.own import calls_of, own_functions
from harness.digits import significant
from harness.report.table import Column, Table, count, format_estimate, format_interval, number
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.analysis.summary import Summary

__all__ = ["build_calls_table", "build_kinds_table", "build_own_table"]

MOST: Final = 60
"""Functions that a table shows, at most."""


def build_calls_table(summary: Summary, arms: Sequence[str]) -> Table | None:
    """A row a changed function, a column an arm; one column where all arms call them alike."""
    counted = {name: calls for name in (NATIVE, *arms) if (calls := calls_of(summary.run, name)) is not None}
    own = own_functions(summary.run)
    functions = list(dict.fromkeys(name for arm in arms for name in own.get(arm, [])))
    if not counted or not functions:
        return None
    shown, more = functions[:MOST], len(functions) - MOST
    cells = {arm: [count(float(calls.get(name, 0))) for name in shown] for arm, calls in counted.items()}
    rows = [summary.short.get(name, name) for name in shown]
    footnotes = [f"{more} more functions are in run.json"] if more > 0 else []
    same = len({tuple(of_arm) for of_arm in cells.values()}) == 1
    columns = [Column("calls", "a pass, under every arm", next(iter(cells.values())))] if same else [
        Column(arm, "calls a pass", of_arm) for arm, of_arm in cells.items()
    ]  # fmt: skip
    by = [", ".join(arm for arm in arms if name in own.get(arm, [])) for name in shown]
    return Table("", rows, [*columns, Column("changed by", "", by)], footnotes, 0, corner="function")


def build_own_table(summary: Summary, arms: Iterable[str]) -> Table | None:
    """Of each arm its own functions, the scope and the whole step: before, after, and as shares of the last two."""
    own, rows, cells = own_functions(summary.run), [], []
    base = summary.arms[summary.baseline]
    if not base.measured:
        return None
    scope_us = base.corrected_scope_ns / base.steps / 1e3
    step_us = None if base.bare_step_ns is None else base.bare_step_ns / base.steps / 1e3
    for name in arms:
        arm = summary.arms[name]
        if name == summary.baseline or not arm.measured:
            continue
        probes = [probe for probe in summary.probes if probe in own.get(name, [])]
        levels = [(probe, summary.short.get(probe, probe)) for probe in probes]
        levels += [(SCOPE, summary.scope), (STEP, f"whole {summary.step_word}")]
        for metric, title in levels:
            found = summary.difference(name, metric)
            before, after = (_us(summary, each, metric) for each in (summary.baseline, name))
            if found is None or before is None or after is None:
                continue
            rows.append(f"{title} ({name})")
            of_scope = found.per_step_us.scaled(100 / scope_us) if scope_us > 0 and metric != STEP else None
            of_step = found.per_step_us.scaled(100 / step_us) if step_us else None
            cells.append(
                [
                    f"{number(before)} → {number(after)}",
                    format_interval(found.per_step_us),
                    "" if of_scope is None else format_estimate(of_scope),
                    "" if of_step is None else format_estimate(of_step),
                ]
            )
    if not rows:
        return None
    titles = (
        (f"{summary.baseline} → arm", "us a step"), ("difference", "us a step"), (f"of {summary.scope}", "%"),
        (f"of the whole {summary.step_word}", "%"),
    )  # fmt: skip
    columns = [
        Column(*title, list(column), difference=title[0] == "difference")
        for title, column in zip(titles, zip(*cells, strict=True), strict=True)
    ]
    footnotes = [
        "a function's time is its own, without other changed functions that it calls; in parentheses where the "
        "interval holds zero. The scope is where the changed functions lie"
    ]
    if summary.turns and (beside := beside_turns(summary.run["config"]["scope"])):
        footnotes.append(
            f"{listed(beside, len(beside))} lies beside the turn: what it saves shows in no turn, and its per cent of "
            "the turn only says how much that is"
        )
    return Table("us", rows, columns, footnotes, 0, corner="of")


def build_kinds_table(summary: Summary) -> Table | None:
    """Steps in which an arm's functions are called, beside those in which they are not; None where all are alike."""
    rows, cells = [], []
    for found in summary.populations:
        for index, kind in enumerate(found.kinds):
            rows.append(f"{found.arm}: {kind.kind}")
            apart = "" if index or found.apart_us is None else "yes" if found.apart else "not resolved"
            steps, difference = f"{kind.steps:,}", format_interval(kind.per_step_us)
            cells.append([steps, significant(kind.calls, 3), difference, kind.verdict, apart])
    if not rows:
        return None
    titles = (
        ("steps", "a pass"), ("calls", "in one"), ("difference", f"to {summary.baseline}, us a step"), ("scope is", ""),
        ("kinds differ", ""),
    )  # fmt: skip
    columns = [
        Column(*title, list(column), difference=title[0] == "difference")
        for title, column in zip(titles, zip(*cells, strict=True), strict=True)
    ]
    return Table("us", rows, columns, [], 0, corner="steps in which")


def _us(summary: Summary, name: str, metric: str) -> float | None:
    """A level of an arm, in microseconds a step."""
    arm = summary.arms[name]
    if metric == SCOPE:
        of_pass_ns: float | None = arm.corrected_scope_ns
    elif metric == STEP:
        of_pass_ns = arm.bare_step_ns
    else:
        of_pass_ns = arm.probes[metric].corrected_self_ns
    return None if of_pass_ns is None else of_pass_ns / arm.steps / 1e3
