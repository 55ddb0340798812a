"""The picture of a sweep: each arm's difference along an axis with its intervals, and where it crosses zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import NullFormatter, NullLocator

from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.sweep import METRICS, is_wide, values_told
from harness.report.plots import LINE, Plot, arm_style, as_svg, make_figure, zero_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.analysis.sweep import PointSummary, SweepSummary

__all__ = ["draw_sweep"]

MOST_PANELS = 8
"""Panels in all; of a sweep of two keys the first ones are drawn."""


def draw_sweep(sweep: SweepSummary) -> list[Plot]:
    """One picture: the scope's differences along the first key, a panel a value of the second; then the step's."""
    first = sweep.first
    if first is None:
        return []
    axis, *others = sweep.axes
    names = {SCOPE: first.scope, STEP: f"the whole {first.step_word}"}
    fixed = list(dict.fromkeys(tuple(point.values[key] for key in others) for point in sweep.points))
    wanted = [
        (metric, values)
        for metric in METRICS
        for values in fixed
        if any(point.baseline_us(metric) is not None for point in sweep.points)
    ][:MOST_PANELS]
    figure, panels = make_figure(*([2.0] * len(wanted)), above=2 * LINE, between=2 * LINE, below=LINE)
    for axes, (metric, values) in zip(panels, wanted, strict=True):
        at = dict(zip(others, values, strict=True))
        line = [point for point in sweep.points if all(point.values[key] == value for key, value in at.items())]
        _panel(axes, sweep, line, axis, metric, at)
        told = f", {values_told(at)}" if at else ""
        axes.set(ylabel="%", title=f"{names[metric]}: difference to {sweep.baseline}{told}")
    panels[-1].set_xlabel(axis)
    panels[0].legend(loc="best", ncols=4)
    return [Plot("sweep", f"Along {' and '.join(sweep.axes)}", as_svg(figure, "Differences along the sweep"))]


def _panel(
    axes: Axes, sweep: SweepSummary, line: list[PointSummary], axis: str, metric: str, at: dict[str, Any]
) -> None:
    values = [point.values[axis] for point in line]
    numeric = not any(isinstance(value, bool | str) for value in values)
    places = [float(value) for value in values] if numeric else [float(index) for index in range(len(values))]
    if numeric and is_wide(places):
        axes.set_xscale("log")
    axes.set_xticks(places, [str(value) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    assert sweep.first is not None  # noqa: S101 (`draw_sweep` asks)
    for arm in sweep.arms:
        style = arm_style(sweep.first, arm)
        along, middle, below, above = [], [], [], []
        for place, point in zip(places, line, strict=True):
            percent = point.percent(arm, metric)
            if percent is not None:
                along.append(place)
                middle.append(percent.estimate)
                below.append(percent.estimate - percent.low)
                above.append(percent.high - percent.estimate)
        if not along:  # it is not equal to native, or nothing was measured
            continue
        axes.errorbar(along, middle, yerr=[below, above], label=arm, linewidth=1, markersize=5, capsize=3, **style)
        for crossing in sweep.crossovers:
            if (crossing.arm, crossing.metric, crossing.axis, crossing.fixed) == (arm, metric, axis, at):
                axes.axvspan(crossing.low, crossing.high, color=style["color"], alpha=0.15, linewidth=0)
    zero_line(axes)
