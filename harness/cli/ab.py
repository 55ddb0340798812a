"""`harness ab CHANGE.patch ..`."""

from __future__ import annotations

import datetime as dt
import shlex
import sys
import tempfile
from pathlib import Path

import click

__all__ = ["command"]


@click.command("ab")
@click.argument("patches", nargs=-1, metavar="[CHANGE.patch | -]...")
@click.option("--swap", "swaps", multiple=True, metavar="DOTTED.NAME=FILE.py:FUNCTION", help="Replace one function.")
@click.option("--tree", "trees", multiple=True, metavar="FOLDER", help="Take vLLM's Python files of this source tree.")
@click.option("--revert", is_flag=True, help="Take the patches back: what is installed has them already.")
@click.option("--only", multiple=True, metavar="NAME", help="Of patches and trees, this function or class alone.")
@click.option("--grain", type=click.Choice(["auto", "step", "pass", "launch"]), help="Where arms change.")
@click.option("--scope", default="", metavar="METHOD", help="Where time counts (default: found by the checking pass).")
@click.option("--config", type=click.Path(path_type=Path), help="What it runs on (default: configs/ab.yaml).")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run (default: reports/ab-TIME).")
@click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key of the config.")
@click.option("--flamegraph", is_flag=True, help="Also sample each arm with py-spy, in passes of its own.")
@click.option("--on", default="", metavar="ray[:HOST:PORT]", help="Run launches on the nodes of a Ray cluster.")
@click.option("--full", is_flag=True, help="Print every table and remark at the end, and not one screen.")
@click.option("-v", "--verbose", is_flag=True, help="Leave the engine's own log on the terminal.")
def command(
    patches: tuple[str, ...],
    swaps: tuple[str, ...],
    trees: tuple[str, ...],
    revert: bool,
    only: tuple[str, ...],
    grain: str | None,
    scope: str,
    config: Path | None,
    out: Path | None,
    overrides: tuple[str, ...],
    flamegraph: bool,
    on: str,
    full: bool,
    verbose: bool,
) -> int:
    """Hold changes of vLLM's Python code against what is installed, switched step by step in one engine.

    A change is a diff against vLLM's Python files, such as a pull request's; with --swap it is a function of yours.
    What is installed stays as it is. The config that this stands for is written into the run's folder.

    Exit status: as of `harness run`.
    """
    from harness.cli.run import carry_out
    from harness.config.ab import CONFIG, STDIN, Asked, base_config, config_for, read_diff, write_config

    with tempfile.TemporaryDirectory(prefix="harness-ab-") as folder:
        diff = Path(folder) / "stdin.patch"
        if STDIN in patches:
            read_diff(sys.stdin.buffer if sys.stdin is not None else None, diff)
        asked = Asked(patches, swaps, trees, only, revert, grain or "", scope)
        loaded = config_for(asked, config or base_config(), overrides, diff)
        path = out or Path("reports") / f"ab-{dt.datetime.now():%Y%m%d-%H%M%S}"
        typed = shlex.join(["python", "-m", "harness", *sys.argv[1:]])
        return carry_out(
            loaded, path, [str(path / CONFIG)], verbose=verbose, full=full, flamegraph=flamegraph,
            written=lambda: write_config(loaded, path, typed), on=on,
        )  # fmt: skip
