"""Launch grain: each launch is an engine that was started with one arm's change in it, and runs that arm alone.

For a change that cannot be switched in a living engine, and for settings. Launches come in blocks (`blocks`): each has
every arm once, native too, in drawn order. Hash seed and environment size are drawn for each launch as ever. A block in
which a launch fails is lost, whole, and another one is run in its place.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.config.launched import OPTION, Launched
from harness.config.settings import at_arm, options_of
from harness.errors import RecordsError
from harness.instrument.scopes import AUTO
from harness.records.agreement import SIGNATURE, signature_difference
from harness.records.folder import read_facts
from harness.running.across import Across
from harness.running.block_book import PATIENCE, BlockBook
from harness.running.blocks import Block, run_here
from harness.running.changed import facts_of
from harness.running.drawn import ArmLaunch, Launch
from harness.running.enough import Enough
from harness.running.launches import SHARED, Launches
from harness.running.place import Place, Process
from harness.running.run import Outcome
from harness.running.side_by_side import side_by_side
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.environments import Environment
    from harness.running.blocks import Runner
    from harness.running.changed import Prepared

__all__ = ["FEWEST", "LAUNCH_S", "ArmLaunches"]

FEWEST: Final = 5
"""Launches of each arm, where the config does not say how many."""
LAUNCH_S: Final = 5.0
"""How long a launch measures, where the config asks for a width and not for a time."""


@dataclass
class ArmLaunches(Launches):
    """A run at launch grain; keeps what its launches measure (`blocks.Keeper`).

    Attributes:
        prepared: the arms' changed files, by arm; native is not among them.
        why: why it is at launch grain, a reason each.
        environments: by arm, of those with a release of vLLM of their own, where that is.
        note: is told what a user wants to know at once.
        root: the folder that holds the installed package.
        runner: runs the blocks; None for this machine.
        before: what an earlier run, which this one goes on with, has left in run.json.
    """

    prepared: Mapping[str, Prepared] = field(default_factory=dict)
    why: Sequence[str] = ()
    environments: Mapping[str, Environment] = field(default_factory=dict)
    note: Callable[[str], None] = lambda text: None
    root: Path | None = None
    runner: Runner | None = None
    before: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        experiment = self.loaded.experiment
        protocol = experiment.protocol
        started = [at_arm(self.loaded, arm).experiment for arm in experiment.arms]
        self._beside = side_by_side([experiment, *started], self.note, self.start)
        count = protocol.launches if protocol.launches > 1 else FEWEST
        asked = protocol.grain
        protocol = protocol.model_copy(update={"grain": "launch", "launches": count})
        self.loaded = self.loaded._replace(experiment=experiment.model_copy(update={"protocol": protocol}))
        self._given = {"asked": asked, "why": list(self.why)}
        self._options = {arm.name: options_of(experiment, arm) for arm in experiment.arms}
        self._names = [NATIVE, *(arm.name for arm in experiment.arms if arm.name != NATIVE)]
        self._across = Across(experiment.equality.left_out, [arm.name for arm in experiment.arms if arm.setting])
        self._found = Launched("", experiment.scope, tuple(experiment.probes), self._watched())
        self._enough = Enough(protocol, self.folder, self.note)
        self._measured: list[str] = []
        self._book = BlockBook(
            self._names, protocol.seed, self.before.get("launches", ()), self.before.get("blocks", ())
        )
        self._outcome = Outcome("complete", 0)
        self._began = 0.0

    @property
    def a_run(self) -> int:
        """Launches of each arm."""
        return self.loaded.experiment.protocol.launches

    @property
    def until(self) -> bool:
        """Whether there are as many as a wanted width takes."""
        return self.loaded.experiment.protocol.until is not None

    def _watched(self) -> tuple[str, ...]:
        """The functions that changes touch, and that native has as well."""
        changes = [change for each in self.prepared.values() for change in each.changes if change.kind == "function"]
        return tuple(dict.fromkeys(change.full_name for change in changes if change.how == "changed"))

    @staticmethod
    def _own(prepared: Prepared) -> list[str]:
        """An arm's changed functions that a pass can reach; what makes objects ran when the engine started."""
        changes = [change for change in prepared.changes if (change.kind, change.how) == ("function", "changed")]
        return [change.full_name for change in changes if not change.makes_objects]

    def _draw(self) -> Sequence[Launch]:
        return []  # blocks are drawn one by one

    def _all(self, planned: Sequence[Launch]) -> Outcome:
        self.facts |= {
            "grain": self._given,
            "changes": facts_of(self.prepared),
            "environments": {
                name: {"hash": each.hash, "vllm": each.version, "torch": each.torch}
                for name, each in self.environments.items()
            },
            "started_with": {name: self._own(each) for name, each in self.prepared.items()},
            "launches": self._book.launches,
            "blocks": self._book.blocks,
            "given": list(self.arguments),
            **{key: self.before[key] for key in ("started", "looks", "stopped") if key in self.before},
        }
        for launch in self._book.whole_launches:  # of an earlier run in this folder
            path = self.folder.launch(launch["number"])
            self._take_over(read_facts(path), path)
        self.folder.write_run(self.facts)
        files = {name: each.sources.files for name, each in self.prepared.items()}
        place = Place(files, self.environments, self.root)
        self._began = time.monotonic()
        turns = self._beside.run if self._beside is not None else None
        runner: Runner = self.runner or functools.partial(run_here, start=self.start, turns=turns)
        runner(self._blocks(), self, place)
        outcome = self._outcome
        if outcome.status != "complete":
            return self._ended_early(outcome)
        if self._across.struck:
            reasons = "; ".join(f"arm {name!r} {reason}" for name, reason in self._across.struck.items())
            told = f"not equal to native, so without figures: {reasons}"
            return dataclasses.replace(outcome, exit_status=1, message=told)
        return outcome

    def _ended_early(self, outcome: Outcome) -> Outcome:
        """The outcome with what was kept, and how to go on."""
        whole = self._book.whole
        blocks = "1 block was" if whole == 1 else f"{whole} blocks, each with a launch of every arm, were"
        told = f"{outcome.message}; {blocks} measured and kept; harness resume {self.folder.path} goes on"
        return dataclasses.replace(outcome, message=told)

    def _blocks(self) -> Iterator[Block | None]:
        """Blocks as long as more are needed; what one holds is drawn when it begins.

        None where blocks are under way of which one must end first: it may be lost, or the first one is to find the
        scope.
        """
        while self._outcome.status == "complete":
            waits = self._found.scope == AUTO and self._book.under_way
            if waits or not self._enough.wants_more(self._book, time.monotonic() - self._began, self.facts):
                if not self._book.under_way:
                    return
                yield None
                continue
            if all(name in self._across.struck for name in self._names[1:]):
                return
            number, drawn = self._book.draw()
            yield Block(number, self._processes(drawn), len(drawn))

    def _processes(self, drawn: Sequence[ArmLaunch]) -> Iterator[Process]:
        """A block's processes; an arm that has been struck meanwhile is left out."""
        for launch in drawn:
            if launch.arm in self._across.struck:
                continue
            self._book.begin(launch)
            self.folder.write_run(self.facts)
            self.announce(len(self._book.launches), self._enough.blocks * len(self._names), self._enough.left_s)
            arguments = self._arguments(launch)[1:]  # the Python is the place's
            yield Process(launch.number, launch.arm, arguments, launch.variables, self._path(launch))

    def stands(self, process: Process) -> None:
        """Take the scope that a launch has found, so that those whose engines are started next time the same."""
        if self._found.scope == AUTO and (run := read_facts(process.folder))["config"]["scope"] != AUTO:
            self._find(run)

    def ran(self, process: Process, exit_status: int) -> bool:
        """Take over what a launch measured; gives whether its block goes on."""
        launch = ArmLaunch(**self._book.launch(process.number))
        found = self._taken(launch, 1 if exit_status < 0 else exit_status)
        if found.status == "complete":
            self._book.measured(launch.number)
            return True
        if exit_status < 0:
            found.message = f"{self._name(launch)} was ended by signal {-exit_status}"
        self._book.lose(launch.number, found.message)
        if found.status == "interrupted" or found.exit_status == 2:
            self._outcome = found
        elif self._book.gives_up(launch.number):
            if launch.arm == NATIVE:
                self._outcome = found
            else:
                self._across.struck[launch.arm] = f"failed {PATIENCE} times in succession: {found.message}"
                self._tell_struck({launch.arm})
        return False

    def ended(self, block: int, node: str = "", lost: str = "", together: bool = False) -> None:
        """Note a block that has ended, and what became of it."""
        why = self._book.end(block, node, lost, together)
        self.folder.write_run(self.facts)
        if why and self._outcome.status == "complete":
            self.note(f"block {block} is lost, and another one is run in its place: {why}")

    def _name(self, launch: Launch) -> str:
        assert isinstance(launch, ArmLaunch)  # noqa: S101 (`_draw` gives no others)
        return f"launch {launch.number} ({launch.arm})"

    def _arguments(self, launch: Launch) -> list[str]:
        assert isinstance(launch, ArmLaunch)  # noqa: S101 (`_draw` gives no others)
        settings = [word for option in self._options[launch.arm] for word in ("--set", option)]
        until = self.loaded.experiment.protocol.until
        timed = ["--set", "protocol.until=null", "--set", f"protocol.seconds={LAUNCH_S:g}"] if until else []
        found = self._found._replace(arm=launch.arm, block=launch.block)
        return [*super()._arguments(launch), *timed, *settings, OPTION, found.as_text()]

    def _is_first(self, launch: Launch) -> bool:
        assert isinstance(launch, ArmLaunch)  # noqa: S101 (`_draw` gives no others)
        of_arm = [each["number"] for each in self._book.launches if each["arm"] == launch.arm]
        return bool(launch.number == min(of_arm))

    def _take_over(self, run: dict[str, Any], path: Path) -> None:
        """Take what a launch found: shared facts from native's first one, the scope from the very first."""
        arm = str(run.get("arm", NATIVE))
        if self._found.scope == AUTO and run["config"]["scope"] != AUTO:
            self._find(run)
        same = {key: value for key, value in self.facts.get("steps", {}).items() if key in SIGNATURE}
        if arm == NATIVE:
            known = self._across.natives > 0
            if known and "steps" in run and (difference := signature_difference(same, run["steps"])):
                raise RecordsError(f"it did other work than native's launch before: {difference}")
            for key in SHARED:
                if key in run and not known:
                    self.facts[key] = run[key]
        elif (
            self._across.natives and arm in self._across.settings and "steps" in run
            and (difference := signature_difference(same, run["steps"]))
        ):  # fmt: skip
            self._across.struck.setdefault(arm, f"does other work than native: {difference}")
        for key in SHARED:
            if key in run:
                self.facts.setdefault(key, run[key])
        if "by_turns" in run:
            self.facts["by_turns"] = run["by_turns"]
        if run.get("arms_measured") and arm not in self._measured:
            self._measured.append(arm)
        self.facts["arms_measured"] = list(self._measured)
        self._take_calibration(run)
        self.facts.setdefault("calls", {}).setdefault(arm, run.get("calls", {}).get(NATIVE, {}))
        if run["status"] == "complete":
            self._judge(int(path.name), arm, path, run.get("checked", {}).get("not_repeated", []))
        self.folder.write_run(self.facts)

    def _find(self, run: dict[str, Any]) -> None:
        """Time in every launch what the first one has found."""
        super()._find(run)
        config = run["config"]
        self._found = self._found._replace(scope=config["scope"], probes=tuple(config["probes"]))

    def _judge(self, number: int, arm: str, path: Path, not_repeated: Sequence[str]) -> None:
        """Hold an arm's launches against native's, as far as there are any."""
        before, otherwise = set(self._across.struck), set(self._across.otherwise)
        self._across.take(number, arm, path, not_repeated)
        self._tell_struck(self._across.struck.keys() - before)
        for name in self._across.otherwise.keys() - otherwise:
            self.note(f"{name} computes otherwise than native, as a setting may: {self._across.otherwise[name]}")
        self._note_equality()

    def _tell_struck(self, arms: Iterable[str]) -> None:
        for name in arms:
            self.note(f"{name} is struck: {self._across.struck[name]}")
        self._note_equality()

    def _note_equality(self) -> None:
        self.facts["across"] = facts = self._across.facts()
        self.facts["checked"] = {
            key: facts[key] for key in ("leaves", "not_repeated", "ignored", "cut") if key in facts
        }
        equality = {NATIVE: {"equal": True, "reason": ""}}
        equality |= {name: {"equal": True, "reason": ""} for name in self._across.compared}
        equality |= {name: {"equal": False, "reason": reason} for name, reason in self._across.struck.items()}
        self.facts["equality"] = equality
