"""Plots as SVG text, to stand inside a page: they take the page's text colour, and fonts from the reader's machine.

A line has no more points than the eye can separate. Of more values only the lowest and the highest of each stretch are
drawn, which looks the same as all of them, and the title says so.

Arms keep one colour, marker and hatch throughout. Colours are those of Okabe & Ito, "Color universal design" (2008),
which the colour-blind can tell apart; markers and hatches tell them apart without any.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from markupsafe import escape
from matplotlib.ticker import MaxNLocator, ScalarFormatter, SymmetricalLogLocator

from harness.report.figures import Figure
from harness.report.screen_table import shortened
from harness.seams import AA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

    from harness.analysis.summary import Summary

__all__ = [
    "COLOURS",
    "LINE",
    "MARKERS",
    "Plot",
    "arm_style",
    "as_svg",
    "course_plot",
    "draw_plots",
    "make_figure",
    "parts_plot",
    "seen",
    "shapes_plot",
    "steps_plot",
    "zero_line",
]

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C8C00")
MARKERS: Final = "osD^vPX"
HATCHES: Final = ("", "///", "...", "xxx", "\\\\\\", "++", "oo")
LINEAR_US: Final = 20
"""Differences by step are drawn on a linear scale up to this, and on a logarithmic one beyond."""
POINTS: Final = 500
"""Points of a line, at most: the axes are some 500 points wide, and a line is one thick."""
MARKS: Final = 100
"""Markers on a line, at most: they tell arms apart, and are four points wide."""
WIDTH: Final = 7.5
"""Of a figure, in inches."""
LINE: Final = 0.24
"""Height of a line of text, with room around it, in inches."""
LABEL: Final = 32
"""Characters of an arm's name beside an axis, at most."""
CHARACTER: Final = 0.085
"""Width of a character of usual width, in inches."""
INK: Final = "#0a0b0c"
"""Stands for the page's text colour, which replaces it in the SVG."""

