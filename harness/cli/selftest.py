"""`harness selftest`."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import click

__all__ = ["command"]


@click.command("selftest")
@click.argument("config", type=click.Path(path_type=Path), default=Path("configs/selftest.yaml"))
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True, help="How long to measure.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run (default: reports/selftest-TIME).")
@click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key of the config.")
@click.option("-v", "--verbose", is_flag=True, help="Leave the engine's own log on the terminal.")
def command(config: Path, seconds: float, out: Path | None, overrides: tuple[str, ...], verbose: bool) -> int:
    """Plant delays of 0, 2, 5 and 20 us at the seam of CONFIG's baseline, and see whether they are recovered.

    Exit status: 0 if they are, else 1.
    """
    from rich.console import Console
    from rich.table import Table

    from harness.cli.run import execute
    from harness.config_file import load
    from harness.records import RunFolder, read_run
    from harness.report.table import format_interval
    from harness.selftest import evaluate, plan, remember

    loaded, delays = plan(load(config, overrides), seconds)
    folder = RunFolder(out or Path("reports") / f"selftest-{dt.datetime.now():%Y%m%d-%H%M%S}")
    outcome = execute(loaded, folder, verbose, ["python", "-m", "harness", *sys.argv[1:]])
    if outcome.status != "complete" or outcome.exit_status:
        click.echo(f"harness: {outcome.message}", err=True)
        return outcome.exit_status or 1
    records = read_run(folder.path)
    result = evaluate(records, delays, seconds)
    remember(result, f"{records.run['host']['engine']} {records.run['host']['version']}", records.run["machine"]["cpu"])

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
        f"In {seconds:g} s of measuring this machine resolves {result.resolves_us:.2g} us a step in the scope, "
        f"{result.resolves_step_us:.2g} us end to end (95 % half-width of one comparison).",
        highlight=False,
    )
    console.print(f"selftest {'passed' if result.passed else 'FAILED'}", style="bold")
    click.echo(f"\n{folder.path}")
    return 0 if result.passed else 1
