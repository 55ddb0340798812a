"""`harness report DIR`."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["command"]


@click.command("report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--format", "shape", type=click.Choice(["terminal", "markdown", "html", "json", "csv"]), default="terminal",
    show_default=True, help="What to print; csv has one row a difference.",
)  # fmt: skip
@click.option("--full", is_flag=True, help="Print every table and remark, and not one screen.")
def command(folder: Path, shape: str, full: bool) -> int:
    """Render the run in DIR again from its records: report.md, report.html and summary.json; and print it.

    Exit status: 1 if DIR holds no run, or what was made could not be written into it; it is printed all the same.
    """
    from harness.errors import ConfigError

    if full and shape != "terminal":
        raise ConfigError(f"--full: --format {shape} always holds everything; leave one of them out")
    with _no_collections():
        return _report(folder, shape, full)


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Put off Python's garbage collections, since the process is about to end.

    Imports and pictures make two hundred thousand objects, and the pictures', some ten megabytes, are garbage when the
    process ends: to go through them time and again, and twice more at the end, took a fifth of a report. The arrays,
    which hold nearly all of the memory, are in no cycles and are freed at once all the same.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # A process that goes on, as one of tests does, looks for them in its next full collection, and not right now.
        gc.freeze()
        gc.unfreeze()
        if on:
            gc.enable()


def _report(folder: Path, shape: str, full: bool) -> int:
    from harness.cli.micro import report_micro
    from harness.paths import exists
    from harness.records.folder import read_facts, read_run
    from harness.records.grains import is_of_both_grains
    from harness.records.profile_schema import is_profile
    from harness.records.sweep import is_sweep

    if exists(folder / "micro.json"):
        return report_micro(folder, shape)
    if exists(folder / "history.json"):
        from harness.cli.history import report_history

        return report_history(folder, shape)
    if is_of_both_grains(read_facts(folder)):
        from harness.cli.grains import report_both

        return report_both(folder, shape, full)
    if is_sweep(read_facts(folder)):
        from harness.cli.sweep import report_sweep

        return report_sweep(folder, shape)
    if is_profile(read_facts(folder)):
        from harness.cli.anatomy import report_profile

        return report_profile(folder, shape, full)
    records = read_run(folder)  # refused before anything heavy is imported

    from harness.analysis.summarise import summarise
    from harness.cli.output import rendered
    from harness.report.console import make_console
    from harness.report.screen import print_screen
    from harness.report.terminal import print_summary

    summary = summarise(records)
    if shape == "terminal":
        (print_summary if full else print_screen)(summary, make_console())

    def render() -> dict[str, str]:
        from harness.report import render_reports  # it draws, and so takes long to import: the tables come first

        return render_reports(folder, summary)

    def as_csv() -> str:
        from harness.analysis.frames import comparisons_frame

        return comparisons_frame(summary).to_csv(index=False)

    return rendered(folder, shape, render, as_csv)
