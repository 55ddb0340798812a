"""`harness doctor [CONFIG]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.config_file import Loaded
    from harness.doctor import Finding

__all__ = ["command"]

MARKS = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "fault": ("FAULT", "bold red")}


@click.command("doctor")
@click.argument("config", type=click.Path(path_type=Path), default=Path("configs/slot_mapping.yaml"))
def command(config: Path) -> int:
    """Check this machine, the installed vLLM and every target of CONFIG; each finding with its mend.

    Exit status: 1 if there is a fault; 2 if CONFIG itself needs mending.
    """
    from harness.config_file import kind_of, load, load_micro
    from harness.hosts.vllm_v0 import go_where_it_is, is_set_up

    loaded = load(config) if kind_of(config) != "micro" else None
    if loaded is None:
        load_micro(config)
    elif _is_historic(loaded) and is_set_up():
        go_where_it_is()

    from rich.console import Console
    from rich.text import Text

    from harness.cli.output import engine_output_to

    console = Console()
    faults = 0
    with engine_output_to(Path("/dev/null")):  # importing vLLM talks; findings are gathered, then shown
        findings = list(_examine(config, loaded))
    for finding in findings:
        mark, style = MARKS[finding.level]
        faults += finding.level == "fault"
        console.print(Text.assemble((f"{mark:5} ", style), (f"{finding.subject:12}", "bold"), finding.found))
        if finding.mend:
            console.print(Text(f"{'':18}-> {finding.mend}", style="dim"))
    return 1 if faults else 0


def _is_historic(loaded: Loaded) -> bool:
    """Whether a config is for vLLM 0.5.4."""
    return loaded.experiment.host.kind == "vllm_v0"


def _examine(config: Path, loaded: Loaded | None) -> Iterator[Finding]:
    """All findings; `loaded` is None for a config of micro-benchmarks."""
    from harness.doctor import (
        Finding,
        examine_config,
        examine_engine,
        examine_generations,
        examine_historic,
        examine_machine,
    )

    yield from examine_machine()
    if loaded is not None and _is_historic(loaded):
        yield from examine_historic(loaded)
        return
    engine = list(examine_engine())
    yield from engine
    whole = not any(finding.level == "fault" for finding in engine)
    if whole:
        yield from examine_generations()
    if loaded is None:
        yield Finding("ok", "config", f"{config} is of kind micro, which starts no engine and has no targets")
    elif whole:
        yield from examine_config(loaded)
