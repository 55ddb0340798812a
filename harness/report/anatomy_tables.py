"""A profile as tables and sentences: phases by kind of turn, what recurs, what shows, what is left behind."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from harness.analysis.phase_parts import ARRIVAL
from harness.analysis.phase_times import MARKED, OF_THE_MODEL
from harness.report.anatomy_figures import figure, half_width
from harness.report.table import DAGGER, Column, Table

if TYPE_CHECKING:
    from harness.analysis.anatomy import Anatomy
    from harness.analysis.phase_times import Kind, PhaseTime

__all__ = [
    "columns_that_fit", "kind_table", "kind_title", "lines_tables", "memory_table", "overview", "populations_table",
    "sampled_table", "sentence",
    "suggestions", "swapped", "told", "untimed_table", "whole_sentence",
]  # fmt: skip

EDGES: Final = 2
"""Spaces around a cell."""
SUGGESTED: Final = 3
CORES: Final = "the engine core's turn"
MOST_UNTIMED: Final = 20
"""Functions that are told of and have no time."""
LOOKED: Final = f"{DAGGER} looking cost more than {100 * MARKED:.0f} % of what was seen, and is subtracted"


def kind_title(kind: Kind, anatomy: Anatomy) -> str:
    """`decode: 63 of 64 turns, 64 requests, 64 tokens`."""
    if kind.kind == ARRIVAL:
        return f"arrival: {kind.count:,} requests, each on its own"
    requests, tokens = (_range(*ends) for ends in (kind.requests, kind.tokens))
    return f"{kind.kind}: {kind.count} of {anatomy.steps} turns, {requests} requests and {tokens} tokens in each"


def whole_sentence(kind: Kind, anatomy: Anatomy) -> str:
    """How long it takes, whether the phases add up to it, and what was left out."""
    turn = _turn(anatomy)
    what = "a request" if kind.kind == ARRIVAL else "a turn with its output" if turn == CORES else turn
    parts = [f"{what} takes {half_width(kind.whole_us)} us"]
    if kind.bare_us is not None and kind.told is not None:
        percent = kind.told.scaled(100)
        parts.append(
            f"the phases of {turn} add up to {percent.estimate:.1f} % "
            f"(±{(percent.high - percent.low) / 2:.1f}) of what it takes without probes ({half_width(kind.bare_us)} us)"
        )
    if kind.disturbed:
        parts.append(
            f"{100 * kind.disturbed:.2g} % of them are left out of means, since something took the core away: "
            f"{100 * kind.disturbed_time:.2g} % of all time"
        )
    return "; ".join(parts)


def kind_table(kind: Kind, anatomy: Anatomy, most: int | None = None) -> Table:
    """A row a phase, in order of time; the last row is all of it.

    Args:
        kind: of turn.
        anatomy: has what shows of each phase.
        most: so many rows at most; the others are added up in one.
    """
    rows = kind.phases if most is None else kind.phases[:most]
    others = kind.phases[len(rows) :]
    per = "a request" if kind.kind == ARRIVAL else "a turn"
    names = [f"{'  ' * phase.depth}{phase.label}" for phase in rows]
    us = [half_width(phase.us) + DAGGER * phase.marked for phase in rows]
    share = [f"{100 * phase.share:.1f}" for phase in rows]
    columns = {
        "calls": [f"{phase.calls:.3g}" for phase in rows],
        "p50": [figure(phase.p50_us) for phase in rows],
        "p99": [figure(phase.p99_us) for phase in rows],
        "longest": [figure(phase.longest_us) for phase in rows],
    }
    more = []
    if others:
        more.append((f"{len(others)} more", sum(phase.us.estimate for phase in others)))
    if abs(kind.rest_us) >= 0.001 * kind.whole_us.estimate:
        more.append(("in no phase", kind.rest_us))
    for name, rest_us in more:
        names.append(name)
        us.append(figure(rest_us))
        share.append(f"{100 * rest_us / kind.whole_us.estimate:.1f}")
    names.append("all of it")
    us.append(half_width(kind.whole_us))
    share.append("100")
    blank = [""] * (len(names) - len(rows))
    cells = [Column("us", per, us), Column("share", "%", share)]
    if anatomy.shown and kind.kind != ARRIVAL:
        shown = [
            half_width(anatomy.shown[phase.label].scaled(100)) if phase.label in anatomy.shown else "" for phase in rows
        ]
        cells.append(Column("shows", "% of it", shown + blank))
    subtitles = {"calls": per, "p50": "us", "p99": "us", "longest": "us"}
    cells += [Column(title, subtitles[title], values + blank) for title, values in columns.items()]
    notes = [LOOKED] if any(phase.marked for phase in rows) else []
    if any(phase.within for phase in rows):
        notes.append("What an opened phase calls stands below it, wherever in the turn that is; its own is the rest")
    return Table("us", names, cells, notes, 1, corner="phase")


def overview(anatomy: Anatomy, most: int) -> Table | None:
    """All kinds of turns side by side, phases in order of the first one's time."""
    kinds = [kind for kind in anatomy.kinds if kind.kind != ARRIVAL]
    if not kinds:
        return None
    order: dict[tuple[str, int, str], str] = {}
    for kind in kinds:
        order |= {_key(phase): _short(phase) for phase in kind.phases}
    rows = list(order)[:most]
    cells = []
    for kind in kinds:
        by = {_key(phase): phase for phase in kind.phases}
        rest = kind.whole_us.estimate - sum(by[row].us.estimate for row in rows if row in by)
        us = [half_width(by[row].us) + DAGGER * by[row].marked if row in by else "" for row in rows]
        share = [f"{100 * by[row].share:.1f}" if row in by else "" for row in rows]
        of_rest = 100 * rest / kind.whole_us.estimate if kind.whole_us.estimate else 0.0
        cells.append(Column(kind.kind, "us a turn", [*us, figure(rest), half_width(kind.whole_us)]))
        cells.append(Column("", "%", [*share, f"{of_rest:.1f}", "100"]))
    marked = any(phase.marked for kind in kinds for phase in kind.phases if _key(phase) in rows)
    names = [
        *(order[row] for row in rows),
        f"{len(order) - len(rows)} more, and in none" if len(order) > len(rows) else "in no phase",
        "all of it",
    ]
    return Table("us", names, cells, [LOOKED] if marked else [], 2, corner="phase")


