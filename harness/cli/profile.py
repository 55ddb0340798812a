"""`harness profile [CONFIG]`."""

from __future__ import annotations

import datetime as dt
import shlex
import sys
from pathlib import Path

import click

__all__ = ["command"]


@click.command("profile")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--into", multiple=True, metavar="PHASE", help="Time every function called in this phase.")
@click.option("--depth", type=click.IntRange(1, 5), help="Levels of calls below an opened phase (default: 1).")
@click.option(
    "--target", "targets", multiple=True, metavar="NAME", help="Further functions: a class, module, wildcard."
)
@click.option("--steps", metavar="FIRST:LAST", help="Tell of these steps of a pass alone.")
@click.option("--lines", multiple=True, metavar="DOTTED.NAME", help="Time a function line by line.")
@click.option("--exposed", is_flag=True, help="How much of each phase shows in the loop, by planted delays.")
@click.option("--trace", is_flag=True, help="Also write trace.json (Chrome, Perfetto): a few turns.")
@click.option("--flamegraph", is_flag=True, help="Also sample with py-spy, in passes of their own.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run (default: reports/profile-TIME).")
@click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key of the config.")
@click.option("--full", is_flag=True, help="Print every table, and not one screen.")
@click.option("--no-report", is_flag=True, help="Measure alone; `harness report DIR` prints and draws it.")
@click.option("-v", "--verbose", is_flag=True, help="Leave the engine's own log on the terminal.")
def command(
    config: Path | None,
    into: tuple[str, ...],
    depth: int | None,
    targets: tuple[str, ...],
    steps: str | None,
    lines: tuple[str, ...],
    exposed: bool,
    trace: bool,
    flamegraph: bool,
    out: Path | None,
    overrides: tuple[str, ...],
    full: bool,
    no_report: bool,
    verbose: bool,
) -> int:
    """Tell where the host's time goes in a turn of the engine, phase by phase, with nothing changed.

    CONFIG is one of configs/profile/, or any other: of one that compares arms the engine and the workload are taken
    (default: configs/profile/decode_64.yaml). The config that this stands for is written into the run's folder.

    Exit status: as of `harness run`.
    """
    from harness.cli.run import carry_out
    from harness.config.ab import CONFIG, write_config
    from harness.config.profiled import default_config, profile_of

    asked = {"into": list(into), "depth": depth, "targets": list(targets), "steps": steps, "lines": list(lines),
             "exposed": exposed}  # fmt: skip
    base = config or default_config()
    loaded = profile_of(base, asked, overrides)
    path = out or Path("reports") / f"profile-{base.stem}-{dt.datetime.now():%Y%m%d-%H%M%S}"
    typed = shlex.join(["python", "-m", "harness", *sys.argv[1:]])
    return carry_out(
        loaded, path, [str(path / CONFIG)], verbose=verbose, full=full, trace=trace, flamegraph=flamegraph,
        written=lambda: write_config(loaded, path, typed), report=not no_report,
    )  # fmt: skip
