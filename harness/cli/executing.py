"""A run in this process, or launch by launch: with progress on the terminal, and the engine's output in a file."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.config.file import Loaded
    from harness.config.launched import Launched
    from harness.records.folder import RunFolder
    from harness.running.run import Outcome
    from harness.running.shared import SharedEngine

__all__ = ["LOG", "execute", "execute_launches", "tested"]

LOG: Final = "engine.log"
"""The file in a run's folder that has what the engine printed."""


def execute(
    loaded: Loaded,
    folder: RunFolder,
    verbose: bool,
    typed: list[str],
    trace_steps: int = 0,
    flamegraphs: bool = False,
    launched: Launched | None = None,
    shared: SharedEngine | None = None,
) -> Outcome:
    """Run a config on its host, with progress on the terminal and the engine's output in the folder's log."""
    from harness.analysis.summarise import scope_half_width_us
    from harness.cli.output import Terminal, engine_output_to
    from harness.hosts.vllm import VllmHost
    from harness.hosts.vllm_v0 import VllmV0Host
    from harness.records.folder import RunReader
    from harness.running.baton import Baton
    from harness.running.changed import FOLDER as CHANGES
    from harness.running.changed import facts_of, folders_of, prepare
    from harness.running.guard import guarded
    from harness.running.instrumenting import instrument
    from harness.running.run import Run
    from harness.running.shared import engine_arguments

    experiment, baton = loaded.experiment, Baton.inherited()  # before any process is started
    kinds: dict[str, type[VllmHost | VllmV0Host]] = {"vllm": VllmHost, "vllm_v0": VllmV0Host}
    host = shared.host if shared is not None else None
    if host is None:
        host = kinds[experiment.host.kind](experiment.host, engine_arguments(loaded))
    if shared is not None:
        shared.host = host
    in_process = experiment.host.process == "in_process"  # an engine in processes of its own is watched by its host
    names = [arm.name for arm in instrument(loaded).arms]
    prepared = prepare(loaded, folder.path / CHANGES)
    with (
        guarded(folder.path, experiment.protocol.step_timeout_s if in_process else 0.0, names) as pulse,
        engine_output_to(None if verbose else folder.path / LOG) as console,
        Terminal(console, live=baton is None) as terminal,
    ):
        reader = RunReader(folder.path)  # each look reads from it what is new
        run = Run(loaded, host, folder, terminal, typed, tested(), lambda: scope_half_width_us(reader.read()))
        run.trace_steps, run.flamegraphs, run.pulse = trace_steps, flamegraphs, pulse
        run.folders, run.changes = folders_of(prepared), facts_of(prepared)
        run.launched, run.shared, run.baton = launched, shared, baton
        return run.execute()


def execute_launches(
    loaded: Loaded, folder: RunFolder, given: list[str], typed: list[str], only_first: tuple[str, ...] = ()
) -> Outcome:
    """Run a config launch by launch, each in a process of its own that shows its own progress."""
    from harness.cli.output import announce_part
    from harness.running.launches import Launches

    def announce(number: int, planned: int, left_s: float | None) -> None:
        announce_part(f"launch {number} of {planned}", left_s)

    return Launches(loaded, folder, given, typed, announce, tested(), only_first).execute()


def tested() -> str:
    """One line on this machine's last selftest."""
    from harness.records.machine import describe_machine
    from harness.selftest.planted import describe, last_result

    return describe(last_result(describe_machine()), dt.datetime.now(dt.UTC))
