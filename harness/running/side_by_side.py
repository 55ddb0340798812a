"""The engines of a block side by side: all are started, and then they take turns of some steps, in drawn order.

They start at once, when one of them has shown how much memory they take, and check and warm up one after the other.

What a machine does from one second to the next falls on all arms of a block alike, and cancels in the differences
within the block. Launches that follow each other are half a minute apart, in which a shared machine can change by more
than most settings do. Only one engine works at a time; the others wait for their turn. Where one of them has processes
of its own, turns are of a pass, since nothing of it can wait before a step.

How long a turn should be was tried on a machine with busy neighbours, with steps of 2 to 7 ms. Turns of one step follow
the machine's speed best, but each then finds its caches full of others' things, and takes 1.7 times as long. Turns of a
pass follow it badly. With some steps a turn one step in eight is such a first one. Their number is drawn anew each
round, the same for all, so that no step of the workload is always the first of a turn.

Akin are trials interleaved at random (Abedi & Brecht, "Conducting repeatable experiments in highly variable cloud
computing environments", ICPE 2017), which are whole runs, and pairs that run at once, each on a core of its own (Bulej
et al., "Duet benchmarking: improving measurement accuracy in the cloud", ICPE 2020), which disturb each other.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import psutil

from harness.children import begin_as_child
from harness.digits import duration
from harness.hosts.vllm_settings import on_cpu
from harness.running.baton import DONE, GO, GROUPS, READY, REST, STANDS, VARIABLE
from harness.running.run import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.config.experiment import Experiment
    from harness.running.blocks import Block, Keeper
    from harness.running.place import Place, Process

__all__ = ["STEPS", "SideBySide", "side_by_side"]

LOOK_S: Final = 0.5
"""How often it is looked whether a process that says nothing still lives."""
STEPS: Final = (4, 12)
"""Of a turn: the fewest and the most."""
ORDER: Final = 4
"""Beside the seed, so that turns are drawn independently of the rest."""
SPARE: Final = 1.25
"""The next engine may take so many times the memory of the largest one."""


def side_by_side(
    configs: Sequence[Experiment], note: Callable[[str], None], start: Callable[..., Any] = subprocess.Popen
) -> SideBySide | None:
    """What runs blocks of the engines of these configs side by side; None where they run one after the other.

    As the first config says, or else side by side on a CPU: an engine takes nearly all memory of a GPU. Where one
    of them has a process of its own, what is compared is the time from step to step, so that all have turns of a pass.

    Args:
        configs: the whole run's, and those of its arms.
        note: is told what a user wants to know at once.
        start: starts a process (`subprocess.Popen`, unless a test replaces it).
    """
    protocol = configs[0].protocol
    asked = protocol.side_by_side
    if not (all(on_cpu(config.host) for config in configs) if asked is None else asked):
        return None
    by_step = all(config.host.process == "in_process" for config in configs)
    # Else vLLM tries how much of a GPU's memory is left, in which no other engine must come and go.
    at_once = all(on_cpu(config.host) or config.engine.get("kv_cache_memory_bytes") for config in configs)
    return SideBySide(protocol.seed, note, start, by_step, at_once)


@dataclass
class _Engine:
    """A launch whose engine stands beside others.

    Attributes:
        child: its process.
        reads, writes: descriptors of pipes.
        groups: that it planned.
        group_s: how long one takes.
        status: how its process ended; None while it lives.
    """

    process: Process
    child: Any
    reads: int
    writes: int
    groups: int = 0
    group_s: float = 0.0
    status: int | None = None
    _said: bytes = b""

    def hear(self) -> str:
        """The next line that it says; empty when its process has ended."""
        while b"\n" not in self._said:
            there, _, _ = select.select([self.reads], [], [], LOOK_S)
            found = os.read(self.reads, 1000) if there else b""
            if found:
                self._said += found
            elif there or self.child.poll() is not None:  # what it has forked may hold the pipe open
                self.end()
                return ""
        line, _, self._said = self._said.partition(b"\n")
        return line.decode(errors="replace")

    def tell(self, word: str) -> None:
        """Say a line to it; whether it still lives is seen by what it says."""
        with contextlib.suppress(OSError):
            os.write(self.writes, f"{word}\n".encode())

    def end(self) -> None:
        """Wait for the end of its process."""
        if self.status is None:
            self.status = int(self.child.wait())

    def fail(self) -> None:
        """End its process, where it still lives, and note that it failed, whatever its status is."""
        if self.status is None:
            self.child.terminate()
            self.end()
        self.status = self.status or 1

    def close(self) -> None:
        """Close the pipes."""
        for descriptor in (self.reads, self.writes):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _memory_of(engine: _Engine) -> int:
    """Bytes that an engine's processes hold."""
    own = psutil.Process(engine.child.pid)
    return sum(each.memory_info().rss for each in (own, *own.children(recursive=True)))


