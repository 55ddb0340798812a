"""A history: one workload profiled under several releases of vLLM, launch by launch, in blocks.

Each block starts every release once, in drawn order; hash seed and environment size are drawn for each launch. A launch
is a profile of its own (`harness profile`), run by the release's own Python with this harness. Where the engines of a
block fit side by side, they take turns (`side_by_side`).
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.analysis.anatomy import dissect
from harness.analysis.history import MODEL, WHOLE
from harness.analysis.phase_times import OF_THE_MODEL
from harness.errors import RecordsError
from harness.records.folder import read_run
from harness.records.history import Figure, write_facts, write_figures
from harness.running.block_book import BlockBook
from harness.running.blocks import Block, run_here
from harness.running.place import Place, Process
from harness.running.run import INTERRUPTED, Outcome, facts_at_end, facts_at_start, seen_to_its_end
from harness.running.side_by_side import side_by_side

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
        runner: runs the blocks; None for this machine.
    """

    loaded: Loaded
    folder: RunFolder
    arguments: Sequence[str]
    command: Sequence[str]
    environments: Mapping[str, Environment]
    blocks: int
    note: Callable[[str], None]
    announce: Callable[[int, int, str, float | None], None]
    runner: Runner | None = None
    facts: dict[str, Any] = field(default_factory=dict, init=False)
    figures: list[Figure] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._book = BlockBook(list(self.environments), self.loaded.experiment.protocol.seed)
        self._outcome = Outcome("complete", 0)
        self._left_out: dict[str, str] = {}
        self._began = time.monotonic()

    def execute(self) -> Outcome:
        """Run all blocks; what was measured is kept, however it ends."""
        self.facts = {
            **facts_at_start(self.loaded, self.command, ""),
            "releases": [
                {"release": release, "torch": each.torch, "hash": each.hash}
                for release, each in self.environments.items()
            ],
            "wanted": self.blocks,
            "blocks": self._book.blocks,
            "launches": self._book.launches,
            "functions": {},
            "runner_alone": [],
        }
        self._began = time.monotonic()
        self._write()
        return seen_to_its_end(self._all, self._record)

    def _all(self) -> Outcome:
        beside = side_by_side([self.loaded.experiment], self.note)
        turns = beside.run if beside is not None else None
        runner: Runner = self.runner or functools.partial(run_here, turns=turns)
        runner(self._blocks(), self, Place({}, self.environments))
        if self._outcome.status == "complete" and self._left_out:
            told = (f"{release} is left out: {why}" for release, why in self._left_out.items())
            return Outcome("complete", 1, "; ".join(told))
        return self._outcome

    def _record(self, outcome: Outcome) -> None:
        self.facts |= facts_at_end(outcome)
        self._write()

    def _write(self) -> None:
        self.facts["seconds"] = round(time.monotonic() - self._began, 1)
        write_facts(self.folder, self.facts)
        write_figures(self.folder, self.figures)

    def _blocks(self) -> Iterator[Block | None]:
        while self._outcome.status == "complete" and len(self._left_out) < len(self.environments):
            if self._book.whole + self._book.under_way < self.blocks:
                number, drawn = self._book.draw()
                yield Block(number, self._processes(drawn), len(drawn))
            elif self._book.under_way:
                yield None  # it may be lost
            else:
                return

    def _processes(self, drawn: Sequence[ArmLaunch]) -> Iterator[Process]:
        for launch in drawn:
            if launch.arm in self._left_out:
                continue
            done, releases = len(self._book.launches), len(self.environments) - len(self._left_out)
            lost = len(self._book.blocks) - self._book.whole
            in_all = max((self.blocks + lost) * releases, done + 1)
            left_s = (time.monotonic() - self._began) / done * (in_all - done) if done else None
            self._book.begin(launch)
            self.announce(done + 1, in_all, launch.arm, left_s)
            path = self.folder.launch(launch.number)
            arguments = ["-m", "harness", "profile", *self.arguments, "--no-report", "--out", str(path)]
            arguments += ["--set", f"protocol.seed={launch.schedule_seed}"]
            yield Process(launch.number, launch.arm, arguments, launch.variables, path)

    def stands(self, process: Process) -> None:
        """Nothing of it is needed before it ends."""

    def ran(self, process: Process, exit_status: int) -> bool:
        """Take over what a launch measured; gives whether its block goes on."""
        why = self._taken(process, self._book.launch(process.number)["block"], exit_status)
        if not why:
            self._book.measured(process.number)
            return True
        self._book.lose(process.number, why)
        if exit_status == INTERRUPTED:
            self._outcome = Outcome("interrupted", INTERRUPTED, why)
        elif self._book.gives_up(process.number):
            self._left_out[process.arm] = why
            self.note(f"{process.arm} is left out: {why}")
            for each in self.facts["releases"]:
                if each["release"] == process.arm:
                    each["left_out"] = why
        return False

    def ended(self, block: int, node: str = "", lost: str = "", together: bool = False) -> None:
        """Note a block that has ended, and what became of it."""
        why = self._book.end(block, node, lost, together)
        self._write()
        if why and self._outcome.status == "complete":
            self.note(f"block {block} is lost, and another one is run in its place: {why}")

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
        if "by_turns" in records.run:
            self.facts["by_turns"] = records.run["by_turns"]
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
