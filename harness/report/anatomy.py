"""A profile's report: on a terminal, as Markdown, as a page, as JSON and as CSV."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup
from rich.text import Text

from harness.analysis.phase_parts import ARRIVAL
from harness.records.folder import RunFolder
from harness.report.anatomy_figures import figure
from harness.report.anatomy_processes import processes_sentence, processes_tables
from harness.report.anatomy_tables import (
    columns_that_fit,
    kind_table,
    kind_title,
    lines_tables,
    memory_table,
    overview,
    populations_table,
    sampled_table,
    sentence,
    suggestions,
    swapped,
    told,
    untimed_table,
    whole_sentence,
)
from harness.report.command import without_out
from harness.report.markdown import markdown_table
from harness.report.templates import render
from harness.report.terminal import table_parts, whole_table
from harness.texts import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from harness.analysis.anatomy import Anatomy
    from harness.report.table import Table

__all__ = ["print_anatomy", "render_anatomy", "write_anatomy"]

ROWS: Final = 14
"""Phases that a screen shows of one kind; of several kinds side by side as many."""


def print_anatomy(anatomy: Anatomy, console: Console, folder: Path, full: bool = False) -> None:
    """Print where the time goes: one table in 80 columns, or with `full` every one.

    Args:
        anatomy: the profile.
        console: where to print.
        folder: the run's, where its config lies.
        full: all kinds of turns with all columns, and all that was looked at beside.
    """
    console.print(Text(_title(anatomy), style="bold"))
    console.print(Text(_measured_on(anatomy), style="dim"))
    console.print(Text(f"\n{sentence(anatomy)}.", style="bold"))
    if full:
        for caption, each in _tables(anatomy):
            _print_table(caption, each, console)
    else:
        kinds = [kind for kind in anatomy.kinds if kind.kind != ARRIVAL]
        table = kind_table(kinds[0], anatomy, ROWS) if len(kinds) == 1 else overview(anatomy, ROWS)
        if table is not None:
            fitting = columns_that_fit(table, console.width)
            console.print(whole_table(replace(table, columns=fitting)), crop=False)
            for footnote in table.footnotes:
                console.print(Text(footnote, style="dim"))
        for kind in anatomy.kinds[:3]:
            console.print(Text(f"{kind.kind}: {whole_sentence(kind, anatomy)}.", style="dim"))
    if beside := processes_sentence(anatomy):
        console.print(Text(f"{beside}.", style="dim"))
    for line in told(anatomy):
        console.print(Text(f"{line}.", style="dim"))
    if found := suggestions(anatomy, _config(folder, anatomy)):
        console.print(Text("\nMost to win on the host (us a turn):", style="bold"))
        for phase, line, won_us in found:
            console.print(Text(f"{phase.label} ({figure(won_us)}): {line}"), soft_wrap=True)
    for note in anatomy.notes:
        console.print(Text.assemble(("note:", "bold yellow"), f" {note}"))


def _print_table(caption: str, table: Table, console: Console) -> None:
    if caption:
        console.print(Text(f"\n{caption}", style="bold"))
    for part in table_parts(table, console.width):
        console.print(part, crop=False)
    for footnote in table.footnotes:
        console.print(Text(footnote, style="dim"))


def render_anatomy(folder: Path, anatomy: Anatomy) -> dict[str, str]:
    """Every file that is made of a profile, by its name in the folder; nothing is written."""
    from harness.report.anatomy_plot import draw_anatomy

    plots, tables = draw_anatomy(anatomy), _tables(anatomy)
    tried = suggestions(anatomy, _config(folder, anatomy))
    beside = [name for name in ("trace.json",) if (folder / name).is_file()]
    beside += [path.relative_to(folder).as_posix() for path in sorted((folder / "flamegraphs").glob("*.folded"))]
    context: dict[str, Any] = {
        "title": _title(anatomy),
        "measured_on": _measured_on(anatomy),
        "sentence": sentence(anatomy),
        "told": told(anatomy),
        "swapped": swapped(anatomy),
        "suggestions": [(phase.label, figure(won_us), line) for phase, line, won_us in tried],
        "notes": anatomy.notes,
        "beside": beside,
        "command": one_line(shlex.join(without_out(anatomy.run["command"]))),
    }
    return {
        "summary.json": json.dumps(anatomy.as_json(), indent=2, ensure_ascii=False) + "\n",
        **{f"plots/{plot.name}.svg": plot.standalone for plot in plots},
        "report.md": render(
            "anatomy.md.j2", tables=[(caption, markdown_table(table), table.footnotes) for caption, table in tables],
            plots=[f"plots/{plot.name}.svg" for plot in plots], **context,
        ),
        "report.html": render(
            "anatomy.html.j2", tables=tables,
            plots={plot.heading: Markup(plot.svg) for plot in plots},  # noqa: S704 (made by matplotlib)
            **context,
        ) + "\n",
    }  # fmt: skip


def write_anatomy(folder: Path, anatomy: Anatomy) -> None:
    """Make the profile's files in its folder.

    Raises:
        RecordsError: it cannot be written.
    """
    RunFolder.existing(folder).write_texts(render_anatomy(folder, anatomy))


def _tables(anatomy: Anatomy) -> list[tuple[str, Table]]:
    found = [
        (f"{kind_title(kind, anatomy)}: {whole_sentence(kind, anatomy)}", kind_table(kind, anatomy))
        for kind in anatomy.kinds
    ]
    found += processes_tables(anatomy)
    if (recurs := populations_table(anatomy)) is not None:
        found.append(("What recurs: phases that take another time in turns with something in common", recurs))
    if (sampled := sampled_table(anatomy)) is not None:
        found.append(("The same shares by another instrument, py-spy", sampled))
    if (left := memory_table(anatomy)) is not None:
        found.append(("What each phase leaves behind", left))
    if (untimed := untimed_table(anatomy)) is not None:
        found.append(("Called in opened phases, and in their own time here", untimed))
    return [*found, *lines_tables(anatomy)]


def _config(folder: Path, anatomy: Anatomy) -> str:
    """The path of the run's config, for a command line; its name alone where it does not lie in the folder."""
    own = folder / "config.yaml"
    return shlex.quote(str(own) if own.is_file() else str(anatomy.run["config_file"]))


def _title(anatomy: Anatomy) -> str:
    return str(anatomy.run["config"]["title"] or anatomy.run["config_file"])


def _measured_on(anatomy: Anatomy) -> str:
    run = anatomy.run
    if not (host := run.get("host")):
        return "the engine did not start"
    machine = run["machine"]
    device = f"cpu ({machine['cpu']})" if host["device"] == "cpu" else host["device"]
    load = machine["load_average"]
    return (
        f"{host['engine']} {host['version']}, {host['runner']}, {device}, "
        f"{anatomy.groups} groups of {anatomy.steps} turns, load {load[0] if isinstance(load, list) else load} before"
    )
