"""`harness report DIR`."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]

SHAPES = {"markdown": "report.md", "html": "report.html", "json": "summary.json"}


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
    from harness.cli.micro import report_micro
    from harness.errors import ConfigError
    from harness.paths import exists
    from harness.records.folder import read_run

    if full and shape != "terminal":
        raise ConfigError(f"--full: --format {shape} always holds everything; leave one of them out")
    if exists(folder / "micro.json"):
        return report_micro(folder, shape)
    records = read_run(folder)  # refused before anything heavy is imported

    from harness.analysis.summarise import summarise
    from harness.cli.output import drawing, written
    from harness.report.console import make_console
    from harness.report.screen import print_screen, where_the_report_is
    from harness.report.terminal import print_summary

    summary = summarise(records)
    if shape == "terminal":
        (print_summary if full else print_screen)(summary, make_console())
    with drawing():
        from harness.report import render_reports

        texts = render_reports(folder, summary)
    kept = written(folder, texts)
    if shape == "csv":
        from harness.analysis.frames import comparisons_frame

        click.echo(comparisons_frame(summary).to_csv(index=False), nl=False)
    elif shape != "terminal":
        click.echo(texts[SHAPES[shape]], nl=False)
    elif kept:
        click.echo(where_the_report_is(folder))
    return 0 if kept else 1