@dataclass
class SideBySide:
    """Runs blocks whose engines stand side by side.

    Attributes:
        seed: draws whose turn it is.
        note: is told what a user wants to know at once.
        start: starts a process (`subprocess.Popen`, unless a test replaces it).
        by_step: whether turns are of some steps, and not of a pass.
        at_once: whether engines may start at once.
    """

    seed: int
    note: Callable[[str], None]
    start: Callable[..., Any] = subprocess.Popen
    by_step: bool = True
    at_once: bool = True
    _told: bool = field(default=False, init=False)
    _largest: int = field(default=0, init=False)

    def run(self, block: Block, keeper: Keeper, place: Place) -> bool:
        """Run a block; gives whether its launches took turns. The keeper is told of each launch, not of the end.

        Where not all of their engines fit into memory, as many as do measure before the others are started.
        """
        engines: list[_Engine] = []
        begun, apart, together = 0, False, False
        starting: list[_Engine] = []
        try:
            at_once = self._start_at_once(block.engines)
            for process in block.processes:
                engines.append(self._begin(process, place))
                starting.append(engines[-1])
                begun += 1
                if at_once and begun < block.engines:
                    continue
                self._make_ready(starting, keeper)
                starting.clear()
                self._look_at_memory(engines)
                if not self._goes_on(engines, keeper):
                    break
                at_once = self._start_at_once(block.engines - begun)
                if engines and begun < block.engines and not self._one_more_fits(engines):
                    apart = True
                    self._take_turns(engines, block.number)
                    if not self._goes_on(engines, keeper):
                        break
            else:
                together = len(engines) > 1 and not apart
                self._take_turns(engines, block.number)
        except KeyboardInterrupt:
            if not self._interrupt(engines):
                raise
        finally:
            self._stop([engine for engine in engines if engine.status is None])
            for engine in engines:
                engine.close()
        self._tell(engines, keeper)
        return together

    def _begin(self, process: Process, place: Place) -> _Engine:
        arguments, environment = place.command(process)
        (its_reads, writes), (reads, its_writes) = os.pipe(), os.pipe()
        try:
            child = self.start(
                arguments, env={**environment, VARIABLE: f"{its_reads},{its_writes}"}, stdout=subprocess.DEVNULL,
                process_group=0, preexec_fn=begin_as_child, pass_fds=(its_reads, its_writes),
            )  # fmt: skip
        finally:
            os.close(its_reads)
            os.close(its_writes)
        return _Engine(process, child, reads, writes)

    def _make_ready(self, starting: Sequence[_Engine], keeper: Keeper) -> None:
        """Wait for those that are starting, and then for the checks of one after the other; stops at a failure."""
        standing = []
        for engine in starting:
            if self._says(STANDS, engine):
                standing.append(engine)
            elif engine.status:
                return
        for engine in standing:
            if self._is_ready(engine):
                keeper.stands(engine.process)
            elif engine.status:
                return

    @staticmethod
    def _says(word: str, engine: _Engine) -> list[str]:
        """Hear this word from it, and give what follows; empty where it has ended, or said another and was ended."""
        said, *what = [*engine.hear().split(" "), ""]
        if said and said != word:  # whatever it is, it would wait for no turn
            engine.fail()
        return what if said == word else []

    def _is_ready(self, engine: _Engine) -> bool:
        """Let it check and warm up, while all others wait.

        Where two did so at once on one GPU, 14 s of checks were not over after four minutes.
        """
        engine.tell(f"{GO} 0")
        if numbers := self._says(READY, engine):
            engine.groups, engine.group_s = int(numbers[0]), float(numbers[1]) / int(numbers[0])
        return bool(numbers)

    def _look_at_memory(self, engines: Sequence[_Engine]) -> None:
        with contextlib.suppress(psutil.Error, AttributeError):  # it has ended meanwhile, or is no process at all
            self._largest = max(self._largest, *map(_memory_of, engines))

    def _start_at_once(self, engines: int) -> bool:
        """Whether so many engines start at once: only when one has shown how much memory it takes."""
        return self.at_once and 0 < engines * self._largest * SPARE <= psutil.virtual_memory().available

    def _one_more_fits(self, engines: Sequence[_Engine]) -> bool:
        """Whether another engine as large as the largest so far fits into memory."""
        fits = self._largest * SPARE <= psutil.virtual_memory().available
        if not fits and not self._told:
            self._told = True
            gib = self._largest / 2**30
            self.note(
                f"engines of up to {gib:.1f} GiB fill the memory: {len(engines)} measure before others are started"
            )
        return fits

    @staticmethod
    def _goes_on(engines: list[_Engine], keeper: Keeper) -> bool:
        """Whether a block does: none has failed. Tells the keeper of those that measured, or had nothing to measure."""
        if any(engine.status for engine in engines):
            return False
        for engine in [engine for engine in engines if engine.status == 0]:
            engines.remove(engine)
            engine.close()
            if not keeper.ran(engine.process, 0):
                return False
        return True

    def _take_turns(self, engines: Sequence[_Engine], block: int) -> None:
        """Have them take turns, and end; stops at the first that ends before the others."""
        if not engines:
            return
        groups = min(engine.groups for engine in engines)
        if len(engines) > 1:
            seconds = groups * sum(engine.group_s for engine in engines)
            self.note(f"measuring {len(engines)} engines by turns (about {duration(seconds)})")
        for engine in engines:
            engine.tell(f"{GROUPS} {groups}")
        rng = np.random.default_rng([self.seed, ORDER, block])
        active = list(engines)
        while active:
            steps = rng.integers(*STEPS, endpoint=True) if self.by_step else 0
            for index in rng.permutation(len(active)):
                active[index].tell(f"{GO} {steps}")
                said = active[index].hear()
                if said == REST:
                    active[index].groups = 0
                elif said != DONE:
                    active[index].fail()  # all others wait for it in vain
                    return
            active = [engine for engine in active if engine.groups]
        for engine in engines:
            engine.tell(f"{GO} 0")
            engine.end()
            if engine.status:
                return

    @staticmethod
    def _interrupt(engines: Sequence[_Engine]) -> bool:
        """Ctrl-C: each is told, and waited for; whether there was any.

        Whatever its own status is then, the run was interrupted: one that was still importing dies of the signal.
        """
        alive = [engine for engine in engines if engine.status is None]
        for engine in alive:
            engine.status = INTERRUPTED
            engine.child.send_signal(signal.SIGINT)
        try:
            for engine in alive:
                engine.child.wait()
        except KeyboardInterrupt:
            for engine in alive:
                engine.child.kill()
        return bool(alive)

    @staticmethod
    def _stop(engines: Sequence[_Engine]) -> None:
        """End those that wait for a turn that does not come: their block is lost."""
        for engine in engines:
            engine.child.terminate()
        for engine in engines:
            engine.child.wait()

    @staticmethod
    def _tell(engines: Sequence[_Engine], keeper: Keeper) -> None:
        """Tell the keeper of each that ended by itself, a failure first: those that were stopped say nothing."""
        ended = [engine for engine in engines if engine.status is not None]
        for engine in sorted(ended, key=lambda engine: not engine.status):
            if not keeper.ran(engine.process, int(engine.status or 0)):
                return
