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
    from harness.cli.output import rendered
    from harness.report.anatomy import print_anatomy, render_anatomy
    from harness.report.console import make_console

    anatomy = _read(folder)
    if shape == "terminal":
        print_anatomy(anatomy, make_console(), folder, full)

    def as_csv() -> str:
        from harness.analysis.frames import phases_frame

        return phases_frame(anatomy).to_csv(index=False)

    return rendered(folder, shape, lambda: render_anatomy(folder, anatomy), as_csv)


def _read(folder: Path) -> Anatomy:
    from harness.analysis.anatomy import dissect
    from harness.records.folder import read_run

    return dissect(read_run(folder))
