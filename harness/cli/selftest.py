"""`harness selftest`."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from harness.config.file import Loaded
    from harness.selftest.planted import SelftestResult

__all__ = ["command"]


@click.command("selftest")
@click.argument("config", type=click.Path(path_type=Path), default=Path("configs/selftest.yaml"))
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True, help="How long to measure.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run (default: reports/selftest-TIME).")
@click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key of the config.")
@click.option(
    "--usual-way",
    type=click.IntRange(min=2),
    metavar="PAIRS",
    help="Then also plant 20 us in PAIRS pairs of separate launches (some minutes a pair).",
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

    if asked.experiment.host.kind == "vllm_v0":
        go_where_it_is()
    folder = RunFolder(out or Path("reports") / f"selftest-{dt.datetime.now():%Y%m%d-%H%M%S}")
    if folder.note:
        click.echo(f"harness: {folder.note}", err=True)

    from rich.console import Console
    from rich.table import Table

    from harness.cli.run import execute
    from harness.digits import significant
    from harness.report.table import format_interval
    from harness.running.planning import Plan
    from harness.selftest.planted import evaluate, plan, remember

    loaded, delays = plan(asked, seconds)
    outcome = execute(loaded, folder, verbose, ["python", "-m", "harness", *sys.argv[1:]])
    if outcome.status != "complete" or outcome.exit_status:
        click.echo(f"harness: {outcome.message}", err=True)
        return outcome.exit_status or 1
    records = read_run(folder.path)
    planned = Plan(**records.run["plan"])
    # On a slow machine the fewest groups that give an interval take longer than was asked for.
    measured_s = round(planned.expected_s) if planned.short else seconds
    result = evaluate(records, delays, measured_s)
    engine = f"{records.run['host']['engine']} {records.run['host']['version']}"
    remember(result, engine, records.run["machine"]["cpu"])

    console = Console()
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
        _print_usual_way(console, asked, overrides, folder.path, usual_way, seconds, result)
        remember(result, engine, records.run["machine"]["cpu"])  # and not the one on the benchmark's engine
    click.echo(f"\n{folder.path}")
    return 0 if result.passed else 1


def _print_usual_way(
    console: Console,
    loaded: Loaded,
    overrides: tuple[str, ...],
    folder: Path,
    pairs: int,
    seconds: float,
    result: SelftestResult,
) -> None:
    from rich.table import Table

    from harness.records.folder import RunFolder
    from harness.selftest.usual_way import (
        ITERATIONS,
        PLANTED_US,
        latency_pairs,
        paired_with_vocabulary,
        separate_run_pairs,
    )

    def announce(text: str) -> None:
        click.echo(text, err=True)

    latency = latency_pairs(loaded, folder / "latency", pairs, announce)
    announce("a selftest on the engine of vLLM's latency benchmark")
    like_it = paired_with_vocabulary(loaded, overrides, folder / "paired", seconds)
    found = [
        (latency, like_it.resolves_step_us),
        *zip(
            separate_run_pairs(loaded, overrides, folder / "separate", pairs, seconds / 2, announce),
            (result.resolves_us, result.resolves_step_us),
            strict=True,
        ),
    ]
    content = [{**asdict(each), "resolves_us": each.resolves_us, "paired_us": paired_us} for each, paired_us in found]
    RunFolder.existing(folder).write_text("usual_way.json", json.dumps(content, indent=2) + "\n")
    table = Table(
        title=(
            f"\nThe usual way: {PLANTED_US:g} us planted in one launch and 0 in another, {pairs} times; us a step\n"
            f"({ITERATIONS} iterations of vLLM's benchmark a launch, {seconds / 2:g} s of measuring a harness run)"
        ),
        box=None, pad_edge=False, title_justify="left",
    )  # fmt: skip
    table.add_column("a pair of launches of", no_wrap=True)
    for heading in ("takes", "came back as", "resolves", "paired", "finer"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each, paired_us in found:
        came_back = ", ".join(f"{difference:.0f}" for difference in each.differences_us)
        finer = f"{each.resolves_us / paired_us:.0f}x"
        resolved = f"+-{each.resolves_us:,.2g}" if each.resolves_us < 100 else f"+-{each.resolves_us:,.0f}"
        table.add_row(each.way, f"{each.seconds_a_pair:.0f} s", came_back, resolved, f"+-{paired_us:.3g}", finer)
    console.print(table, crop=False)
