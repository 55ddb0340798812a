"""Engines that stand side by side: they take turns, pass by pass, and a block in which one fails is lost whole."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from harness.analysis.by_launch import by_arm, took_turns
from harness.analysis.intervals import Interval
from harness.analysis.launch_grain import LaunchGrain
from harness.config.file import load
from harness.errors import HostError
from harness.instrument import turns
from harness.records.folder import RunFolder, read_run
from harness.report import write_reports
from harness.running import side_by_side as module
from harness.running.baton import VARIABLE, Baton
from harness.running.blocks import Block, run_here, run_process
from harness.running.measuring import MIN_GROUPS
from harness.running.place import Process
from harness.running.run import INTERRUPTED, Run
from harness.running.side_by_side import STEPS, SideBySide, side_by_side
from harness.seams import AA, NATIVE
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
    keeper, told = Keeper(), list[str]()
    together = side_by_side_with(told).run(block_of(log, a=(6, ""), b=(9, ""), c=(7, "")), keeper, Place())
    assert together
    assert told == ["measuring 3 engines by turns (about 18 s)"]
    assert keeper.stood == ["a", "b", "c"]
    assert sorted(keeper.ran_) == [("a", 0), ("b", 0), ("c", 0)]
    said = [tuple(line.split()) for line in log.read_text().splitlines() if " check" not in line]
    assert said[:3] == [("a", "stands"), ("b", "stands"), ("c", "stands")]
    measured = said[3:-3]
    assert len(measured) == 2 * 3 * 6 * PASSES, "as many groups as the one that planned the fewest"
    begun = measured[::2]
    assert [(name, "ends") for name, *_ in begun] == measured[1::2], "each turn ends before another begins"
    rounds = [begun[i : i + 3] for i in range(0, len(begun), 3)]
    assert all(sorted(name for name, *_ in each) == ["a", "b", "c"] for each in rounds)
    steps = [{int(number) for _, _, number in each} for each in rounds]
    assert all(len(each) == 1 for each in steps), "turns of a round are of as many steps"
    least, most = STEPS
    assert len(set.union(*steps)) > 2
    assert all(least <= number <= most for number in set.union(*steps))
    assert len({"".join(name for name, *_ in each) for each in rounds}) > 2, "whose turn it is is drawn"
    assert {name for name, word in said[-3:] if word == "rests"} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("end", "status"), [("dies", 3), ("killed", -9), ("raves", -15), ("mumbles", -15), ("forks", 3)]
)
def test_one_that_ends_in_the_middle_ends_the_others_and_is_told_alone(log, end, status) -> None:
    keeper = Keeper()
    side_by_side_with().run(block_of(log, a=(6, ""), b=(6, end), c=(6, "")), keeper, Place())
    assert keeper.ran_ == [("b", status)]
    assert "rests" not in log.read_text()
    assert not [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def test_one_that_has_nothing_to_measure_keeps_nobody_waiting(log) -> None:
    keeper = Keeper()
    assert side_by_side_with().run(block_of(log, a=(5, ""), b=(5, "nothing"), c=(5, "")), keeper, Place())
    assert sorted(keeper.ran_) == [("a", 0), ("b", 0), ("c", 0)]
    assert Counter(line.rpartition(" ")[0] for line in log.read_text().splitlines())["a begins"] == 5 * PASSES


def test_engines_that_do_not_fit_into_memory_run_one_after_the_other(log, monkeypatch) -> None:
    monkeypatch.setattr(module, "SPARE", 1e9)
    told: list[str] = []
    keeper, turns = Keeper(), side_by_side_with(told)
    for _ in range(2):
        assert not turns.run(block_of(log, a=(5, ""), b=(5, "")), keeper, Place())
    assert keeper.ran_ == [("a", 0), ("b", 0)] * 2
    lines = log.read_text().splitlines()
    assert lines.index("a rests") < lines.index("b stands")
    (line,) = told
    assert "GiB fill the memory: 1 measure before others are started" in line


def test_engines_start_at_once_when_one_has_shown_its_size_and_check_one_after_the_other(log) -> None:
    order: list[str] = []

    class Ordered(Keeper):
        def stands(self, process: Process) -> None:
            super().stands(process)
            order.append("stands")

    def start(*arguments, **how):
        order.append("starts")
        return subprocess.Popen(*arguments, **how)

    turns, keeper = SideBySide(0, print, start), Ordered()
    for first in (["starts", "stands"] + ["starts"] * 2 + ["stands"] * 2, ["starts"] * 3 + ["stands"] * 3):
        order.clear()
        assert turns.run(block_of(log, a=(5, ""), b=(5, ""), c=(5, "")), keeper, Place())
        assert order == first
    checks = [line for line in log.read_text().splitlines() if " check" in line]
    assert checks == [f"{name} {word}" for name in "abc" for word in ("checks", "checked")] * 2, "one after the other"
    assert turns.run(block_of(log, a=(5, ""), b=(5, "raves"), c=(5, "")), keeper, Place()) is False
    assert keeper.ran_[-1] == ("b", -15), "the others are not waited for"
    turns._largest = 2**60
    order.clear()
    assert not turns.run(block_of(log, a=(5, ""), b=(5, "")), keeper, Place())
    assert order == ["starts", "stands"] * 2


def test_one_that_has_nothing_to_measure_is_no_failure_where_memory_is_full(log, monkeypatch) -> None:
    monkeypatch.setattr(module, "SPARE", 1e9)
    keeper = Keeper()
    side_by_side_with().run(block_of(log, a=(5, ""), b=(5, "nothing"), c=(5, "")), keeper, Place())
    assert keeper.ran_ == [("a", 0), ("b", 0), ("c", 0)]
    assert "c rests" in log.read_text()


def test_as_many_as_fit_into_memory_take_turns(log, monkeypatch) -> None:
    monkeypatch.setattr(SideBySide, "_one_more_fits", lambda self, engines: len(engines) < 2)
    monkeypatch.setattr(SideBySide, "_start_at_once", lambda self, engines: False)
    keeper = Keeper()
    assert not side_by_side_with().run(block_of(log, a=(5, ""), b=(5, ""), c=(5, "")), keeper, Place())
    assert keeper.ran_ == [("a", 0), ("b", 0), ("c", 0)]
    lines = log.read_text().splitlines()
    assert lines.index("b rests") < lines.index("c stands")
    begun = [line.split()[0] for line in lines if "begins" in line]
    assert {*begun[:2]} == {*begun[2:4]} == {"a", "b"}


def test_one_that_stands_alone_and_fails_ends_its_block(log, monkeypatch) -> None:
    monkeypatch.setattr(module, "SPARE", 1e9)
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
    assert "b checked" in log.read_text()
    assert "c checks" not in log.read_text()


def test_ctrl_c_ends_the_run_also_where_a_launch_dies_of_it(log) -> None:
    """As one does that is still importing: it says no more than that a signal ended it."""

    class Dying:
        def __init__(self, arguments: list[str], **how: object) -> None:
            self.signals: list[int] = []

        def wait(self) -> int:
            if not self.signals:
                raise KeyboardInterrupt
            return -signal.SIGINT

        def send_signal(self, number: int) -> None:
            self.signals.append(number)

    keeper = Keeper()
    SideBySide(0, print, Dying).run(block_of(log, a=(5, ""), b=(5, "")), keeper, Place())
    assert keeper.ran_ == [("a", INTERRUPTED)]
    assert run_process([], {}, Dying) == INTERRUPTED


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
    os.write(writes, b"go 0\ngroups 7\ngo 5\ngo 6\nstop\n")
    baton.stands()
    assert baton.ready(9, 3.14159) == (7, 5)
    assert baton.hand_on() == 6
    assert os.read(reads, 100) == b"stands\nready 9 3.14\ndone\n"
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

    def __init__(self, groups: int, steps: int) -> None:
        self.groups, self.steps, self.stood, self.planned, self.handed_on, self.rested = groups, steps, 0, 0, 0, 0

    def stands(self) -> None:
        assert not self.planned
        self.stood += 1

    def ready(self, groups: int, seconds: float) -> tuple[int, int]:
        assert seconds > 0
        assert self.stood == 1
        self.planned = groups
        return self.groups, self.steps

    def hand_on(self) -> int:
        assert not self.rested
        self.handed_on += 1
        return self.steps

    def rest(self) -> None:
        self.rested += 1


@pytest.mark.parametrize(("by_step", "steps"), [(True, 3), (False, 3), (False, 0)])
def test_a_launch_hands_on_after_some_steps_or_a_pass_and_measures_as_many_groups_as_the_others(
    tmp_path, monkeypatch, by_step, steps
) -> None:
    """An engine in another process does not know that it is to wait before steps."""
    if not by_step and steps:
        monkeypatch.setattr(turns, "taken", lambda wait: nullcontext())
    (tmp_path / "config.yaml").write_text(LIST_ONLY)
    baton = Counted(MIN_GROUPS + 1, steps)
    run = Run(load(tmp_path / "config.yaml"), FakeHost(), RunFolder(tmp_path / "run"), Silent(), baton=baton)
    assert run.execute().status == "complete"
    assert (baton.planned, baton.rested) == (12, 1)
    passes = run.facts["passes_done"]
    assert passes == run.facts["passes_planned"]
    assert baton.handed_on + 1 == (math.ceil(passes * run.facts["steps"]["count"] / 3) if by_step else passes)
    assert run.facts["plan"]["groups"] == MIN_GROUPS + 1
    records = read_run(tmp_path / "run")
    assert records.run["by_turns"] == ("steps" if by_step else "pass")
    assert len(set(records.columns["group"].tolist())) == MIN_GROUPS + 1


def test_engines_stand_side_by_side_on_a_cpu_or_where_that_is_asked_for(tmp_path) -> None:
    (tmp_path / "config.yaml").write_text(SETTINGS)

    def of(*overrides: str):
        return load(tmp_path / "config.yaml", overrides).experiment

    cpu, cuda = of("host.device=cpu"), of("host.device=cuda")
    assert side_by_side([cpu, cpu], print).by_step
    assert side_by_side([cpu, cpu], print).at_once
    assert side_by_side([cpu, cuda], print) is None
    assert not side_by_side([of("protocol.side_by_side=true"), cuda], print).at_once, "a GPU's memory is tried out"
    told = "engine.kv_cache_memory_bytes=1000000"
    assert side_by_side([of("protocol.side_by_side=true", "host.device=cuda", told)], print).at_once
    assert side_by_side([of("protocol.side_by_side=false"), cpu], print) is None
    apart = of("host.device=cpu", "host.process=subprocess")
    assert not side_by_side([cpu, apart], print).by_step, "the time from step to step is compared then"


def test_turns_of_a_pass_have_no_number_of_steps(log) -> None:
    keeper = Keeper()
    SideBySide(0, print, by_step=False).run(block_of(log, a=(5, ""), b=(5, "")), keeper, Place())
    assert keeper.ran_ == [("a", 0), ("b", 0)]
    assert {line.split()[2] for line in log.read_text().splitlines() if "begins" in line} == {"0"}


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
    figures = native.figures - np.mean([arm.figures, grain.side("big", "scope").figures], axis=0)
    floor = grain.between(AA, "scope")
    assert floor.estimate == pytest.approx(figures[1::2].mean() - figures[0::2].mean())
    made.folder.write_run({**made.facts, "blocks": run["blocks"]})
    write_reports(made.folder.path)
    report = (made.folder.path / "report.md").read_text()
    assert "within blocks whose engines took turns of a pass" in report
    assert "those of a block side by side, by turns of a pass" in report


def test_two_launches_of_an_arm_give_no_verdict_whatever_their_interval(launches) -> None:
    made = launches(config=SETTINGS)
    made.execute()
    records = read_run(made.folder.path)
    grain = LaunchGrain.of(records.run, by_arm(records, []))
    clear = Interval(5.0, 4.9, 5.1)
    assert grain._verdict("slow", clear, 0.1) == "slower"
    for few in ("slow", NATIVE):
        cut = grain._replace(values={**grain.values, few: grain.values[few][:2]})
        assert cut._verdict("slow", clear, 0.1) == "not resolved"
        assert cut._verdict(AA, clear, 0.1) == "slower", "A/A has half of native's launches on each side"
    found = {each.metric: each for each in grain.comparisons() if each.arm == "slow"}
    assert all((found[metric].means_us is None) is (metric not in ("scope", "step")) for metric in found)
    assert len(found) > 2
