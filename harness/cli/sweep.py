"""The report of a config with a sweep, as `harness run`, `harness ab` and `harness report` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["report_sweep", "show_sweep"]


def show_sweep(folder: Path) -> None:
    """Print a sweep's tables, then draw."""
    from harness.analysis.sweep import summarise_sweep
    from harness.cli.output import drawing
    from harness.records.sweep import read_sweep
    from harness.report.console import make_console
    from harness.report.screen import where_the_report_is
    from harness.report.sweep import print_sweep

    sweep = summarise_sweep(read_sweep(folder))
    print_sweep(sweep, make_console())
    with drawing():
        from harness.report.sweep import write_sweep

        write_sweep(folder, sweep)
    click.echo(where_the_report_is(folder))


def report_sweep(folder: Path, shape: str) -> int:
    """Render a sweep again from its records, and print it; the exit status."""
    from harness.analysis.sweep import summarise_sweep
    from harness.cli.output import rendered
    from harness.records.sweep import read_sweep
    from harness.report.console import make_console
    from harness.report.sweep import print_sweep, render_sweep, sweep_frame_csv

    sweep = summarise_sweep(read_sweep(folder))
    if shape == "terminal":
        print_sweep(sweep, make_console())
    return rendered(folder, shape, lambda: render_sweep(folder, sweep), lambda: sweep_frame_csv(sweep))
