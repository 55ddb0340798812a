"""A config with a sweep, as `harness run` and `harness ab` carry it out: a process an engine, a run a point."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.config.file import Loaded
    from harness.config.sweep import Point
    from harness.records.folder import RunFolder
    from harness.running.run import Outcome

__all__ = ["carry_out_points", "execute_points"]


def execute_points(
    loaded: Loaded,
    engines: Sequence[Sequence[Point]],
    folder: RunFolder,
    given: list[str],
    typed: list[str],
    only_first: tuple[str, ...],
    tested: str,
) -> Outcome:
    """Run a config at every point of its sweep: of each engine, those that it serves, in a process of their own."""
    from harness.cli.output import announce_part
    from harness.running.points import Points

    told = {point.number: point.told for points in engines for point in points}

    def announce(number: int, planned: int, left_s: float | None) -> None:
        announce_part(f"point {number} of {planned}: {told[number]}", left_s)

    return Points(loaded, folder, given, typed, announce, tested, only_first, engines=engines).execute()


def carry_out_points(
    loaded: Loaded,
    asked: str,
    path: Path,
    given: list[str],
    carry_out: Callable[..., int],
    *,
    verbose: bool,
    trace: bool,
    flamegraph: bool,
    on: str = "",
) -> int:
    """Run some points of a sweep in this process, one after the other in one engine; the worst exit status.

    Args:
        loaded: the whole config.
        asked: the points' numbers, with commas.
        path: the sweep's folder.
        given: arguments of `harness run` that read the whole config.
        carry_out: `harness.cli.run.carry_out`, which runs a point.
        verbose: leave the engine's own log on the terminal.
        trace: also write trace.json at each point.
        flamegraph: also sample each arm at the first of these points.
        on: the cluster whose nodes run launches; empty for this machine.

    Raises:
        ConfigError: the sweep has no such points.
    """
    from harness.cli.output import announce_part
    from harness.config.sweep import points_of
    from harness.records.folder import RunFolder, read_facts
    from harness.running.points import OPTION
    from harness.running.shared import SharedEngine

    by_number = {str(point.number): point for point in points_of(loaded)}
    chosen = [by_number[number] for number in asked.split(",") if number in by_number]
    if len(chosen) != asked.count(",") + 1:
        from harness.errors import ConfigError

        raise ConfigError(f"{OPTION}: it is for processes that harness starts itself; leave it out")
    folder, shared, worst = RunFolder.existing(path), SharedEngine(), 0
    began = time.monotonic()
    try:
        for done, point in enumerate(chosen):
            if done:
                left_s = (time.monotonic() - began) / done * (len(chosen) - done)
                announce_part(f"point {point.number} of {len(by_number)}: {point.told}", left_s)
            settings = [word for override in point.overrides for word in ("--set", override)]
            out, alone = folder.point(point.number), [*given, *settings]
            status = carry_out(
                point.loaded, out, alone, verbose=verbose, full=False, trace=trace, flamegraph=flamegraph and not done,
                shared=shared, on=on, typed=["python", "-m", "harness", "run", *alone, "--out", str(out)],
            )  # fmt: skip
            worst = worst or status
            if read_facts(folder.point(point.number))["status"] != "complete":
                break
    finally:
        shared.stop()
    return worst
