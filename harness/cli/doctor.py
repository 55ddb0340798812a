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
    from harness.hosts.vllm_v0 import go_where_it_is, is_set_up

    console = Console()
    faults = 0
    if _is_historic(config) and is_set_up():
        go_where_it_is()
    with engine_output_to(Path("/dev/null")):  # importing vLLM talks; findings are gathered, then shown
        findings = list(_examine(config))
    for finding in findings:
        mark, style = MARKS[finding.level]
        faults += finding.level == "fault"
        console.print(Text.assemble((f"{mark:5} ", style), (f"{finding.subject:12}", "bold"), finding.found))
        if finding.mend:
            console.print(Text(f"{'':18}-> {finding.mend}", style="dim"))
    return 1 if faults else 0


def _is_historic(config: Path) -> bool:
    """Whether a config is for vLLM 0.5.4; one that cannot be read becomes a finding elsewhere."""
    from harness.config_file import kind_of, load
    from harness.errors import ConfigError

    try:
        return kind_of(config) != "micro" and load(config).experiment.host.kind == "vllm_v0"
    except ConfigError:
        return False


def _examine(config: Path) -> Iterator[Finding]:
    from harness.config_file import kind_of, load, load_micro
    from harness.doctor import (
        Finding,
        examine_config,
        examine_engine,
        examine_generations,
        examine_historic,
        examine_machine,
    )
    from harness.errors import ConfigError

    yield from examine_machine()
    if _is_historic(config):
        yield from examine_historic(load(config))
        return
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
