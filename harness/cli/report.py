"""`harness report DIR`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def command(folder: Path) -> int:
    """Render the run in DIR again from its records: report.md and summary.json, and the table here."""
    from rich.console import Console

    from harness.report import write_reports
    from harness.report.terminal import print_summary

    print_summary(write_reports(folder), Console())
    click.echo(f"\n{folder}/report.md")
    return 0
