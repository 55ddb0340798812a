"""Passes of their own under py-spy, one recording an arm; never those whose times are reported.

Just before and after its recording each arm serves some passes without py-spy: what they take tells how much sampling
slows the engine.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

from harness.errors import ProfilerError
from harness.instrument.scopes import parts
from harness.pyspy import Recorder
from harness.sampled import Recording
from harness.stacks import RUNNER, cut, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.config import Flamegraph
    from harness.hosts.base import PassResult
    from harness.stacks import Stacks

__all__ = ["PLAIN_PASSES", "record"]

PLAIN_PASSES: Final = 5
"""Without py-spy, before a recording and once more after it."""


def record(pid: int, settings: Flamegraph, scope: str, serve: Callable[[], PassResult]) -> tuple[Recording, Stacks]:
    """Sample one arm for about `settings.seconds`.

    Args:
        pid: the process that runs the model runner.
        settings: how to sample.
        scope: name of the function that the stacks are cut to, unless all are asked for.
        serve: serves the workload once under the arm, in a bare pass.

    Returns:
        What the recording was, and its stacks.

    Raises:
        ProfilerError: py-spy is missing, may not attach, or the process is gone.
    """
    plain_us = [_step_us(serve()) for _ in range(PLAIN_PASSES)]
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
    plain_us += [_step_us(serve()) for _ in range(PLAIN_PASSES)]
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
