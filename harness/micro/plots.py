"""A log-log plot for each sweep, published figures dashed beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.micro.published import published_tables
from harness.micro.results import growth_exponent
from harness.report.figures import Figure
from harness.report.plots import COLOURS, MARKERS, Plot, as_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.micro.results import Results
    from harness.micro.timing import MeasuredRow

__all__ = ["sweep_plot"]

PANELS: Final = {"concat": (" of ", "pieces of {}"), "copy_to_gpu": (", ", "{}")}
"""How the labels of a sweep in several panels are split, and the title of a panel."""


def sweep_plot(results: Results) -> Plot | None:
    """Time against size, both by their logarithms; None for what is no sweep, or has fewer than two sizes."""
    if len({row.size for row in results.rows if row.size is not None}) < 2:
        return None
    panels = _panels(results)
    figure = Figure(figsize=(7.5, 3.6 if len(panels) > 1 else 4.2), layout="constrained")
    for axes, (title, rows) in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        _draw(axes, results, rows)
        axes.set_title(_plain(title))
        axes.set_xlabel("pieces" if results.benchmark == "concat" else "items")
    figure.axes[0].set_ylabel("ms in all" if results.benchmark == "incremental" else "ms a call")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Plot(results.benchmark, results.title, as_svg(figure, results.title))


def _plain(text: str) -> str:
    """A text without mathematics in it, which matplotlib sees between dollars."""
    return text.replace("$", r"\$")


def _panels(results: Results) -> list[tuple[str, list[MeasuredRow]]]:
    """One panel; of `concat` one a length of its pieces, of `copy_to_gpu` an idle GPU and a busy one."""
    if results.benchmark not in PANELS:
        return [("", results.rows)]
    separator, title = PANELS[results.benchmark]
    parts = dict.fromkeys(row.label.partition(separator)[2] for row in results.rows)
    return [
        (title.format(part), [row for row in results.rows if row.label.partition(separator)[2] == part])
        for part in parts
    ]


def _draw(axes: Axes, results: Results, rows: list[MeasuredRow]) -> None:
    tables = published_tables(results.benchmark)
    sizes = [row.size for row in rows if row.size is not None]
    for index, column in enumerate(results.columns):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        seconds = [row.timings[column].median_s for row in rows]
        label = column
        if results.benchmark == "incremental" and (exponent := growth_exponent(sizes, seconds)):
            label = f"{column}: as N to the {exponent.value:.2f}"
        axes.errorbar(
            sizes, [1e3 * each for each in seconds], yerr=[1e3 * row.timings[column].spread_s for row in rows],
            label=_plain(label), color=colour, marker=marker, markersize=5, linewidth=1.2,
        )  # fmt: skip
        published = next((table for table in tables if any(column in of for of in table.values())), {})
        theirs = [(row.size, published[row.label][column]) for row in rows if column in published.get(row.label, {})]
        if theirs:
            axes.plot(*zip(*theirs, strict=True), linestyle="--", linewidth=1, color=colour, marker=marker,
                      markersize=4, markerfacecolor="none", label=_plain(f"{column}, published"))  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
