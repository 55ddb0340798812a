"""`harness env add|list|remove`."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.group("env")
def command() -> None:
    """Make, list and remove environments with other releases of vLLM."""


@command.command("add")
@click.argument("requirements", nargs=-1, required=True, metavar="vllm==VERSION...")
@click.option("--build", type=click.Choice(["cpu", "cuda"]), help="Which build (default: as is installed here).")
def add(requirements: tuple[str, ...], build: str | None) -> None:
    """Make an environment with a release of vLLM, and this harness in it; some minutes, and some GB.

    One that is there already is left as it is. Runs that need a release make its environment by themselves.
    """
    from harness.environments import environment_for, recipe_for

    for requirement in requirements:
        recipe_for(requirement)  # a misspelt one is refused before another is made
    for requirement in requirements:
        made = environment_for(requirement, lambda line: click.echo(f"harness: {line}", err=True), build)  # type: ignore[arg-type]
        click.echo(f"{made.hash}  {made.requirement} ({made.build}, torch {made.torch})  {made.python}")


@command.command("list")
def list_() -> None:
    """List the environments that there are."""
    from rich.table import Table
    from rich.text import Text

    from harness.digits import significant
    from harness.environments import known
    from harness.environments.store import broken, root
    from harness.report.console import make_console

    console = make_console()
    table = Table(box=None, pad_edge=False)
    for heading in ("hash", "vLLM", "build", "torch", "Python", "made"):
        table.add_column(heading, no_wrap=True)
    table.add_column("GB", justify="right")
    for each in known():
        size = significant(each.size_bytes / 1e9, 2)
        cells = (each.hash, each.requirement, each.build, each.torch, each.recipe.python, each.made[:10], size)
        table.add_row(*(Text(cell) for cell in cells))
    not_whole = broken()
    if table.row_count:
        console.print(table)
    elif not not_whole:
        click.echo(f"no environments in {root()}; harness env add vllm==VERSION makes one")
    for name, why in not_whole.items():
        click.echo(f"{name} is not whole: {why}; harness env remove {name}")


@command.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME|HASH...")
def remove(names: tuple[str, ...]) -> None:
    """Remove environments, by release (vllm==0.31.0) or the beginning of the hash."""
    from harness.environments import remove as remove_one

    for name in names:
        click.echo(f"removed {remove_one(name)}")
