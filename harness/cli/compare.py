"""`harness compare RUN_A RUN_B [...]`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.texts import on_terminal

__all__ = ["command"]


@click.command("compare")
@click.argument("runs", metavar="RUN_A RUN_B [...]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format", "shape", type=click.Choice(["terminal", "markdown", "html", "json", "csv"]), default="terminal",
    show_default=True, help="What to print.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead.")
def command(runs: tuple[Path, ...], shape: str, out: Path | None) -> int:
    """Compare runs with the first one: what differs between them, and each arm's figures side by side.

    There is a verdict where each run has three launches or more (protocol.launches) and did the same work.
    """
    from harness.errors import ConfigError
    from harness.records.folder import RunFolder, read_facts
    from harness.records.grains import is_of_both_grains
    from harness.records.sweep import is_sweep

    if len(runs) < 2:
        raise ConfigError("compare: name at least two run folders, as in harness compare reports/before reports/after")
    for run in runs:
        facts = read_facts(run)  # refused before anything heavy is imported
        if is_of_both_grains(facts):
            raise ConfigError(
                f"{run}: is of both grains: name the run of one, as in {run / facts['grains'][0]['grain']}"
            )
        if is_sweep(facts):
            raise ConfigError(f"{run}: is a sweep: name the run of a point, as in {run / 'points/01'}")

    import shutil

    from harness.analysis.compare import compare_runs
    from harness.report.comparison import render_comparison

    text = render_comparison(compare_runs(runs), shape, shutil.get_terminal_size((100, 24)).columns)
    if out is None:
        click.echo(text, nl=False)
    else:
        RunFolder.existing(out.parent).write_text(out.name, text)
        click.echo(on_terminal(str(out)))
    return 0