# A title of no fixed height would have matplotlib measure all labels to see whether one is in its way; none is on top.
mpl.rcParams.update(
    {
        "svg.fonttype": "none", "svg.hashsalt": "harness", "font.family": "sans-serif", "font.size": 10,
        "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
        "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "axes.titlelocation": "left",
        "axes.titley": 1.0, "legend.frameon": False, "hatch.linewidth": 0.6,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """One plot: its file's name without ending, its heading in a page, and the SVG that takes the page's colour."""

    name: str
    heading: str
    svg: str

    @property
    def standalone(self) -> str:
        """The SVG with a colour of its own, as a file."""
        head, bracket, rest = self.svg.partition(">")
        style = (
            "<style>svg { color: #16191d; } "
            "@media (prefers-color-scheme: dark) { svg { color: #e6e8eb; background: #14171a; } }</style>"
        )
        return f"{head}{bracket}{style}{rest}\n"


def draw_plots(summary: Summary) -> list[Plot]:
    """All plots that this run has data for."""
    drawn = [
        Plot("parts", "Where the time goes", parts_plot(summary)),
        Plot("shapes", "By the shape of the batch", shapes_plot(summary)),
        Plot("steps", "Step by step", steps_plot(summary)),
        Plot("course", "Over the run", course_plot(summary)),
    ]
    return [plot for plot in drawn if plot.svg]


def parts_plot(summary: Summary) -> str:
    """Where the scope's time goes: one bar an arm, its parts the probes' self times and the rest, in us a step."""
    arms = [(name, arm) for name, arm in summary.arms.items() if arm.measured and name != AA]
    if not arms:
        return ""
    parts = [*(probe for probe in summary.probes if any(arm.probes[probe].calls for _, arm in arms)), "rest"]
    columns = min(len(parts), 3)
    above = LINE * math.ceil(len(parts) / columns)
    labels = _labels(name for name, _ in arms)
    figure, (axes,) = make_figure(0.42 * len(arms), left=_width(labels.values()), above=above)
    left = [0.0] * len(arms)
    for index, part in enumerate(parts):
        widths = [
            (arm.corrected_residual_ns if part == "rest" else arm.probes[part].corrected_self_ns) / arm.steps / 1e3
            for _, arm in arms
        ]
        label = "rest of the scope" if part == "rest" else summary.short.get(part, part)
        axes.barh(
            list(labels.values()), widths, left=left, label=label, height=0.7, edgecolor=INK, linewidth=0.5,
            color="#BBBBBB" if part == "rest" else COLOURS[index % len(COLOURS)],
            hatch="" if part == "rest" else HATCHES[index % len(HATCHES)],
        )  # fmt: skip
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, end in enumerate(left):
        axes.annotate(f" {end:.0f}", (end, row), va="center")
    axes.invert_yaxis()
    axes.set_xlabel(f"us a step in {summary.scope}")
    axes.set_xlim(0, max(left) * 1.08)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)
    return as_svg(figure, "Time in the scope by arm and API")


def course_plot(summary: Summary) -> str:
    """Differences group by group, and the levels pass by pass, with shifts and garbage collections marked."""
    course = summary.course
    if course is None:
        return ""
    figure, (above, below) = make_figure(2.3, 1.5, above=2 * LINE)
    thinned = ""
    for name, differences in course.by_group_us.items():
        thinned = _line(
            above, differences, 1, "groups", label=name, linewidth=1, markersize=4, **arm_style(summary, name)
        )
    zero_line(above)
    above.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"Difference to {summary.baseline}, median over steps{thinned}"
    above.set(xlabel="group", ylabel="us a step", title=title)
    above.legend(ncols=4, loc="best")
    for label, levels, colour in (
        ("rest of the step", course.machine_level, "#999999"),
        ("scope", course.scope_level, COLOURS[0]),
    ):
        percent = [100 * level for level in levels]
        thinned = _line(below, percent, 1, "passes", label=label, linewidth=1, color=colour)
    for shift in summary.drift:
        before = (shift.launch - 1) * shift.passes
        below.axvline(before + shift.first_pass + 1, color=INK, linestyle="-" if shift.withholds else ":", linewidth=1)
    passes = len(course.collections)
    collected = [place for place, count in enumerate(course.collections, start=1) if count]
    if 0 < len(collected) < passes:
        apart = list({place // _stretch(passes): place for place in collected}.values())
        below.plot(apart, [0] * len(apart), "|", color=COLOURS[3], label="garbage collection")
    zero_line(below)
    below.set(xlabel="pass", ylabel="%", title=f"Level relative to the usual; vertical: a shift of it{thinned}")
    below.legend(ncols=3, loc="best")
    return as_svg(figure, "Differences and levels over the run")


def steps_plot(summary: Summary) -> str:
    """Differences step by step of a pass, where batch shapes and planted delays show."""
    course = summary.course
    if course is None:
        return ""
    columns = 4
    below = 0.1 + LINE * math.ceil(len(course.by_step_us) / columns)
    figure, (axes,) = make_figure(2.2, above=2 * LINE, below=below)
    thinned = ""
    for name, differences in course.by_step_us.items():
        style = {**arm_style(summary, name), "markersize": 3}
        thinned = _line(axes, differences, 0, "steps", label=name, linewidth=0.8, **style)
    axes.set_yscale("symlog", linthresh=LINEAR_US)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=LINEAR_US, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    zero_line(axes)
    title = f"Difference to {summary.baseline}, median over passes{thinned}"
    axes.set(xlabel="step of the pass", ylabel="us", title=title)
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=columns)
    return as_svg(figure, "Differences by step of the pass")


def shapes_plot(summary: Summary) -> str:
    """Differences with their intervals, one panel a batch shape, each on its own scale."""
    shapes = list(dict.fromkeys((found.shape, found.steps) for found in summary.shapes))
    if not shapes:
        return ""
    arms = list(dict.fromkeys(found.arm for found in summary.shapes))
    labels = _labels(arms)
    heights = [0.1 + 0.26 * len(arms)] * len(shapes)
    figure, panels = make_figure(*heights, left=_width(labels.values()), above=LINE, between=1.4 * LINE)
    for axes, (shape, steps) in zip(panels, shapes, strict=True):
        for found in (each for each in summary.shapes if each.shape == shape):
            interval = found.per_step_us
            style = {**arm_style(summary, found.arm), "linestyle": "none"}
            axes.plot([interval.low, interval.high], [labels[found.arm]] * 2, color=style["color"], linewidth=2)
            axes.plot([interval.estimate], [labels[found.arm]], markersize=5, **style)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.margins(y=0.15)
        axes.invert_yaxis()
        axes.set_title(f"{shape} ({steps} step{'' if steps == 1 else 's'} a pass)")
    panels[-1].set_xlabel(f"us a step to {summary.baseline}")
    return as_svg(figure, "Differences by batch shape")


def make_figure(
    *heights: float, left: float = 0.85, above: float = 0.0, below: float = 0.0, between: float = 3 * LINE
) -> tuple[Figure, list[Axes]]:
    """A figure of panels of these heights, one below the other, with fixed room for what is written around them.

    Sizes are inches. A layout that measures its texts takes as long as all the rest, and measures a font that the
    reader's browser need not have.

    Args:
        heights: of the panels.
        left: for the labels of the vertical axis.
        above: for titles and legends above the first panel.
        below: for a legend below the last one, and its labels.
        between: for what is written between two panels, besides the numbers on the axis.
    """
    gap, foot, mean = LINE + between, 2 * LINE + below, sum(heights) / len(heights)
    height = above + sum(heights) + gap * (len(heights) - 1) + foot
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    figure.subplots_adjust(
        left=left / WIDTH, right=1 - 0.15 / WIDTH, bottom=foot / height, top=1 - above / height, hspace=gap / mean
    )
    return figure, list(panels)


def _width(labels: Iterable[str]) -> float:
    """Room for the longest label, in inches."""
    return 0.2 + CHARACTER * max(map(len, labels))


def _labels(arms: Iterable[str]) -> dict[str, str]:
    """The name of each arm beside an axis, where a long one would leave no room for what is drawn."""
    names = list(arms)
    return dict(zip(names, shortened(names, LABEL), strict=True))


def seen(values: Sequence[float]) -> list[int]:
    """Places of the values that a line shows: all of them, or the lowest and the highest of each stretch."""
    stretch = _stretch(len(values))
    if stretch == 1:
        return list(range(len(values)))
    places = []
    for begin in range(0, len(values), stretch):
        here = range(begin, min(begin + stretch, len(values)))
        places += sorted({min(here, key=values.__getitem__), max(here, key=values.__getitem__)})
    return places


def _stretch(count: int) -> int:
    """How many of so many values share the room of two points; 1 where there is room for all."""
    return 1 if count <= POINTS else math.ceil(2 * count / POINTS)


def _line(axes: Axes, values: Sequence[float], first: int, unit: str, **style: Any) -> str:
    """Draw a line of values that are numbered from `first` on; gives what the title must say if not all are drawn."""
    places = seen(values)
    every = math.ceil(len(places) / MARKS)
    axes.plot([first + place for place in places], [values[place] for place in places], markevery=every, **style)
    stretch = _stretch(len(values))
    return "" if stretch == 1 else f"\n(the lowest and the highest of each {stretch:,} {unit})"


def arm_style(summary: Summary, arm: str) -> dict[str, Any]:
    """Colour, marker and kind of line of an arm."""
    if arm == AA:
        return {"color": "#777777", "marker": ".", "linestyle": "--"}
    index = list(summary.arms).index(arm)
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)], "linestyle": "-"}


def zero_line(axes: Axes) -> None:
    """The line of no difference."""
    axes.axhline(0, color=INK, linewidth=0.8, zorder=0)


def as_svg(figure: Figure, title: str) -> str:
    """SVG text that takes the page's colour, with ids of its own."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    # Ids are the same in every figure; inside one page each needs its own.
    prefix = re.sub(r"\W", "", title)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', text)
    for size in ("width", "height"):  # the page decides
        text = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
