"""Flamegraphs as SVG: one arm's, and the difference of two.

Drawn here since no maintained Python package draws differential ones; after Brendan Gregg, "The flame graph" (CACM
2016) and "Differential flame graphs" (2014). The outermost function is on top. Where two arms are compared, a frame is
as wide as the mean of its two times, so that frames of only one arm show as well. Its colour says how much more or less
the second arm takes; a difference that sampling does not resolve stays grey.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.analysis.names import scope_title
from harness.config.host import place_of
from harness.report.speedscope import speedscope
from harness.report.templates import render
from harness.sampling.stacks import ENTRY, SEAM, change, match, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.analysis.summary import Summary
    from harness.sampling.sampled import Flame
    from harness.sampling.stacks import Change, Node

__all__ = ["FlameFile", "flamegraph_files", "render_difference", "render_flamegraph"]

WIDTH: Final = 1200
MARGIN: Final = 12
ROW: Final = 20
LINE: Final = 17
LETTER: Final = 6.6
"""About how wide a letter is, for the legend."""
NARROWEST: Final = 0.0005
"""Share of the width below which a frame is left out."""

GROUPS: Final = {
    "vllm": "#8fc1e3",
    "torch": "#f0b173",
    "numpy": "#8ed1b2",
    "arms": "#e3a3c4",
    "harness": "#c9c9c9",
    "other": "#e8dc8a",
}
"""Tints of Okabe & Ito's colours, dark text on all of them, by what a frame belongs to."""
MORE, LESS, ALIKE = (206, 62, 47), (52, 116, 190), (226, 226, 226)


@dataclass(frozen=True)
class _Box:
    """A frame as drawn; `x` and `width` are shares of the whole."""

    row: int
    x: float
    width: float
    fill: str
    hatched: bool
    label: str
    tooltip: str


@dataclass(frozen=True)
class _Entry:
    """A line of the legend."""

    label: str
    fill: str
    hatched: bool = False


@dataclass(frozen=True)
class FlameFile:
    """A file in the run's folder: a picture, of one arm or of a difference, or stacks for speedscope."""

    name: str
    title: str
    text: str
    difference: bool = False

    @property
    def svg(self) -> str:
        """The picture, if it is one."""
        return self.text if self.name.endswith(".svg") else ""


def flamegraph_files(summary: Summary) -> list[FlameFile]:
    """Every arm's difference to the baseline, then every arm's own graph, as a picture and for speedscope."""
    config, flames = summary.run["config"], summary.flames
    scope, baseline, place = scope_title(config["scope"], summary.short), summary.baseline, place_of(config)
    target = place.target if place is not None else config.get("swap", "")
    differences, own = [], []
    for arm, flame in flames.items():
        own += [
            FlameFile(f"flamegraphs/{arm}.svg", arm, render_flamegraph(flame, arm, scope)),
            FlameFile(f"flamegraphs/{arm}.speedscope.json", arm, json.dumps(speedscope(flame, arm, scope))),
        ]
        if baseline in flames and arm != baseline:
            names, swapped = (baseline, arm), target.rpartition(".")[2]
            picture = render_difference(flames[baseline], flame, names, scope, swapped)
            name = f"flamegraphs/{arm}-against-{baseline}.svg"
            differences.append(FlameFile(name, f"{arm} against {baseline}", picture, difference=True))
    return differences + own


def render_flamegraph(flame: Flame, arm: str, scope: str) -> str:
    """One arm's flamegraph."""
    tree = _without_root(merge(flame.stacks, root=arm))
    total = max(tree.counts[0], 1)
    used: set[str] = set()
    unit, per = flame.unit.split(" ", 1)

    def draw(node: Node, row: int, x: float, width: float) -> _Box:
        time = f"{_number(node.counts[0] * flame.a_sample)} {unit}"
        share = f"{node.counts[0] / total * 100:.3g} %"
        itself = f", itself {_number(node.own[0] * flame.a_sample)} {unit}" if node.own[0] else ""
        group = _group(node.frame.file)
        used.add(group)
        return _Box(
            row, x, width, GROUPS[group], False, f"{node.frame.name} {time}",
            f"{_where(node)}\n{time} {per}, {share}, {node.counts[0]} samples{itself}",
        )  # fmt: skip

    boxes = list(_lay_out(tree, lambda node: node.counts[0] / total, draw))
    whole = flame.recording.whole
    title = f"{arm}: {'all that the process did' if whole else f'{scope}, {_number(flame.scope_time)} {flame.unit}'}"
    return _svg(title, _about(flame), boxes, [_Entry(name, fill) for name, fill in GROUPS.items() if name in used])


