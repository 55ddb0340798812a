"""Sampling an engine that harness did not start: which of its processes runs the model, and what it does."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import psutil

from harness.errors import ProfilerError
from harness.instrument.scopes import parts
from harness.sampling.pyspy import Recorder
from harness.sampling.sampled import Flame, Recording, flame_of_process
from harness.sampling.stacks import cut, parse

if TYPE_CHECKING:
    from harness.config.experiment import Flamegraph
    from harness.sampling.stacks import Stacks

__all__ = ["runner_process", "sample_process", "seen_most", "title"]

TITLES: Final = ("VLLM::Worker", "VLLM::EngineCore")
"""How vLLM names the processes that run its model, in the order in which they are looked for (vllm/v1/executor,
vllm/v1/engine/core.py): with several workers the engine's core only schedules."""
POLL_S: Final = 0.1


def runner_process(pid: int) -> psutil.Process:
    """The process that runs the model: `pid`, or the one below it that vLLM names so, the first of several.

    Raises:
        ProfilerError: there is no such process.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        raise ProfilerError(f"there is no process {pid}") from None
    titled = sorted((title(member), member.pid, member) for member in family)
    for wanted in TITLES:
        for name, _, member in titled:
            if name.startswith(wanted):
                return member
    return process


def title(process: psutil.Process) -> str:
    """The process's command line, which vLLM replaces by a title; empty where it may not be read."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline()).strip()
    return ""


def sample_process(pid: int, settings: Flamegraph, scope: str) -> tuple[Flame, Stacks]:
    """Sample a process for `settings.seconds`, or until it ends or Ctrl-C.

    Returns:
        Its flame, cut to the scope unless all is asked for; and all stacks that were seen.

    Raises:
        ProfilerError: py-spy could not attach, or saw nothing.
    """
    with Recorder(pid, settings.rate, settings.native, settings.nonblocking, settings.seconds + 60) as recorder:
        until = time.monotonic() + settings.seconds
        with contextlib.suppress(KeyboardInterrupt):  # what has been seen by then is kept
            while time.monotonic() < until and recorder.sampling:
                time.sleep(POLL_S)
    stacks = parse(recorder.sampled.folded)
    inside = cut(stacks, *parts(scope))
    recording = Recording.of(settings, recorder.sampled, sum(inside.values()))
    return flame_of_process(recording, stacks if settings.whole else inside), stacks


def seen_most(stacks: Stacks, number: int = 3) -> list[str]:
    """The functions that were seen most often at the inner end of a stack."""
    counts: Counter[str] = Counter()
    for stack, count in stacks.items():
        counts[stack[-1].name] += count
    return [name for name, _ in counts.most_common(number)]
