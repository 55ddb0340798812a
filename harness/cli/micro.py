"""`harness run` and `harness report` on micro-benchmarks."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import click

from harness.texts import on_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["report_micro", "run_micro"]

SHAPES = {"markdown": "report.md", "html": "report.html", "json": "micro.json"}


def run_micro(config: Path, overrides: Sequence[str], path: Path) -> int:
    """Run a config of kind `micro`; the exit status."""
    from harness.config.file import load_micro
    from harness.records.folder import RunFolder

    title, benchmarks = load_micro(config, overrides)

    from harness.running.foreseen import foresee_micro

    foresee_micro(config, benchmarks)

    from harness.micro.benchmarks import device_of

    for benchmark in benchmarks:
        device_of(benchmark)  # refused before anything is started
    folder = RunFolder(path, passes=False)
    if folder.note:
        click.echo(f"harness: {folder.note}", err=True)

    from harness import signals
    from harness.cli.output import Terminal, drawing
    from harness.errors import told_shortly
    from harness.micro.report import print_micro, write_micro_reports
    from harness.micro.run import MicroRun
    from harness.report.command import without_out
    from harness.report.console import make_console

    typed = ["python", "-m", "harness", *sys.argv[1:]]
    signals.heed()
    with Terminal(make_console(stderr=True), unit="row") as terminal:
        again = shlex.join(without_out(typed))
        outcome = MicroRun(title, config.name, benchmarks, folder, terminal, typed, again).execute()
    if outcome.message:
        click.echo(f"harness: {told_shortly(outcome.message)}", err=True)
    print_micro(path, make_console())
    with drawing():
        write_micro_reports(path)
    click.echo(f"\n{path}/report.md")
    return outcome.exit_status


def report_micro(folder: Path, shape: str) -> int:
    """Render micro-benchmarks again; the exit status."""
    from harness.errors import ConfigError

    if shape not in ("terminal", *SHAPES):
        raise ConfigError(f"--format {shape}: micro-benchmarks have {', '.join(['terminal', *SHAPES])}")

    from harness.cli.output import drawing, written
    from harness.micro.report import print_micro, render_micro_reports
    from harness.records.checked import read_json
    from harness.report.console import make_console

    if shape == "terminal":
        print_micro(folder, make_console())
    with drawing():
        texts = render_micro_reports(folder)
    kept = written(folder, texts)
    if shape == "json":
        click.echo(json.dumps(read_json(folder / "micro.json"), indent=1))
    elif shape != "terminal":
        click.echo(texts[SHAPES[shape]], nl=False)
    elif kept:
        click.echo(on_terminal(f"\n{folder}/report.md"))
    return 0 if kept else 1
