"""`harness list`."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.seams import Seam

__all__ = ["command"]

PROBES = {
    "torch.tensor": "a new tensor from a list: copies, item by item",
    "torch.frombuffer": "a tensor over a buffer's own memory: no copy",
    "torch.cat": "one tensor from several",
    "torch.from_numpy": "a tensor over a numpy array's own memory",
    "numpy.array": "a new numpy array from a list",
}
"""Useful ones; any other dotted name of a function or method works as well."""


CHANGES = {
    "package.module.Class.method": "a function of yours: `swap` in a config, or harness ab --swap NAME=FILE.py:NAME",
    "CHANGE.patch": "a diff against vLLM's Python files, such as a pull request's: harness ab CHANGE.patch",
    "FOLDER": "another version's source: harness ab --tree FOLDER --only NAME",
}
"""What else can be an arm, of any function of the host."""


@click.command("list")
@click.option("--configs", type=click.Path(path_type=Path), default=Path("configs"), show_default=True)
def command(configs: Path) -> None:
    """List what can be swapped, arms, probes and configs, with a line each. Starts nothing."""
    from rich.table import Table
    from rich.text import Text

    from harness.config.source import read
    from harness.errors import ConfigError, in_line
    from harness.paths import files_below
    from harness.report.console import make_console
    from harness.seams import NATIVE, SEAMS

    console = make_console()

    def section(title: str, rows: list[tuple[str, str]]) -> None:
        console.print(Text(title, style="bold"))
        grid = Table.grid(padding=(0, 2))
        longest = max(len(name) for name, _ in rows) + 2
        grid.add_column(min_width=min(longest, console.width // 2), overflow="fold")  # names are there to be copied
        grid.add_column()
        for name, line in rows:
            grid.add_row(Text(f"  {name}"), Text(line, style="dim"))
        console.print(grid)

    section("Seams", [(seam.name, seam.summary) for seam in SEAMS.values()])
    section("Any other function of the host", list(CHANGES.items()))
    for seam in SEAMS.values():
        for references, generations in _arms(seam).items():
            arms = [(name, first_line(reference)) for name, reference in references]
            where = f"{' and '.join(generations)} runners"
            section(f"Arms of {seam.name}, {where}", [(NATIVE, "the host's own implementation"), *arms])
    own = [
        (seam.probe, f"{place.target.rpartition('.')[2]} of {generation} runners, whichever arm is in")
        for seam in SEAMS.values()
        for generation, place in seam.places.items()
    ]
    section(
        "Probes",
        [*own, *PROBES.items(), ("package.module.function", "any other function or method, by dotted name")],
    )
    rows = []
    for path in sorted(files_below(configs, ".yaml")):
        try:
            content = read(path)[1]
        except ConfigError as error:
            why = str(error).removeprefix(f"{in_line(path)}:").strip().removeprefix("cannot be read: ")
            rows.append((in_line(path), f"cannot be read: {why}"))
            continue
        title = content.get("title", "") if isinstance(content, dict) else ""
        rows.append((in_line(path), in_line(title)))
    section("Configs", rows or [("(none)", f"no *.yaml under {in_line(configs)}; --configs names another folder")])


def _arms(seam: Seam) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """A seam's own arms, and the generations of runners that have these."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for generation, place in seam.places.items():
        found.setdefault(tuple(place.arms.items()), []).append(generation)
    return found


def first_line(reference: str) -> str:
    """First line of a class's docstring, read from its source: importing it would import torch."""
    module, _, name = reference.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return f"{module} is not installed"
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return f"{module} has no {name}"
