"""`harness history`."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.last_resort import say

if TYPE_CHECKING:
    from harness.running.run import Outcome

__all__ = ["command", "report_history"]


@click.command("history")
@click.option("--from", "first", metavar="RELEASE", help="The first release, such as 0.27.1.")
@click.option("--to", "last", metavar="RELEASE", help="The last one.")
@click.option("--every", is_flag=True, help="Every patch release between them, not the newest of each minor one alone.")
@click.option("--releases", metavar="A,B,..", help="These releases, in place of --from and --to.")
@click.option("--config", type=click.Path(path_type=Path), help="The workload (default: configs/history.yaml).")
@click.option("--blocks", type=click.IntRange(1, 1000), help="Launches of each release (default: 5).")
@click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key of the config.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the history (default: reports/history-TIME).")
def command(
    first: str | None,
    last: str | None,
    every: bool,
    releases: str | None,
    config: Path | None,
    blocks: int | None,
    overrides: tuple[str, ...],
    out: Path | None,
) -> int:
    """Tell which release of vLLM made the host slower or faster, and in which phase of a turn.

    One workload is profiled under each release, in an environment of its own that is made where it is not there yet.
    Launches come in blocks, each with every release once, in drawn order.

    Exit status: 0; 1 if it failed or a release is left out; 2 if the command must be corrected; 130 after Ctrl-C.
    """
    from harness import signals
    from harness.cli.by_launch import release_for
    from harness.cli.output import announce_part
    from harness.config.history import default_config, of_history
    from harness.records.folder import RunFolder
    from harness.running.history import FEWEST, Releases

    base = config or default_config()
    loaded = of_history(base, overrides)
    names = _releases(first, last, every, releases)
    path = out or Path("reports") / f"history-{dt.datetime.now():%Y%m%d-%H%M%S}"
    given = [str(base), *(word for override in overrides for word in ("--set", override))]
    typed = ["python", "-m", "harness", *sys.argv[1:]]
    signals.heed()
    with contextlib.closing(RunFolder(path, passes=False)) as folder:
        environments = {name: release_for(name) for name in names}
        wanted = blocks or FEWEST
        say(f"{len(names)} releases, {wanted} launches of each in drawn order: {', '.join(names)}")
        history = Releases(
            loaded, folder, given, typed, environments, wanted, say,
            lambda number, planned, name, left_s: announce_part(f"launch {number} of {planned}: {name}", left_s),
        )  # fmt: skip
        return _shown(path, history.execute())


def _releases(first: str | None, last: str | None, every: bool, releases: str | None) -> list[str]:
    """Which releases were asked for, the oldest first.

    Raises:
        ConfigError: none, or what is none.
    """
    from packaging.version import Version

    from harness.environments import recipe_for
    from harness.environments.published import between
    from harness.errors import ConfigError

    if releases is not None and (first or last or every):
        raise ConfigError("--releases: it says which; leave --from, --to and --every out")
    if releases is None:
        if not (first and last):
            raise ConfigError("history: say which releases: --from 0.27.1 --to 0.32.0, or --releases 0.31.0,0.32.0")
        return between(first, last, every)
    named = [recipe_for(each.strip()).version for each in releases.split(",") if each.strip()]
    if len(named) < 2 or len(set(named)) < len(named):
        raise ConfigError("--releases: name at least two, each once, as in 0.31.0,0.32.0")
    return sorted(named, key=Version)


def _shown(folder: Path, outcome: Outcome) -> int:
    from harness.errors import told_shortly

    report_history(folder, "terminal")
    if outcome.message:
        click.echo(f"harness: {told_shortly(outcome.message)}", err=True)
    return outcome.exit_status


def report_history(folder: Path, shape: str) -> int:
    """Render a history from its records, and print it; the exit status."""
    from harness.analysis.history import summarise_history
    from harness.cli.output import rendered
    from harness.records.history import read_history
    from harness.report.console import make_console
    from harness.report.history import courses_csv, print_history, render_history

    summary = summarise_history(read_history(folder))
    if shape == "terminal":
        print_history(summary, make_console())
    return rendered(folder, shape, lambda: render_history(summary), lambda: courses_csv(summary))
