"""A history: one workload profiled under several releases of vLLM, launch by launch, in blocks.

Each block starts every release once, in drawn order; hash seed and environment size are drawn for each launch. A launch
is a profile of its own (`harness profile`), run by the release's own Python with this harness.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness import signals
from harness.analysis.anatomy import dissect
from harness.analysis.history import MODEL, WHOLE
from harness.analysis.phase_times import OF_THE_MODEL
from harness.errors import HarnessError, RecordsError, told
from harness.records.folder import read_run
from harness.records.history import Figure, write_facts, write_figures
from harness.running.arm_launches import PATIENCE
from harness.running.blocks import Block, run_here
from harness.running.drawn import PADDING, draw_block
from harness.running.place import Place, Process
from harness.running.run import INTERRUPTED, Outcome, facts_at_end, facts_at_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.analysis.anatomy import Anatomy
    from harness.config.file import Loaded
    from harness.environments import Environment
    from harness.records.folder import RunFolder
    from harness.running.blocks import Runner
    from harness.running.drawn import ArmLaunch

__all__ = ["FEWEST", "Releases", "figures_of"]

FEWEST: Final = 5
"""Blocks, where it is not said how many."""


@dataclass
class Releases:
    """Runs a history; keeps what its launches measure (`blocks.Keeper`).

    Attributes:
        loaded: the config of the profile.
        folder: of the history.
        arguments: of `harness profile`: the config and its overrides.
        command: the command line.
        environments: by release, in their order.
        blocks: how many are wanted.
        note: is told what a user wants to know at once.
        announce: is called before each launch with its number, how many there will be, its release, and about how many
            seconds the rest takes (None where that is not known).
        runner: runs the blocks.
    """

    loaded: Loaded
    folder: RunFolder
    arguments: Sequence[str]
    command: Sequence[str]
    environments: Mapping[str, Environment]
    blocks: int
    note: Callable[[str], None]
    announce: Callable[[int, int, str, float | None], None]
    runner: Runner = run_here
    facts: dict[str, Any] = field(default_factory=dict, init=False)
    figures: list[Figure] = field(default_factory=list, init=False)
    _outcome: Outcome = field(default_factory=lambda: Outcome("complete", 0), init=False)
    _lost: dict[int, str] = field(default_factory=dict, init=False)
    _failures: dict[str, int] = field(default_factory=dict, init=False)
    _left_out: dict[str, str] = field(default_factory=dict, init=False)

    def execute(self) -> Outcome:
        """Run all blocks; what was measured is kept, however it ends."""
        self.facts = {
            **facts_at_start(self.loaded, self.command, ""),
            "releases": [
                {"release": release, "torch": each.torch, "hash": each.hash}
                for release, each in self.environments.items()
            ],
            "wanted": self.blocks,
            "blocks": [],
            "launches": [],
            "functions": {},
            "runner_alone": [],
        }
        self._write()
        self._began = time.monotonic()
        with signals.heeded():
            try:
                self.runner(self._blocks(), self, Place({}, self.environments))
            except BaseException as error:  # noqa: BLE001 (how it ended is written, whatever that was)
                with signals.deferred():
                    why = str(error) if isinstance(error, HarnessError) else told(error)
                    self._outcome = (
                        Outcome("interrupted", INTERRUPTED, "interrupted")
                        if isinstance(error, KeyboardInterrupt)
                        else Outcome("failed", 1, why)
                    )
            with signals.deferred():
                if self._outcome.status == "complete" and self._left_out:
                    self._outcome = Outcome("complete", 1, "; ".join(self._left_out.values()))
                self.facts |= facts_at_end(self._outcome)
                self._write()
        return self._outcome

    def _write(self) -> None:
        self.facts["seconds"] = round(time.monotonic() - getattr(self, "_began", time.monotonic()), 1)
        write_facts(self.folder, self.facts)
        write_figures(self.folder, self.figures)

    def _blocks(self) -> Iterator[Block]:
        while self._outcome.status == "complete" and len(self._left_out) < len(self.environments):
            begun = len({launch["block"] for launch in self.facts["launches"]})
            if begun - len(self._lost) >= self.blocks:
                return
            first = 1 + len(self.facts["launches"])
            seed = self.loaded.experiment.protocol.seed
            yield Block(begun + 1, self._processes(draw_block(list(self.environments), begun + 1, first, seed)))

    def _processes(self, drawn: Sequence[ArmLaunch]) -> Iterator[Process]:
        for launch in drawn:
            if launch.arm in self._left_out:
                continue
            self.facts["launches"].append({**vars(launch), "release": launch.arm})
            done = len(self.facts["launches"]) - 1
            in_all = (self.blocks + len(self._lost)) * (len(self.environments) - len(self._left_out))
            left_s = (time.monotonic() - self._began) / done * (in_all - done) if done else None
            self.announce(done + 1, max(in_all, done + 1), launch.arm, left_s)
            path = self.folder.launch(launch.number)
            arguments = ["-m", "harness", "profile", *self.arguments, "--no-report", "--out", str(path)]
            arguments += ["--set", f"protocol.seed={launch.schedule_seed}"]
            variables = {"PYTHONHASHSEED": str(launch.hash_seed), PADDING: "x" * launch.padding_bytes}
            yield Process(launch.number, launch.arm, arguments, variables, path)

    def ran(self, process: Process, exit_status: int) -> bool:
        """Take over what a launch measured; gives whether its block goes on."""
        block = next(each["block"] for each in self.facts["launches"] if each["number"] == process.number)
        why = self._taken(process, block, exit_status)
        if not why:
            self._failures[process.arm] = 0
            return True
        self._lost[block] = why
        if exit_status == INTERRUPTED:
            self._outcome = Outcome("interrupted", INTERRUPTED, why)
            return False
        self._failures[process.arm] = self._failures.get(process.arm, 0) + 1
        if self._failures[process.arm] >= PATIENCE:
            self._left_out[process.arm] = told_out = f"{process.arm} is left out: {why}"
            self.note(told_out)
            for each in self.facts["releases"]:
                if each["release"] == process.arm:
                    each["left_out"] = why
        return False

    def ended(self, block: int, node: str = "", lost: str = "") -> None:
        """Note a block that has ended, and what became of it."""
        lost = lost or self._lost.get(block, "")
        self.facts["blocks"].append(
            {"number": block, **({"node": node} if node else {}), **({"lost": lost} if lost else {})}
        )
        self._write()
        if lost and self._outcome.status == "complete":
            self.note(f"block {block} is lost, and another one is run in its place: {lost}")

    def _taken(self, process: Process, block: int, exit_status: int) -> str:
        """Take a launch's figures; why there are none, or empty."""
        name = f"launch {process.number} ({process.arm})"
        if exit_status < 0:
            return f"{name} was ended by signal {-exit_status}"
        try:
            records = read_run(process.folder)
        except RecordsError as error:
            return f"{name}: {error}"
        if records.run["status"] != "complete":
            return f"{name}: {records.run.get('message') or records.run['status']}"
        anatomy = dissect(records)
        self.figures += figures_of(anatomy, process.arm, block, process.number)
        if not has_turn(anatomy) and process.arm not in self.facts["runner_alone"]:
            self.facts["runner_alone"].append(process.arm)
        of_release = self.facts["functions"].setdefault(process.arm, {})
        for kind in anatomy.kinds:
            for phase in kind.phases:
                of_release[phase.label] = sorted({*of_release.get(phase.label, ()), *phase.names})
        return ""


def has_turn(anatomy: Anatomy) -> bool:
    """Whether a profile has the engine's turn, and not the model runner's part of it alone."""
    return bool(anatomy.run.get("switch", {}).get("turn"))


def figures_of(anatomy: Anatomy, release: str, block: int, launch: int) -> Iterator[Figure]:
    """A profile's figures: of each kind of turn the whole turn, where it has been timed, and its phases."""
    for kind in anatomy.kinds:
        if has_turn(anatomy):
            yield Figure(release, block, launch, kind.kind, WHOLE, "", kind.whole_us.estimate, 1.0)
        for phase in kind.phases:
            section = MODEL if phase.label in OF_THE_MODEL else phase.section
            yield Figure(release, block, launch, kind.kind, phase.label, section, phase.us.estimate, phase.calls)
