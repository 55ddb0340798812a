"""The picture of a profile: a turn of each kind as a stacked bar, its phases in order of time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from harness.analysis.phase_parts import ARRIVAL
from harness.report.plots import COLOURS, HATCHES, INK, LINE, Plot, as_svg, make_figure

if TYPE_CHECKING:
    from harness.analysis.anatomy import Anatomy

__all__ = ["draw_anatomy"]

DRAWN: Final = 12
"""Phases with a colour of their own; all others together are grey."""
LABELLED: Final = 0.045
"""A part of a bar from this share on has its per cent written in it."""
GREY: Final = "#BBBBBB"
PALE: Final = ("#E69F00", "#56B4E9", "#8C8C00", GREY)
"""Colours on which dark text is read best."""
OTHERS: Final = "all others"
COLUMNS: Final = 3


def draw_anatomy(anatomy: Anatomy) -> list[Plot]:
    """One picture; none where nothing was measured."""
    if not anatomy.kinds:
        return []
    time: dict[str, float] = {}
    for kind in anatomy.kinds:
        for phase in kind.phases:
            time[phase.label] = time.get(phase.label, 0.0) + phase.share
    parts = sorted(time, key=lambda label: -time[label])[:DRAWN]
    looks = {
        part: (COLOURS[place % len(COLOURS)], HATCHES[place // len(COLOURS) % len(HATCHES)])
        for place, part in enumerate(parts)
    } | {OTHERS: (GREY, "")}
    titles = {
        kind.kind: f"{kind.kind}\n{kind.whole_us.estimate / 1e3:.3g} ms{' a request' if kind.kind == ARRIVAL else ''}"
        for kind in anatomy.kinds
    }
    rows = math.ceil((len(parts) + 1) / COLUMNS)
    figure, (axes,) = make_figure(0.62 * len(anatomy.kinds), left=1.45, above=LINE * rows)
    for kind in anatomy.kinds:
        by = {part: sum(phase.share for phase in kind.phases if phase.label == part) for part in parts}
        order = sorted(by, key=lambda part: -by[part])
        by[OTHERS] = max(1 - sum(by.values()), 0.0)
        left = 0.0
        for part in (*order, OTHERS):
            colour, hatch = looks[part]
            axes.barh(
                [titles[kind.kind]], [100 * by[part]], left=[left], height=0.7, color=colour, hatch=hatch,
                edgecolor=INK, linewidth=0.5,
            )  # fmt: skip
            if by[part] >= LABELLED:
                ink = "#0A0A0A" if colour in PALE else "white"
                axes.annotate(
                    f"{100 * by[part]:.0f}", (left + 50 * by[part], titles[kind.kind]), ha="center", va="center",
                    color=ink, fontsize=9,
                )  # fmt: skip
            left += 100 * by[part]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of a turn with its output (of the arrival of a request)")
    first = titles[anatomy.kinds[0].kind]
    handles = [
        axes.barh([first], [0], color=looks[part][0], hatch=looks[part][1], edgecolor=INK, linewidth=0.5, label=part)
        for part in (*parts, OTHERS)
    ]
    figure.legend(handles=handles, loc="upper left", ncols=COLUMNS, borderaxespad=0.2)
    return [Plot("turn", "A turn, phase by phase", as_svg(figure, "A turn of each kind by its phases"))]
