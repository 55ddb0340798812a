"""Engines that stand side by side: they take turns, pass by pass, and a block in which one fails is lost whole."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.analysis.by_launch import LaunchGrain, by_arm, took_turns
from harness.config.file import load
from harness.errors import HostError
from harness.records.folder import RunFolder, read_run
from harness.report import write_reports
from harness.running import side_by_side
from harness.running.baton import VARIABLE, Baton
from harness.running.blocks import Block, run_here
from harness.running.measuring import MIN_GROUPS
from harness.running.place import Process
from harness.running.run import INTERRUPTED, Run
from harness.running.side_by_side import SideBySide, may_stand_together
from harness.seams import NATIVE
from tests.conftest import LIST_ONLY
from tests.fakes import FakeHost, Silent
from tests.running.played import SETTINGS
from tests.running.turns import PASSES

if TYPE_CHECKING:
    from pathlib import Path


class Place:
    """Starts what stands in the place of launches."""

    @contextmanager
    def made(self):
        yield self

    def command(self, process: Process) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, *process.arguments], {**os.environ, **process.variables}


class Keeper:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.stood: list[str] = []
        self.ran_: list[tuple[str, int]] = []
        self.ended_: list[tuple[int, bool]] = []

    def stands(self, process: Process) -> None:
        self.stood.append(process.arm)

    def ran(self, process: Process, exit_status: int) -> bool:
        self.ran_.append((process.arm, exit_status))
        return exit_status == 0

    def ended(self, block: int, node: str = "", lost: str = "", together: bool = False) -> None:
        self.ended_.append((block, together))


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "log"


def block_of(log: Path, **arms: tuple[int, str]) -> Block:
    """A launch an arm: the groups that it plans, and how it ends."""

    def processes():
        for number, (arm, (groups, end)) in enumerate(arms.items(), start=1):
            words = ["-m", "tests.running.turns", arm, str(groups), str(log), *([end] if end else [])]
            yield Process(number, arm, words, {}, log.parent / arm)

    return Block(1, processes(), len(arms))


def side_by_side_with(told: list[str] | None = None) -> SideBySide:
    return SideBySide(0, (told if told is not None else []).append)


def test_each_serves_a_pass_in_turn_and_no_two_at_once(log) -> None:
    keeper = Keeper()
    together = side_by_side_with().run(block_of(log, a=(6, ""), b=(9, ""), c=(7, "")), keeper, Place())
    assert together
    assert keeper.stood == ["a", "b", "c"]
    assert sorted(keeper.ran_) == [("a", 0), ("b", 0), ("c", 0)]
    said = [tuple(line.split()) for line in log.read_text().splitlines()]
    assert said[:3] == [("a", "stands"), ("b", "stands"), ("c", "stands")]
    measured = said[3:-3]
    assert len(measured) == 2 * 3 * 6 * PASSES, "as many groups as the one that planned the fewest"
    turns = [begin for begin, end in zip(measured[::2], measured[1::2], strict=True)
             if (begin[0], "begins", "ends") == (end[0], begin[1], end[1])]  # fmt: skip
    assert len(turns) == 3 * 6 * PASSES, "each pass ends before another begins"
    rounds = ["".join(name for name, _ in turns[i : i + 3]) for i in range(0, len(turns), 3)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(set(rounds)) > 2, "whose turn it is is drawn"
    assert {name for name, word in said[-3:] if word == "rests"} == {"a", "b", "c"}


@pytest.mark.parametrize(("end", "status"), [("dies", 3), ("killed", -9), ("raves", -15), ("forks", 3)])
def test_one_that_ends_in_the_middle_ends_the_others_and_is_told_alone(log, end, status) -> None:
    keeper = Keeper()
    side_by_side_with().run(block_of(log, a=(6, ""), b=(6, end), c=(6, "")), keeper, Place())
    assert keeper.ran_ == [("b", status)]
    assert "rests" not in log.read_text()
    children = psutil.Process().children(recursive=True)
    for child in children:  # what `forks` has left is nobody's
        child.kill()
    assert not [child for child in children if child.status() != psutil.STATUS_ZOMBIE and end != "forks"]


def test_one_that_has_nothing_to_measure_keeps_nobody_waiting(log) -> None:
    keeper = Keeper()
    assert side_by_side_with().run(block_of(log, a=(5, ""), b=(5, "nothing"), c=(5, "")), keeper, Place())
    assert sorted(keeper.ran_) == [("a", 0), ("b", 0), ("c", 0)]
    assert Counter(log.read_text().split("\n"))["a begins"] == 5 * PASSES


def test_engines_that_do_not_fit_into_memory_run_one_after_the_other(log, monkeypatch) -> None:
    monkeypatch.setattr(side_by_side, "SPARE", 1e9)
    told: list[str] = []
    keeper, turns = Keeper(), side_by_side_with(told)
    for _ in range(2):
        assert not turns.run(block_of(log, a=(5, ""), b=(5, "")), keeper, Place())
    assert keeper.ran_ == [("a", 0), ("b", 0)] * 2
    lines = log.read_text().splitlines()
    assert lines.index("a rests") < lines.index("b stands")
    (line,) = told
    assert "GiB: 2 do not fit side by side, and run one after another" in line


def test_one_that_stands_alone_and_fails_ends_its_block(log, monkeypatch) -> None:
    monkeypatch.setattr(side_by_side, "SPARE", 1e9)
    keeper = Keeper()
    assert not side_by_side_with().run(block_of(log, a=(5, "dies"), b=(5, "")), keeper, Place())
    assert keeper.ran_ == [("a", 3)]
    assert "b stands" not in log.read_text()


def test_ctrl_c_ends_all_of_them(log) -> None:
    class Interrupted(Keeper):
        def stands(self, process: Process) -> None:
            super().stands(process)
            if process.arm == "b":
                signal.raise_signal(signal.SIGINT)

    keeper = Interrupted()
    side_by_side_with().run(block_of(log, a=(5, ""), b=(5, ""), c=(5, "")), keeper, Place())
    assert keeper.ran_ == [("a", INTERRUPTED)], "the first says that the run was interrupted"
    assert "c stands" not in log.read_text()


def test_ctrl_c_before_there_is_an_engine_is_the_callers(log) -> None:
    def processes():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        side_by_side_with().run(Block(1, processes(), 2), Keeper(), Place())


def test_blocks_say_whether_their_engines_took_turns(log) -> None:
    keeper = Keeper()
    blocks = [block_of(log, a=(5, ""), b=(5, "")), None]
    run_here(blocks, keeper, Place(), turns=side_by_side_with().run)
    assert keeper.ended_ == [(1, True)]


def test_a_launch_whose_run_has_ended_ends_as_well(monkeypatch) -> None:
    (its_reads, writes), (reads, its_writes) = os.pipe(), os.pipe()
    monkeypatch.setenv(VARIABLE, f"{its_reads},{its_writes}")
    baton = Baton.inherited()
    os.write(writes, b"groups 7\ngo\nstop\n")
    assert baton.ready(9) == 7
    assert os.read(reads, 100) == b"ready 9\n"
    with pytest.raises(HostError, match="it was to hear go, and heard 'stop'"):
        baton.hand_on()
    os.close(writes)
    with pytest.raises(HostError, match="the run that this launch is of has ended"):
        baton.rest()
    os.close(reads)
    with pytest.raises(HostError, match="has ended"):
        baton.hand_on()
    assert Baton.inherited() is None


class Counted:
    """A baton that says how many groups are measured, and counts turns."""

    def __init__(self, groups: int) -> None:
        self.groups, self.planned, self.handed_on, self.rested = groups, 0, 0, 0

    def ready(self, groups: int) -> int:
        self.planned = groups
        return self.groups

    def hand_on(self) -> None:
        assert not self.rested
        self.handed_on += 1

    def rest(self) -> None:
        self.rested += 1


def test_a_launch_hands_on_after_each_pass_and_measures_as_many_groups_as_the_others(tmp_path) -> None:
    (tmp_path / "config.yaml").write_text(LIST_ONLY)
    baton = Counted(MIN_GROUPS + 1)
    run = Run(load(tmp_path / "config.yaml"), FakeHost(), RunFolder(tmp_path / "run"), Silent(), baton=baton)
    assert run.execute().status == "complete"
    assert (baton.planned, baton.rested) == (12, 1)
    assert run.facts["passes_done"] == run.facts["passes_planned"] == baton.handed_on + 1
    assert run.facts["plan"]["groups"] == MIN_GROUPS + 1
    assert read_run(tmp_path / "run").run["by_turns"]
    assert len(set(read_run(tmp_path / "run").columns["group"].tolist())) == MIN_GROUPS + 1


def test_engines_stand_side_by_side_on_a_cpu_or_where_that_is_asked_for(tmp_path, monkeypatch) -> None:
    (tmp_path / "config.yaml").write_text(SETTINGS)
    cpu, cuda = (load(tmp_path / "config.yaml", [f"host.device={device}"]).experiment for device in ("cpu", "cuda"))
    assert may_stand_together([cpu, cpu])
    assert not may_stand_together([cpu, cuda])
    for asked in (True, False):
        first = load(tmp_path / "config.yaml", [f"protocol.side_by_side={asked}"]).experiment
        assert may_stand_together([first, cuda]) is asked


def test_blocks_whose_engines_took_turns_are_paired_however_few_they_are(launches) -> None:
    made = launches(config=SETTINGS)
    made.execute()
    records = read_run(made.folder.path)
    assert not took_turns(records.run)
    unpaired = LaunchGrain.of(records.run, by_arm(records, [])).between("slow", "scope")
    run = records.run
    for block in run["blocks"]:
        block["together"] = True
    assert took_turns(run)
    grain = LaunchGrain.of(run, by_arm(records, []))
    arm, native = grain.side("slow", "scope"), grain.side(NATIVE, "scope")
    paired = grain.between("slow", "scope")
    assert paired.estimate == pytest.approx((arm.figures - native.figures).mean())
    assert paired.high - paired.low != pytest.approx(unpaired.high - unpaired.low)
    made.folder.write_run({**made.facts, "blocks": run["blocks"]})
    write_reports(made.folder.path)
    report = (made.folder.path / "report.md").read_text()
    assert "within blocks whose engines took turns pass by pass" in report
    assert "those of a block side by side and a pass each in turn" in report