def populations_table(anatomy: Anatomy) -> Table | None:
    """What recurs: phases that take longer, or less long, in turns with something in common."""
    if not anatomy.populations:
        return None
    rows = [f"{found.label}, in {found.kind} turns {found.common}" for found in anatomy.populations]
    return Table(
        "us", rows,
        [
            Column("turns", "", [str(found.turns) for found in anatomy.populations]),
            Column("in these", "us", [figure(found.us) for found in anatomy.populations]),
            Column("in others", "us", [figure(found.others_us) for found in anatomy.populations]),
            Column("difference", "us", [half_width(found.difference_us) for found in anatomy.populations], True),
        ],
        ["Turns with a garbage collection are counted over all groups, others in a pass"], 0, corner="phase",
    )  # fmt: skip


def sampled_table(anatomy: Anatomy) -> Table | None:
    """Each phase's share by the probes and by py-spy's samples."""
    if not anatomy.sampled:
        return None
    columns = [
        Column("by probes", "% of all turns", [f"{100 * found.by_probes:.1f}" for found in anatomy.sampled]),
        Column(
            "by samples", "% of them, 95 %",
            [f"{100 * found.by_samples.estimate:.1f} [{100 * found.by_samples.low:.1f}, "
             f"{100 * found.by_samples.high:.1f}]" for found in anatomy.sampled],
        ),
        Column("samples", "", [f"{found.samples:,}" for found in anatomy.sampled]),
        Column("agree", "", ["yes" if found.agrees else "no" for found in anatomy.sampled]),
    ]  # fmt: skip
    notes = ["py-spy sees no C functions: their time is their caller's, as here. It stops the engine for each sample"]
    return Table("", [found.label for found in anatomy.sampled], columns, notes, 0, corner="phase")


def memory_table(anatomy: Anatomy) -> Table | None:
    """What each phase leaves behind."""
    if not anatomy.left:
        return None
    titles = {"tracked": "objects", "blocks": "memory blocks"}
    counted = list(dict.fromkeys(what for left in anatomy.left.values() for what in left))
    columns = [
        Column(titles.get(what, what), "a turn, net", [f"{left.get(what, 0.0):.3g}" for left in anatomy.left.values()])
        for what in counted
    ]
    return Table(
        "", list(anatomy.left), columns,
        ["Net: what a phase frees of its own is not in it. Objects are those that the garbage collector follows. "
         "What belongs to the arrival is a request"], 0,
        corner="phase",
    )  # fmt: skip


def lines_tables(anatomy: Anatomy) -> list[tuple[str, Table]]:
    """A table a function that was looked at line by line: lines that ran, in their order."""
    found = []
    for name in dict.fromkeys(str(line["name"]) for line in anatomy.lines):
        lines = [line for line in anatomy.lines if line["name"] == name and line["hits"]]
        total = sum(line["ns"] for line in lines) or 1
        columns = [
            Column("hits", "a pass", [f"{line['hits']:,.6g}" for line in lines]),
            Column("us", "a pass", [figure(line["ns"] / 1e3) for line in lines]),
            Column("share", "%", [f"{100 * line['ns'] / total:.1f}" for line in lines]),
        ]
        rows = [f"{line['line']}: {line['text']}" for line in lines]
        notes = ["The tracer's own cost is in every line: compare lines with each other, not with the phases"]
        found.append((f"{name}, line by line", Table("us", rows, columns, notes, 0, corner="line")))
    return found


