"""`harness report DIR`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--format", "shape", type=click.Choice(["terminal", "markdown", "html", "json", "csv"]), default="terminal",
    show_default=True, help="What to print; csv has one row a difference.",
)  # fmt: skip
@click.option("--full", is_flag=True, help="Print every table and remark, and not one screen.")
def command(folder: Path, shape: str, full: bool) -> int:
    """Render the run in DIR again from its records: report.md, report.html and summary.json; and print it."""
    from harness.cli.micro import report_micro
    from harness.errors import ConfigError
    from harness.paths import exists
    from harness.records.folder import read_run

    if full and shape != "terminal":
        raise ConfigError(f"--full: --format {shape} always holds everything; leave one of them out")
    if exists(folder / "micro.json"):
        return report_micro(folder, shape)
    records = read_run(folder)  # refused before anything heavy is imported

    from rich.console import Console

    from harness.analysis.summarise import summarise
    from harness.cli.output import drawing
    from harness.report.screen import print_screen, where_the_report_is
    from harness.report.terminal import print_summary

    summary = summarise(records)
    if shape == "terminal":
        (print_summary if full else print_screen)(summary, Console())
    with drawing():
        from harness.report import write_reports

        write_reports(folder, summary)
    if shape == "terminal":
        click.echo(where_the_report_is(folder))
    elif shape == "csv":
        from harness.analysis.frames import comparisons_frame

        click.echo(comparisons_frame(summary).to_csv(index=False), nl=False)
    else:
        name = {"markdown": "report.md", "html": "report.html", "json": "summary.json"}[shape]
        click.echo((folder / name).read_text(encoding="utf-8"), nl=False)
    return 0