def render_difference(baseline: Flame, flame: Flame, names: tuple[str, str], scope: str, seam: str) -> str:
    """Where the second arm spends more and where less than the first.

    Args:
        baseline: the first arm's recording.
        flame: the second's.
        names: the names of both, in that order.
        scope: name of the function inside which time counts.
        seam: name of the function that is swapped.
    """
    weights = (baseline.a_sample, flame.a_sample)
    matched = match(baseline.stacks, seam), match(flame.stacks, seam)
    tree = _without_root(merge(*matched, root=f"{names[1]} against {names[0]}"))
    entered = [name for name, stacks in zip(names, matched, strict=True) if any(ENTRY in stack for stack in stacks)]
    titles = {SEAM: f"the seam: {seam}", ENTRY: f"the arm: {' | '.join(entered)}"}

    def us(node: Node) -> tuple[float, float]:
        return node.counts[0] * weights[0], node.counts[1] * weights[1]

    total = max(sum(us(tree)), 1e-9)
    frames = sum(1 for _ in _all(tree))

    def changed(node: Node) -> Change:
        return change((node.counts[0], node.counts[1]), weights, frames)

    largest = max((abs(of.us) for node in _all(tree) if (of := changed(node)).resolved), default=0.0)

    def draw(node: Node, row: int, x: float, width: float) -> _Box:
        found = changed(node)
        share = found.us / largest if found.resolved and largest else 0.0
        label = titles.get(node.frame, node.frame.name)
        where = label if node.frame in titles else _where(node)
        told = "" if found.resolved else " (not resolved by these samples)"
        first, second = us(node)
        return _Box(
            row, x, width, _blend(share), share < 0, f"{label} {_signed(found.us)} us" if found.resolved else label,
            f"{where}\n{names[0]} {_number(first)} us a step ({node.counts[0]} samples), "
            f"{names[1]} {_number(second)} us ({node.counts[1]}): {_signed(found.us)} us{told}",
        )  # fmt: skip

    boxes = list(_lay_out(tree, lambda node: sum(us(node)) / total, draw))
    first, second = us(tree)
    place = "all that the process does" if flame.recording.whole else scope
    found = changed(tree)
    title = f"{names[1]} against {names[0]} in {place}: {_number(second)} instead of {_number(first)} us a step"
    title += f" ({_signed(found.us)})" if found.resolved else " (not resolved by sampling)"
    lines = [f"{name}: {line}" for name, each in zip(names, (baseline, flame), strict=True) for line in _about(each)]
    legend = [
        _Entry(f"{names[1]} takes more", _blend(1)),
        _Entry(f"{names[1]} takes less", _blend(-1), hatched=True),
        _Entry("no difference, or none that these samples resolve (95 %, all frames together)", _blend(0)),
    ]
    return _svg(title, lines, boxes, legend)


def _without_root(tree: Node) -> Node:
    """The tree without its artificial root, where there is only one function under it."""
    return next(iter(tree.children.values())) if len(tree.children) == 1 else tree


def _all(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children.values():
        yield from _all(child)


def _lay_out(
    tree: Node, share: Callable[[Node], float], draw: Callable[[Node, int, float, float], _Box]
) -> Iterator[_Box]:
    """Every frame with its place: a row a call, children side by side under their caller."""

    def place(node: Node, row: int, x: float) -> Iterator[_Box]:
        width = share(node)
        if width < NARROWEST:
            return
        yield draw(node, row, x, width)
        for child in node.children.values():
            yield from place(child, row + 1, x)
            x += share(child)

    return place(tree, 0, 0.0)


def _svg(title: str, lines: list[str], boxes: list[_Box], legend: list[_Entry]) -> str:
    rows = max((box.row for box in boxes), default=0) + 1
    top = 44 + LINE * len(lines)
    entries, x = [], float(MARGIN)
    for entry in legend:
        width = 34 + LETTER * len(entry.label)
        entries.append({"x": x, "width": width, "label": entry.label, "fill": entry.fill, "hatched": entry.hatched})
        x += width
    return render(
        "flamegraph.svg.j2", title=title, lines=lines, boxes=boxes, legend=entries, rows=rows, row=ROW, top=top,
        width=WIDTH, margin=MARGIN, height=top + rows * ROW + 36, percent=lambda value: f"{value * 100:.4f}%",
    )  # fmt: skip


def _about(flame: Flame) -> list[str]:
    """What the recording was, and what it cost."""
    recording = flame.recording
    behind = f", {recording.behind_s:.1f} s behind" if recording.behind_s else ""
    how = " without stopping the process, so that stacks may be torn" if recording.nonblocking else ""
    frames = ", native frames too" if recording.native else ""
    slowed = (
        f"steps took {recording.slow_down:.3g} times as long meanwhile"
        if recording.slow_down
        else "how much that slowed the process is not known"
    )
    return [
        f"py-spy at {recording.rate_hz} Hz for {recording.seconds:.0f} s{how}{frames}: {recording.samples:,} samples "
        f"({recording.scope_samples:,} in the scope), {recording.errors:,} errors{behind}; {slowed}; "
        f"a sample stands for {_number(flame.a_sample)} {flame.unit}"
    ]


def _where(node: Node) -> str:
    return f"{node.frame.name} ({node.frame.file})" if node.frame.file else node.frame.name


def _group(file: str) -> str:
    first = file.partition("/")[0]
    if first in GROUPS:
        return first
    if first.startswith(("libtorch", "libc10")):
        return "torch"
    # A user's own arm lives in a file outside any package, as do the single-file modules of Python's library.
    own = "/" not in file and file.endswith(".py") and file.removesuffix(".py") not in sys.stdlib_module_names
    return "arms" if first == "patches" or own else "other"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{_number(abs(value))}"


def _blend(share: float) -> str:
    """From grey to red for more (1), to blue for less (-1); never so pale that it looks like grey."""
    towards = MORE if share > 0 else LESS
    strength = 0.0 if share == 0 else 0.25 + 0.6 * min(abs(share), 1.0)
    mixed = (round(grey + (full - grey) * strength) for grey, full in zip(ALIKE, towards, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)
