"""`harness doctor [CONFIG]`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.config.file import Loaded
    from harness.doctor.finding import Finding

__all__ = ["command"]

MARKS = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "fault": ("FAULT", "bold red")}


@click.command("doctor")
@click.argument("config", type=click.Path(path_type=Path), default=Path("configs/slot_mapping.yaml"))
@click.option("--try", "tried", is_flag=True, help="Also start the engine: how long a step and the run take.")
def command(config: Path, tried: bool) -> int:
    """Check this machine, the installed vLLM and every target of CONFIG; each finding with its fix.

    Exit status: 1 if there is a fault; 2 if CONFIG itself must be corrected.
    """
    from harness.config.file import kind_of, load, load_micro
    from harness.hosts.vllm_v0 import go_where_it_is, is_set_up

    loaded = load(config) if kind_of(config) != "micro" else None
    if loaded is None:
        load_micro(config)
    elif _is_historic(loaded) and is_set_up():
        go_where_it_is()

    from rich.text import Text

    from harness.cli.output import engine_output_to
    from harness.report.console import make_console

    console = make_console()

    def show(findings: Iterable[Finding]) -> bool:
        """Whether there is a fault among them."""
        faults = 0
        for finding in findings:
            mark, style = MARKS[finding.level]
            faults += finding.level == "fault"
            console.print(Text.assemble((f"{mark:5} ", style), (f"{finding.subject:12}", "bold"), finding.found))
            if finding.mend:
                console.print(Text(f"{'':18}-> {finding.mend}", style="dim"))
        return faults > 0

    began = time.monotonic()
    with engine_output_to(Path("/dev/null")):  # importing vLLM prints; findings are gathered, then shown
        findings = list(_examine(config, loaded))
    faulty = show(findings)
    if tried and loaded is not None and not faulty:
        faulty = show(_try(loaded, imported_s=time.monotonic() - began))
    return 1 if faulty else 0


def _try(loaded: Loaded, imported_s: float) -> Iterator[Finding]:
    """A few seconds of the config on its engine, in a temporary folder."""
    import tempfile

    from harness.cli.executing import execute
    from harness.doctor.finding import Finding
    from harness.records.folder import RunFolder, read_run
    from harness.running.trial import describe, forecast, plan_trial

    with tempfile.TemporaryDirectory(prefix="harness-trial-") as path:
        folder = RunFolder(Path(path))
        outcome = execute(plan_trial(loaded), folder, False, [])
        if outcome.status != "complete" or outcome.exit_status:
            log = folder.path / "engine.log"
            said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:] if log.exists() else []
            yield Finding("fault", "trial", " ".join([outcome.message, *said]), "harness run -v shows the engine's log")
            return
        found = forecast(loaded.experiment, read_run(folder.path), imported_s)
        for subject, sentence in describe(found, loaded.experiment.scope).items():
            yield Finding("ok", subject, sentence)


def _is_historic(loaded: Loaded) -> bool:
    """Whether a config is for vLLM 0.5.4."""
    return loaded.experiment.host.kind == "vllm_v0"


def _examine(config: Path, loaded: Loaded | None) -> Iterator[Finding]:
    """All findings; `loaded` is None for a config of micro-benchmarks."""
    from harness.doctor.config import examine_config, examine_historic
    from harness.doctor.engine import examine_engine, examine_generations, examine_phases
    from harness.doctor.finding import Finding
    from harness.doctor.machine import examine_machine

    yield from examine_machine()
    if loaded is not None and _is_historic(loaded):
        yield from examine_historic(loaded)
        return
    engine = list(examine_engine())
    yield from engine
    whole = not any(finding.level == "fault" for finding in engine)
    if whole:
        yield from examine_generations()
        yield from examine_phases()
    if loaded is None:
        yield Finding("ok", "config", f"{config} is of kind micro, which starts no engine and has nothing to try")
    elif whole:
        yield from examine_config(loaded)
