"""`harness doctor [CONFIG]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.doctor import Finding

__all__ = ["command"]

MARKS = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "fault": ("FAULT", "bold red")}


@click.command("doctor")
@click.argument("config", type=click.Path(path_type=Path), default=Path("configs/slot_mapping.yaml"))
def command(config: Path) -> int:
    """Check this machine, the installed vLLM and every target of CONFIG; each finding with its mend.

    Exit status: 1 if there is a fault.
    """
    from rich.console import Console
    from rich.text import Text

    from harness.cli.output import engine_output_to

    console = Console()
    faults = 0
    with engine_output_to(Path("/dev/null")):  # importing vLLM talks; findings are gathered, then shown
        findings = list(_examine(config))
    for finding in findings:
        mark, style = MARKS[finding.level]
        faults += finding.level == "fault"
        console.print(Text.assemble((f"{mark:5} ", style), (f"{finding.subject:12}", "bold"), finding.found))
        if finding.mend:
            console.print(Text(f"{'':18}-> {finding.mend}", style="dim"))
    return 1 if faults else 0


def _examine(config: Path) -> Iterator[Finding]:
    from harness.config_file import kind_of, load, load_micro
    from harness.doctor import Finding, examine_config, examine_engine, examine_generations, examine_machine
    from harness.errors import ConfigError

    yield from examine_machine()
    engine = list(examine_engine())
    yield from engine
    whole = not any(finding.level == "fault" for finding in engine)
    if whole:
        yield from examine_generations()
    try:
        if kind_of(config) == "micro":
            load_micro(config)
            yield Finding("ok", "config", f"{config} is of kind micro, which starts no engine and has no targets")
            return
        loaded = load(config)
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Finding("fault", "config", line, "mend the config")
        return
    if whole:
        yield from examine_config(loaded)
