"""The pictures of a history: the host's time of a turn by release, and that of its longest phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.analysis.history import HOST, MODEL, WHOLE
from harness.analysis.phase_parts import ARRIVAL
from harness.report.plots import COLOURS, INK, LINE, MARKERS, Plot, as_svg, make_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from harness.analysis.history import Course, Summary

__all__ = ["draw_history"]

DRAWN: Final = 6
"""Phases of a kind of turn that are drawn, by their longest time."""


def draw_history(summary: Summary) -> list[Plot]:
    """A picture for each kind of turn: above the turn, below its longest phases."""
    plots = []
    for kind in reversed(summary.kinds):
        courses = [each for each in summary.courses if each.kind == kind]
        phases = [each for each in courses if each.phase not in (WHOLE, HOST) and each.section != MODEL][:DRAWN]
        turn = [each for each in courses if each.phase == HOST] or [each for each in courses if each.phase == WHOLE]
        if not turn or not phases:
            continue
        figure, (above, below) = make_figure(2.2, 2.8, above=LINE * 2, between=LINE * 3, below=LINE * 2)
        releases = summary.history.releases
        name = "a request's arrival" if kind == ARRIVAL else f"a turn of {kind}"
        what = "host time of" if turn[0].phase == HOST else "time of"
        _draw(above, turn, releases)
        above.set(ylabel="us", title=f"{what} {name}, and where it changed")
        above.set_ylim(bottom=0)
        _draw(below, phases, releases)
        below.set(ylabel="us", title=f"the longest phases of {name}")
        below.title.set_position((0, 1.0))
        below.set_ylim(bottom=0)
        handles, labels = below.get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=3, borderaxespad=0.1)
        heading = f"{what[0].upper()}{what[1:]} {name} by release"
        plots.append(Plot(f"history-{kind}", heading, as_svg(figure, heading)))
    return plots


def _draw(axes: Axes, courses: Sequence[Course], releases: Sequence[str]) -> None:
    axes.set_xticks(range(len(releases)), releases, rotation=30, ha="right")
    for index, course in enumerate(courses):
        colour = COLOURS[index % len(COLOURS)] if len(courses) > 1 else INK
        there = [(place, course.levels.get(release)) for place, release in enumerate(releases)]
        levels = [(place, level) for place, level in there if level is not None]
        middle = [level.estimate for _, level in levels]
        spread = [
            [level.estimate - level.low for _, level in levels], [level.high - level.estimate for _, level in levels],
        ]  # fmt: skip
        axes.errorbar(
            [place for place, _ in levels], middle, yerr=spread, label=course.phase, color=colour,
            marker=MARKERS[index % len(MARKERS)], linewidth=1, markersize=5, capsize=3,
        )  # fmt: skip
        for step in course.steps:
            axes.axvline(releases.index(step.release) - 0.5, color=colour, linewidth=1, linestyle=":")