def untimed_table(anatomy: Anatomy) -> Table | None:
    """What is called in opened phases and has no time of its own here."""
    untimed = anatomy.run["anatomy"].get("untimed", [])[:MOST_UNTIMED] if anatomy.kinds else []
    if not untimed:
        return None
    columns = [
        Column("calls", "a pass", [f"{each['calls_a_pass']:,}" for each in untimed]),
        Column("why", "", [each["why"] for each in untimed]),
    ]
    return Table("", [each["name"] for each in untimed], columns, [], 0, corner="function")


def sentence(anatomy: Anatomy) -> str:
    """What takes most of the commonest kind of turn."""
    kind = next((kind for kind in anatomy.kinds if kind.kind != ARRIVAL), None)
    if kind is None or not kind.phases:
        return "Nothing was measured"
    first = kind.phases[:3]
    parts = ", ".join(f"{phase.label} {100 * phase.share:.0f} %" for phase in first)
    return f"A {kind.kind} turn takes {half_width(kind.whole_us)} us: {parts}"


def suggestions(anatomy: Anatomy, config: str) -> list[tuple[PhaseTime, str, float]]:
    """The phases of the host with the most to win, the line that goes on there, and us a turn that would show.

    It tries a change; on vLLM 0.5.4, which takes changes at a seam alone, it opens the phase. What computes the model
    is none of the host's code, and the rest of a function is not one place.

    Args:
        anatomy: the profile.
        config: the path of its config.
    """
    kind = next((kind for kind in anatomy.kinds if kind.kind != ARRIVAL), None)
    if kind is None:
        return []
    found = []
    for phase in kind.phases:
        if phase.label in OF_THE_MODEL or phase.label.startswith("rest of") or phase.depth:
            continue
        shown = anatomy.shown.get(phase.label)
        won = phase.us.estimate * (min(max(shown.estimate, 0.0), 1.0) if shown is not None else 1.0)
        found.append((phase, _go_on(phase, config) if swapped(anatomy) else _open(phase, config), won))
    return sorted(found, key=lambda each: -each[2])[:SUGGESTED]


def swapped(anatomy: Anatomy) -> bool:
    """Whether this engine takes a change at any function, as all but vLLM 0.5.4 do."""
    return bool(anatomy.run["config"].get("host", {}).get("kind") != "vllm_v0")


def _go_on(phase: PhaseTime, config: str) -> str:
    name = phase.names[0]
    return f"python -m harness ab --swap {name}=mine.py:{name.rpartition('.')[2]} --config {config}"


def _open(phase: PhaseTime, config: str) -> str:
    return f"python -m harness profile {config} --into {shlex.quote(phase.label)}"


def told(anatomy: Anatomy) -> list[str]:
    """What stands below the tables: what looking costs, and how to read them."""
    lines = []
    if anatomy.looking is not None:
        low, high = 100 * anatomy.looking.low, 100 * anatomy.looking.high
        lines.append(
            f"Probes made {_turn(anatomy)} {100 * anatomy.looking.estimate:+.2f} % longer "
            f"[{low:.2f}, {high:.2f}]; what they cost is subtracted from each phase"
        )
    lines.append(
        "A phase's time is its own, without other phases that it calls; ± is a 95 % interval over "
        f"{'launches' if anatomy.launches > 1 else 'groups, in this process'}"
    )
    return lines


def _turn(anatomy: Anatomy) -> str:
    """What a turn is of: of the engine core where that is in the profiled process, else of the first worker."""
    return CORES if anatomy.run.get("switch", {}).get("turn") else "the first worker's step"


def _key(phase: PhaseTime) -> tuple[str, int, str]:
    return phase.label, phase.depth, phase.within


def _short(phase: PhaseTime) -> str:
    """A row's title in the overview; inside of an opened phase the function's own name is enough."""
    return f"{'  ' * phase.depth}{phase.label.rpartition('.')[2]}" if phase.depth else phase.label


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def columns_that_fit(table: Table, width: int) -> list[Column]:
    """The columns that fit beside the row titles, from the left."""
    room = width - EDGES - max(map(len, (table.corner, *table.rows)))
    kept: list[Column] = []
    for column in table.columns:
        room -= EDGES + max(map(len, (column.title, column.subtitle, *column.cells)))
        if room < 0:
            break
        kept.append(column)
    return kept
