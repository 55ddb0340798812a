"""Passes of their own under py-spy, one recording an arm; never those whose times are reported.

Just before and after its recording each arm serves some passes without py-spy, which shows how much sampling slows the
engine. The sampling rate is found by a short trial, unless the config gives it. Each sample stops the engine, for how
long depends on the machine: a rate that is bearable on one machine makes steps ten times as long on another.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

from harness.errors import ProfilerError
from harness.instrument.scopes import parts
from harness.sampling.pyspy import Recorder
from harness.sampling.sampled import Recording
from harness.sampling.stacks import RUNNER, cut, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.config.experiment import Flamegraph
    from harness.hosts.base import PassResult
    from harness.sampling.stacks import Stacks

__all__ = ["BEARABLE", "PLAIN_SHARE", "bearable_rate", "record"]

PLAIN_SHARE: Final = 0.2
"""Time for which the arm is served without py-spy, as a share of the recording's; half of it before, half after."""
BEARABLE: Final = 2.0
"""How many times as long a step may take under py-spy, at most."""
TRIAL_S: Final = 2.0
"""How long a trial of a rate lasts."""
TRIALS: Final = 4
SLOWEST_HZ: Final = 5
"""Below this nothing is gained: 15 s would give fewer samples than a picture needs."""


def bearable_rate(pid: int, settings: Flamegraph, serve: Callable[[], PassResult]) -> int:
    """The highest rate, up to that of the settings, at which a step takes at most `BEARABLE` times as long.

    A step that takes s times as long is stopped for 1 - 1/s of the time, a share proportional to the rate. Where py-spy
    falls behind, the true rate is lower than the one asked for, so one trial is not enough.

    Args:
        pid: the process that runs the model runner.
        settings: how to sample.
        serve: serves the workload once, in a bare pass.

    Raises:
        ProfilerError: as from `record`.
    """
    plain_us = statistics.median(_served(serve, TRIAL_S / 2))
    rate_hz = settings.rate
    for _ in range(TRIALS):
        with Recorder(pid, rate_hz, settings.native, settings.nonblocking) as recorder:
            slowed = statistics.median(_served(serve, TRIAL_S, lambda: recorder.sampling)) / plain_us
        if slowed <= BEARABLE or rate_hz <= SLOWEST_HZ:
            break
        stopped, bearable = 1 - 1 / slowed, 1 - 1 / BEARABLE
        rate_hz = max(int(0.8 * rate_hz * bearable / stopped), SLOWEST_HZ)
    return rate_hz


def _served(serve: Callable[[], PassResult], seconds: float, on: Callable[[], bool] = lambda: True) -> list[float]:
    """Serve for about `seconds`, at least once, and only while `on` says so; gives each pass's time a step, in us."""
    ends = time.monotonic() + seconds
    found: list[float] = []
    while not found or (time.monotonic() < ends and on()):
        found.append(_step_us(serve()))
    return found


def record(pid: int, settings: Flamegraph, scope: str, serve: Callable[[], PassResult]) -> tuple[Recording, Stacks]:
    """Sample one arm for about `settings.seconds`.

    Args:
        pid: the process that runs the model runner.
        settings: how to sample.
        scope: name of the function that the stacks are cut to, unless all are asked for.
        serve: serves the workload once under the arm, in a bare pass.

    Returns:
        The recording's facts, and its stacks.

    Raises:
        ProfilerError: py-spy is missing, may not attach, or the process is gone.
    """
    plain_us = _served(serve, settings.seconds * PLAIN_SHARE / 2)
    sampled_us: list[float] = []
    steps = 0
    at_most_s = 600 + 10 * settings.seconds  # a pass is served to its end, however long it takes
    with Recorder(pid, settings.rate, settings.native, settings.nonblocking, at_most_s) as recorder:
        began = time.monotonic()
        while not sampled_us or time.monotonic() - began < settings.seconds:
            result = serve()
            sampled_us.append(_step_us(result))
            steps += len(result.columns["step"])
            if not recorder.sampling:
                break  # what it has seen by then, or why it stopped, comes below
    plain_us += _served(serve, settings.seconds * PLAIN_SHARE / 2)
    found = recorder.sampled
    if not found.samples:
        raise ProfilerError(f"py-spy saw nothing of process {pid}: sample for longer, or more often")
    stacks = parse(found.folded)
    inside = cut(stacks, *parts(scope))
    recording = Recording.of(
        settings,
        found,
        sum(inside.values()),
        step_samples=sum(cut(stacks, *RUNNER).values()),
        passes=len(sampled_us),
        steps=steps,
        step_us=statistics.median(plain_us),
        sampled_step_us=statistics.median(sampled_us),
    )
    return recording, stacks if settings.whole else inside


def _step_us(result: PassResult) -> float:
    """Mean time of a step in the model runner."""
    columns = result.columns
    total_ns: int = sum(columns["execute_ns"]) + sum(columns["sample_ns"])
    return total_ns / len(columns["step"]) / 1e3
