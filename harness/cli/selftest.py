"""`harness selftest`."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.seconds import Seconds

if TYPE_CHECKING:
    from rich.console import Console

    from harness.config.file import Loaded

__all__ = ["command"]


@click.command("selftest")
@click.argument("config", type=click.Path(path_type=Path), default=Path("configs/selftest.yaml"))
@click.option("--seconds", type=Seconds(1), default=60.0, show_default=True, help="How long to measure.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run (default: reports/selftest-TIME).")
@click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key of the config.")
@click.option(
    "--usual-way",
    type=click.IntRange(min=3, max=1_000),
    metavar="PAIRS",
    help="Then also plant 20 us in PAIRS pairs of separate launches, and in PAIRS paired ones (some minutes each).",
)
@click.option("-v", "--verbose", is_flag=True, help="Leave the engine's own log on the terminal.")
def command(
    config: Path, seconds: float, out: Path | None, overrides: tuple[str, ...], usual_way: int | None, verbose: bool
) -> int:
    """Plant delays of 0, 2, 5 and 20 us at the seam of CONFIG's baseline, and see whether they are recovered.

    Exit status: 0 if they are, else 1.
    """
    from harness.config.file import load

    asked = load(config, overrides)

    from harness.hosts.vllm_v0 import go_where_it_is
    from harness.records.folder import RunFolder, read_run
    from harness.running.foreseen import foresee
    from harness.selftest.planted import evaluate, plan, remember

    if asked.experiment.host.kind == "vllm_v0":
        go_where_it_is()
    foresee(asked)  # refused before there is a folder
    loaded, delays = plan(asked, seconds)
    if usual_way is not None:
        from harness.selftest.usual_way import check_fit

        check_fit(asked)  # likewise
    folder = RunFolder(out or Path("reports") / f"selftest-{dt.datetime.now():%Y%m%d-%H%M%S}")
    if folder.note:
        click.echo(f"harness: {folder.note}", err=True)

    from rich.table import Table

    from harness.cli.executing import execute
    from harness.digits import significant
    from harness.errors import told_shortly
    from harness.report.console import make_console
    from harness.report.table import format_interval
    from harness.running.planning import Plan

    outcome = execute(loaded, folder, verbose, ["python", "-m", "harness", *sys.argv[1:]])
    if outcome.status != "complete" or outcome.exit_status:
        click.echo(f"harness: {told_shortly(outcome.message)}", err=True)
        return outcome.exit_status or 1
    records = read_run(folder.path)
    planned = Plan(**records.run["plan"])
    # On a slow machine the fewest groups that give an interval take longer than was asked for.
    measured_s = round(planned.expected_s) if planned.short else seconds
    result = evaluate(records, delays, measured_s)
    engine = f"{records.run['host']['engine']} {records.run['host']['version']}"
    remember(result, engine, records.run["machine"])

    console = make_console()
    table = Table(title="Planted and recovered, us a step", box=None, pad_edge=False, title_justify="left")
    for heading in ("planted", "recovered in the scope", "recovered in the whole step, bare", ""):
        table.add_column(heading, justify="right")
    for each in result.recovered:
        cells = (f"{each.planted_us:g}", format_interval(each.scope), format_interval(each.step))
        table.add_row(*cells, "ok" if each.found else "MISSED")
    table.add_row("slope", format_interval(result.slope_scope), format_interval(result.slope_step), "")
    console.print(table)
    console.print("Intervals hold together at 95 %; planted delays are relative to a planted 0.", style="dim")
    console.print(
        f"In {measured_s:g} s of measuring this machine resolves {significant(result.resolves_us, 2)} us a step in the "
        f"scope, {significant(result.resolves_step_us, 2)} us end to end (95 % half-width of one comparison).",
        highlight=False,
    )
    console.print(f"selftest {'passed' if result.passed else 'FAILED'}", style="bold")
    if usual_way is not None:
        _print_usual_way(console, asked, overrides, folder.path, usual_way, seconds)
    click.echo(f"\n{folder.path}")
    return 0 if result.passed else 1


def _print_usual_way(
    console: Console, loaded: Loaded, overrides: tuple[str, ...], folder: Path, pairs: int, seconds: float
) -> None:
    from rich.table import Table

    from harness.config.file import load
    from harness.digits import significant
    from harness.records.folder import RunFolder
    from harness.selftest.usual_way import (
        ITERATIONS,
        PLANTED_US,
        latency_pairs,
        paired_launches,
        separate_run_pairs,
        vocabulary,
    )

    def announce(text: str) -> None:
        click.echo(text, err=True)

    like_it = (*overrides, vocabulary(loaded.experiment))
    paired = [
        paired_launches(load(loaded.path, like_it), like_it, folder / "paired-latency", pairs, seconds, announce)[1],
        *paired_launches(loaded, overrides, folder / "paired", pairs, seconds, announce),
    ]
    usual = [
        latency_pairs(loaded, folder / "latency", pairs, announce),
        *separate_run_pairs(loaded, overrides, folder / "separate", pairs, seconds / 2, announce),
    ]
    content = [
        {"usual": {**asdict(a), "resolves_us": a.resolves_us}, "paired": {**asdict(b), "resolves_us": b.resolves_us}}
        for a, b in zip(usual, paired, strict=True)
    ]
    RunFolder.existing(folder).write_text("usual_way.json", json.dumps(content, indent=2) + "\n")
    click.echo(
        f"\n{PLANTED_US:g} us planted {pairs} times, us a step. The usual way: in one of two launches\n"
        f"({ITERATIONS} iterations of vLLM's benchmark a launch, {seconds / 2:g} s of measuring a harness run).\n"
        f"Paired: in one of two arms of a launch ({seconds:g} s). The spread between launches is\n"
        "in what either resolves (95 %)."
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("takes", "came back as", "resolves"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in (way for both in zip(usual, paired, strict=True) for way in both):
        came_back = ", ".join(significant(difference, 3) for difference in each.differences_us)
        table.add_row(each.way, f"{each.seconds_a_pair:.0f} s", came_back, f"+-{significant(each.resolves_us, 2)}")
    console.print(table, crop=False)
