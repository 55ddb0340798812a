"""`harness run CONFIG`."""

from __future__ import annotations

import contextlib
import datetime as dt
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.config.file import Loaded
    from harness.config.launched import Launched
    from harness.running.run import Outcome
    from harness.running.shared import SharedEngine

__all__ = ["carry_out", "command", "shown"]

TRACE_STEPS = 8


@click.command("run")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run (default: reports/NAME-TIME).")
@click.option("--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key of the config.")
@click.option("--arms", metavar="A,B,..", help="Measure these arms (the baseline is kept among them).")
@click.option(
    "--trace", is_flag=True, help=f"Also write trace.json (Chrome, Perfetto): {TRACE_STEPS} steps of each arm."
)
@click.option("--flamegraph", is_flag=True, help="Also sample each arm with py-spy, in passes of its own.")
@click.option("--whole", is_flag=True, help="Flamegraphs of all that the process does, not of the scope alone.")
@click.option("--native", is_flag=True, help="Flamegraphs with frames of C and C++.")
@click.option("--nvtx", is_flag=True, help="NVTX ranges around scope and arms, for Nsight (on a GPU).")
@click.option("--on", default="", metavar="ray[:HOST:PORT]", help="Run launches on the nodes of a Ray cluster.")
@click.option("--full", is_flag=True, help="Print every table and remark at the end, and not one screen.")
@click.option("--no-report", is_flag=True, help="Measure alone; `harness report DIR` prints and draws it.")
@click.option("-v", "--verbose", is_flag=True, help="Leave the engine's own log on the terminal.")
@click.option("--points", hidden=True, default="", help="For processes that harness starts itself.")
@click.option("--launched", hidden=True, default="", help="For processes that harness starts itself.")
def command(
    config: Path,
    out: Path | None,
    overrides: tuple[str, ...],
    arms: str | None,
    trace: bool,
    flamegraph: bool,
    whole: bool,
    native: bool,
    nvtx: bool,
    on: str,
    full: bool,
    no_report: bool,
    verbose: bool,
    points: str,
    launched: str,
) -> int:
    """Run CONFIG: check that all arms compute the same, measure them, print and write the table.

    Exit status: 0; 1 if the run failed or an arm is not equal to native; 2 if the config must be corrected;
    130 after Ctrl-C. What was measured is kept in the run's folder in any case.
    """
    from harness.cli.micro import run_micro
    from harness.config.file import kind_of, load
    from harness.config.launched import Launched, load_launched
    from harness.errors import ConfigError

    path = out or Path("reports") / f"{config.stem}-{dt.datetime.now():%Y%m%d-%H%M%S}"
    if kind_of(config) == "micro":
        options = {"--arms": arms is not None, "--trace": trace, "--flamegraph": flamegraph, "--whole": whole,
                 "--native": native, "--nvtx": nvtx}  # fmt: skip
        if unfit := [option for option, wanted in options.items() if wanted]:
            raise ConfigError(f"{unfit[0]}: {config} is of kind micro, which starts no engine; leave it out")
        return run_micro(config, overrides, path)
    chosen = [name.strip() for name in arms.split(",") if name.strip()] if arms is not None else []
    if arms is not None and not chosen:
        raise ConfigError("--arms: name at least one arm, as in --arms list,numpy")
    if (whole or native) and not flamegraph:
        raise ConfigError(f"--{'whole' if whole else 'native'} is for flamegraphs: give --flamegraph as well")
    asked = {"whole": whole, "native": native}
    overrides += ("protocol.nvtx=true",) if nvtx else ()
    overrides += tuple(f"flamegraph.{key}=true" for key, wanted in asked.items() if wanted)
    part = Launched.from_text(launched) if launched else None
    loaded = load(config, overrides, chosen) if part is None else load_launched(config, overrides, part)
    given = [str(config), *(word for override in overrides for word in ("--set", override))]
    given += ["--arms", arms] if arms else []
    if points:
        from harness.cli.points import carry_out_points

        return carry_out_points(
            loaded, points, path, given, carry_out, verbose=verbose, trace=trace, flamegraph=flamegraph, on=on
        )
    return carry_out(
        loaded,
        path,
        given,
        verbose=verbose,
        full=full,
        trace=trace,
        flamegraph=flamegraph,
        launched=part,
        on=on,
        report=not no_report,
    )


