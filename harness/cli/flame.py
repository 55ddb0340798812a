"""`harness flame --pid PID`."""

from __future__ import annotations

import datetime as dt
import signal
from pathlib import Path

import click

from harness.cli.seconds import Seconds
from harness.texts import one_line

__all__ = ["command"]


@click.command("flame")
@click.option(
    "--pid", type=click.IntRange(min=1, max=2**31 - 1), required=True, help="The engine, or the server that started it."
)
@click.option("--seconds", type=Seconds(0), default=10.0, show_default=True)
@click.option(
    "--rate", "rate_hz", type=click.IntRange(min=1, max=10_000), help="Samples a second (default: 200; --native: 50)."
)
@click.option("--scope", default="_prepare_inputs", show_default=True, help="Function to cut the graph to.")
@click.option("--whole", is_flag=True, help="Show all that the process does instead.")
@click.option("--native", is_flag=True, help="Frames of C and C++ as well.")
@click.option("--nonblocking", is_flag=True, help="Let the engine run on while its stacks are read, which tears them.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder (default: reports/flame-PID-TIME).")
def command(
    pid: int,
    seconds: float,
    rate_hz: int | None,
    scope: str,
    whole: bool,
    native: bool,
    nonblocking: bool,
    out: Path | None,
) -> int:
    """Sample a running vLLM with py-spy: a flamegraph, the same for speedscope, and the folded stacks.

    Of a server, it samples the process below PID that runs the model. Ctrl-C ends it early.
    """
    from harness.config.experiment import Flamegraph
    from harness.errors import ProfilerError, RecordsError
    from harness.records.folder import RunFolder
    from harness.sampling.attach import runner_process, sample_process, seen_most, title

    settings = Flamegraph(seconds=seconds, rate_hz=rate_hz, native=native, whole=whole, nonblocking=nonblocking)
    process = runner_process(pid)

    import json

    from harness.report.flamegraph import render_flamegraph
    from harness.report.speedscope import speedscope
    from harness.sampling.stacks import fold

    if process.pid != pid:
        click.echo(f"process {process.pid} below {pid} runs the model ({one_line(title(process), 200)})", err=True)
    path = out or Path("reports") / f"flame-{pid}-{dt.datetime.now():%Y%m%d-%H%M%S}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordsError(f"{path}: the folder cannot be made: {error.strerror}") from error
    folder = RunFolder.existing(path)
    # SIGTERM, or a terminal that closes, ends it as Ctrl-C does: what was seen is kept.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    click.echo(f"sampling process {process.pid} for {seconds:g} s", err=True)
    try:
        flame, stacks = sample_process(process.pid, settings, scope)
    except BaseException:
        if not any(path.iterdir()):
            path.rmdir()
        raise
    if not stacks:
        raise ProfilerError(f"process {process.pid} was idle all the time: is it serving requests?")
    if not flame.stacks:
        folder.write_text("whole.folded", fold(stacks))
        raise ProfilerError(
            f"{flame.recording.samples:,} samples, none of them in {scope} (mostly in {', '.join(seen_most(stacks))}): "
            f"is it serving requests? --whole shows all, --scope names another function; what was seen is in "
            f"{path}/whole.folded"
        )
    name = f"process {process.pid}"
    folder.write_text("flame.folded", fold(flame.stacks))
    folder.write_text("flame.svg", render_flamegraph(flame, name, scope))
    folder.write_text("flame.speedscope.json", json.dumps(speedscope(flame, name, scope)))
    folder.write_text("flame.json", json.dumps(flame.as_json(), indent=2) + "\n")
    found = flame.recording
    behind = f", {found.behind_s:.1f} s behind: lower --rate" if found.behind_s else ""
    share = "" if whole else f", {found.scope_samples:,} of them in {scope}: {flame.scope_time:.3g} {flame.unit}"
    click.echo(f"{found.samples:,} samples in {found.seconds:.1f} s{share}; {found.errors:,} errors{behind}")
    click.echo("How much it slowed the process is not known: its steps were not timed.")
    click.echo(f"\n{path}/flame.svg\n{path}/flame.speedscope.json (for speedscope.app)")
    return 0
