"""A sweep as tables and sentences: a row a point, a column an arm, and where the answer turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.sweep import METRICS, values_told
from harness.digits import significant
from harness.report.table import (
    Column,
    Table,
    format_estimate,
    format_half_width,
    format_interval,
    number,
    unmeasured,
)
from harness.seams import AA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.analysis.sweep import Crossover, PointSummary, SweepSummary

__all__ = ["crossover_lines", "sentence", "sweep_tables"]

UNKNOWN: Final = "not measured"
PARENTHESES: Final = "In parentheses: no difference is resolved."


def sweep_tables(sweep: SweepSummary, compact: bool = False) -> list[tuple[str, Table]]:
    """Captions and tables: differences in the scope, in the whole step, and what share of it the scope is.

    Args:
        sweep: what is shown.
        compact: with half-widths, and without per cent; what is not resolved stands in parentheses.
    """
    first = sweep.first
    if first is None:
        return []
    names = {SCOPE: first.scope, STEP: f"the whole {first.step_word}"}
    found = [
        (f"Differences in {names[metric]}, by point", _differences(sweep, metric, compact))
        for metric in METRICS
        if any(point.baseline_us(metric) is not None for point in sweep.points)
    ]
    return [*found, (f"{first.scope} as a share of {names[STEP]}, under {sweep.baseline}", _shares(sweep))]


def _corner(sweep: SweepSummary) -> str:
    """The last part of each key; the sentence has them whole."""
    return ", ".join(key.rpartition(".")[2] for key in sweep.axes)


def _rows(sweep: SweepSummary) -> list[str]:
    return [", ".join(str(value) for value in point.values.values()) for point in sweep.points]


def _differences(sweep: SweepSummary, metric: str, compact: bool) -> Table:
    columns = [Column(sweep.baseline, "us a step", [_figure(point.baseline_us(metric)) for point in sweep.points])]
    for arm in (*sweep.arms, AA):
        cells = [_cell(point, arm, metric, compact) for point in sweep.points]
        if arm != AA or any(cells):
            title = f"{sweep.baseline} (A/A)" if arm == AA else arm
            unit = "us a step" if compact else f"to {sweep.baseline}, us a step (%)"
            columns.append(Column(title, unit, cells, difference=True))
    return Table("us", _rows(sweep), columns, [PARENTHESES] * compact, 0, corner=_corner(sweep))


def _figure(value_us: float | None) -> str:
    return UNKNOWN if value_us is None else number(value_us)


def _cell(point: PointSummary, arm: str, metric: str, compact: bool) -> str:
    found, percent = point.difference(arm, metric), point.percent(arm, metric)
    if found is None or percent is None:
        if arm == AA:
            return ""
        return UNKNOWN if point.summary is None else unmeasured(point.summary.arms[arm])
    if compact:
        told = format_half_width(found.per_step_us)
        return f"({told})" if found.verdict == "not resolved" else f"{told} {found.verdict}"
    return f"{format_interval(found.per_step_us)} ({format_estimate(percent).strip('()')} %) {found.verdict}"


def _shares(sweep: SweepSummary) -> Table:
    scope, whole = ([point.baseline_us(metric) for point in sweep.points] for metric in METRICS)
    shares = [
        f"{100 * part / of:.3g} %" if part is not None and of else UNKNOWN
        for part, of in zip(scope, whole, strict=True)
    ]
    assert sweep.first is not None  # noqa: S101 (`sweep_tables` asks)
    columns = [
        Column(sweep.first.scope, "us a step", [_figure(value) for value in scope]),
        Column(f"whole {sweep.first.step_word}", "us", [_figure(value) for value in whole]),
        Column("share", "of it", shares),
    ]
    return Table("us", _rows(sweep), columns, [], 0, corner=_corner(sweep))


def crossover_lines(sweep: SweepSummary) -> list[str]:
    """A sentence for each crossover, and for each arm that has none in the scope what it is all along."""
    lines = [_crossover(sweep, found) for found in sweep.crossovers]
    turning = {found.arm for found in sweep.crossovers if found.metric == SCOPE}
    return lines + [_all_along(sweep, arm) for arm in sweep.arms if arm not in turning]


def _crossover(sweep: SweepSummary, found: Crossover) -> str:
    first = sweep.first
    name = "" if first is None else first.scope if found.metric == SCOPE else f"the whole {first.step_word}"
    fixed = f", at {values_told(found.fixed)}" if found.fixed else ""
    low, high, at = (significant(value, 2) for value in (found.low, found.high, found.estimate))
    return (
        f"{found.arm} is {found.below} than {sweep.baseline} in {name} up to {found.axis} = {low}, and {found.above} "
        f"from {high} on{fixed}; it crosses at about {at}, on lines between the points"
    )


def _all_along(sweep: SweepSummary, arm: str) -> str:
    """What an arm is at which points, without a crossover."""
    by_verdict: dict[str, list[str]] = {}
    for point in sweep.points:
        found = point.difference(arm, SCOPE)
        verdict = UNKNOWN if found is None else found.verdict
        by_verdict.setdefault(verdict, []).append(values_told(point.values))
    if len(by_verdict) == 1:
        return f"{arm}: {next(iter(by_verdict))} at every point"
    return f"{arm}: {'; '.join(f'{verdict} at {_several(places)}' for verdict, places in by_verdict.items())}"


def _several(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{', '.join(places[:-1])} and {places[-1]}"


def sentence(sweep: SweepSummary) -> str:
    """What the sweep is, in a line."""
    axes = " and ".join(f"{key} = {', '.join(map(str, values))}" for key, values in sweep.axes.items())
    measured = sum(point.summary is not None and bool(point.summary.comparisons) for point in sweep.points)
    confidence = sweep.run["config"]["protocol"]["confidence"] * 100
    return (
        f"{len(sweep.points)} points: {axes}; {measured} measured, each by a run of its own. All intervals of all "
        f"points hold together at {confidence:g} %"
    )


def struck(sweep: SweepSummary) -> Iterator[tuple[str, str]]:
    """Arms that are not equal to native at a point, and why."""
    for arm, found in sweep.run.get("equality", {}).items():
        if not found["equal"]:
            yield arm, found.get("reason", "")
