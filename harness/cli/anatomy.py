"""What a profile shows in the end, and when it is rendered again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from harness.analysis.anatomy import Anatomy

__all__ = ["report_profile", "show_profile"]


def show_profile(folder: Path, full: bool, told: str) -> None:
    """Print a profile that has been measured, and what is told of its end, and draw it."""
    from harness.cli.output import drawing
    from harness.report.anatomy import print_anatomy, write_anatomy
    from harness.report.console import make_console
    from harness.report.screen import where_the_report_is

    anatomy = _read(folder)
    print_anatomy(anatomy, make_console(), folder, full)
    if told:
        click.echo(told, err=True)
    with drawing():
        write_anatomy(folder, anatomy)
    click.echo(where_the_report_is(folder))


def report_profile(folder: Path, shape: str, full: bool) -> int:
    """Render a profile again; as `harness report`."""
    from harness.cli.output import SHAPES, drawing, written
    from harness.report.anatomy import print_anatomy, render_anatomy
    from harness.report.console import make_console
    from harness.report.screen import where_the_report_is

    anatomy = _read(folder)
    if shape == "terminal":
        print_anatomy(anatomy, make_console(), folder, full)
    with drawing():
        texts = render_anatomy(folder, anatomy)
    kept = written(folder, texts)
    if shape == "csv":
        from harness.analysis.frames import phases_frame

        click.echo(phases_frame(anatomy).to_csv(index=False), nl=False)
    elif shape != "terminal":
        click.echo(texts[SHAPES[shape]], nl=False)
    elif kept:
        click.echo(where_the_report_is(folder))
    return 0 if kept else 1


def _read(folder: Path) -> Anatomy:
    from harness.analysis.anatomy import dissect
    from harness.records.folder import read_run

    return dissect(read_run(folder))