def carry_out(
    loaded: Loaded,
    path: Path,
    given: list[str],
    *,
    verbose: bool,
    full: bool,
    trace: bool = False,
    flamegraph: bool = False,
    written: Callable[[], Loaded] | None = None,
    launched: Launched | None = None,
    shared: SharedEngine | None = None,
    typed: list[str] | None = None,
    report: bool = True,
    on: str = "",
) -> int:
    """Run a config that has been read, and show what came of it; gives the exit status.

    Args:
        loaded: the config.
        path: the run's folder, which is made.
        given: arguments of `harness run` that read the same config, for launches in processes of their own.
        verbose: leave the engine's own log on the terminal.
        full: print every table.
        trace: also write trace.json.
        flamegraph: also sample each arm.
        written: writes the config into the folder, which is there by then, and gives what is run instead.
        launched: what this is of a run at launch grain; None for a run of its own.
        shared: an engine that this run takes over and leaves to the next; None to start and stop its own.
        typed: the command line that runs it again; None for this process's own.
        report: print what came of it, and draw.
        on: the cluster whose nodes run launches; empty for this machine.

    Raises:
        ConfigError: the config asks for something that is not there.
    """
    for note in loaded.notes:
        click.echo(f"harness: {note}", err=True)

    from harness import signals
    from harness.cli.by_launch import ByLaunch, may_go_on, release_for
    from harness.cli.executing import LOG, execute, execute_launches, tested
    from harness.cli.fleet import fleet_on
    from harness.cli.grains import execute_both
    from harness.cli.points import execute_points
    from harness.config.sweep import points_of
    from harness.errors import told_shortly
    from harness.hosts.vllm_v0 import go_where_it_is
    from harness.records.folder import RunFolder
    from harness.running.foreseen import foresee
    from harness.running.shared import by_engine

    if loaded.experiment.host.kind == "vllm_v0":
        go_where_it_is()
    points = points_of(loaded)
    choice = foresee(loaded, release_for)  # refused before there is a folder
    alone = [point.number for point in points if foresee(point.loaded, release_for).launch]
    signals.heed()  # till the end of the process: what draws the report can be interrupted as well
    # As typed, and not sys.argv[0], which is a path of this machine.
    typed = typed or ["python", "-m", "harness", *sys.argv[1:]]
    with contextlib.ExitStack() as left:
        nodes = left.enter_context(fleet_on(on, loaded, len(alone) == len(points) if points else choice.launch))
        folder = left.enter_context(contextlib.closing(RunFolder(path)))
        if folder.note:
            click.echo(f"harness: {folder.note}", err=True)
        if written is not None:
            loaded = written()
        given = [*given, *(("-v",) if verbose else ()), *(("--trace",) if trace else ())]
        only_first = ("--flamegraph",) if flamegraph else ()
        by_launch = ByLaunch(loaded, folder, given, typed, only_first, tested(), choice.why)
        by_launch.runner = None if points else nodes.runner_of(loaded)
        if points:
            engines = by_engine(points_of(loaded), alone)
            outcome = execute_points(loaded, engines, folder, [*given, *nodes.handed_on], typed, only_first, tested())
        elif choice.apart:
            outcome = execute_both(loaded, choice, folder, given, typed, only_first, tested())
        elif choice.launch:
            outcome = by_launch()
        elif loaded.experiment.protocol.launches > 1:
            outcome = execute_launches(loaded, folder, given, typed, only_first)
        else:
            steps = TRACE_STEPS if trace else 0
            outcome = execute(loaded, folder, verbose, typed, steps, flamegraph, launched, shared)
            if outcome.refused and may_go_on(loaded):
                if shared is not None:
                    shared.stop()
                by_launch.why = [outcome.refused]
                outcome = by_launch()
        logged = "" if verbose or outcome.status == "complete" else f" (the engine's log: {path / LOG})"
        if launched is not None or not report:  # one launch of many says little: the whole run has the report
            if outcome.message:
                click.echo(f"harness: {told_shortly(outcome.message)}{logged}", err=True)
            return outcome.exit_status
        return shown(folder.path, outcome, logged, full)


def shown(folder: Path, outcome: Outcome, logged: str, full: bool) -> int:
    """Print the table and draw; the exit status."""
    try:
        _show(folder, outcome, logged, full)
    except KeyboardInterrupt:
        from harness.running.run import INTERRUPTED

        done = "all has been measured" if outcome.status == "complete" else "what was measured is kept"
        again = shlex.join(["python", "-m", "harness", "report", str(folder)])
        click.echo(f"harness: interrupted while the report was made; {done}, and {again} makes it", err=True)
        return INTERRUPTED
    return outcome.exit_status


def _show(folder: Path, outcome: Outcome, logged: str, full: bool) -> None:
    """Print the table, then draw."""
    from harness.analysis.summarise import summarise
    from harness.cli.anatomy import show_profile
    from harness.cli.grains import report_both
    from harness.cli.output import drawing
    from harness.cli.sweep import show_sweep
    from harness.errors import told_shortly
    from harness.records.folder import read_facts, read_run
    from harness.records.grains import is_of_both_grains
    from harness.records.profile_schema import is_profile
    from harness.records.sweep import is_sweep
    from harness.report.console import make_console
    from harness.report.screen import print_screen, where_the_report_is
    from harness.report.terminal import print_summary

    told = told_shortly(outcome.message)  # as run.json has it
    if is_sweep(run := read_facts(folder)) or is_of_both_grains(run):
        if told:
            click.echo(f"harness: {told}{logged}", err=True)
        show_sweep(folder) if is_sweep(run) else report_both(folder, "terminal", full)
        return
    if is_profile(run):
        show_profile(folder, full, told and f"harness: {told}{logged}")
        return
    summary = summarise(read_run(folder))
    (print_summary if full else print_screen)(summary, make_console(), told=told)
    if told:
        click.echo(f"harness: {told}{logged}", err=True)
    with drawing():
        from harness.report import write_reports

        write_reports(folder, summary)
    click.echo(where_the_report_is(folder))
