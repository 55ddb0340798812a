"""The points of a sweep: each is a run in a folder of its own, and the whole says what became of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.analysis.sweep import summarise_sweep
from harness.config.file import load
from harness.config.sweep import points_of
from harness.errors import ConfigError
from harness.records.folder import RunFolder
from harness.records.sweep import read_sweep
from harness.running.points import Points
from harness.running.run import INTERRUPTED, Run
from harness.running.shared import SharedEngine, by_engine
from tests.conftest import LIST_ONLY
from tests.fakes import FakeHost, Silent
from tests.instrument.test_instrument import OffByOne, own

CONFIG = LIST_ONLY.replace("arms: [list]", f"arms: [list, numpy, {{wrong: '{own(OffByOne)}'}}]")
SWEEP = "sweep: {workload.output_tokens: [3, 5]}\n"


class Process:
    """The process of one engine, played in this one."""

    started: ClassVar[list[list[str]]] = []
    fails_at: ClassVar[int] = 0
    exits_with: ClassVar[int] = 1

    def __init__(self, arguments: list[str], **how: Any) -> None:
        Process.started.append(arguments)
        overrides = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--set"]
        out = Path(arguments[arguments.index("--out") + 1])
        points = {point.number: point for point in points_of(load(Path(arguments[4]), overrides))}
        self.exit_status = 0
        for number in map(int, arguments[arguments.index("--points") + 1].split(",")):
            if number == Process.fails_at:
                self.exit_status = Process.exits_with
                return
            folder = RunFolder(RunFolder.existing(out).point(number))
            status = Run(points[number].loaded, FakeHost(), folder, Silent()).execute().exit_status
            self.exit_status = self.exit_status or status

    def wait(self) -> int:
        return self.exit_status


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(Process, "started", [])
    monkeypatch.setattr(Process, "fails_at", 0)
    path = tmp_path / "config.yaml"
    path.write_text(f"{CONFIG}\n{SWEEP}")
    loaded = load(path, ["protocol.groups=3"])
    announced: list[int] = []
    command = [str(path), "--set", "protocol.groups=3"]
    return Points(
        loaded, RunFolder(tmp_path / "run"), command, ["harness", "run"], lambda number, *_: announced.append(number),
        start=Process, engines=by_engine(points_of(loaded)), first_arguments=("--flamegraph",),
    )  # fmt: skip


def test_points_that_differ_in_the_workload_alone_share_an_engine(sweep) -> None:
    outcome = sweep.execute()
    assert outcome.status == "complete"
    (arguments,) = Process.started
    assert arguments[arguments.index("--out") + 1] == str(sweep.folder.path)
    assert arguments[arguments.index("--points") + 1] == "1,2"
    assert "--flamegraph" in arguments
    run = json.loads((sweep.folder.path / "run.json").read_text())
    assert [point["values"] for point in run["points"]] == [{"workload.output_tokens": value} for value in (3, 5)]
    assert [point["engine"] for point in run["points"]] == [1, 1]
    whole = summarise_sweep(read_sweep(sweep.folder.path))
    assert [point.summary.run["steps"]["count"] for point in whole.points] == [3, 5]
    assert [point.difference("numpy", "scope").arm for point in whole.points] == ["numpy", "numpy"]


def test_an_engine_serves_all_points_that_it_can_and_no_other(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{CONFIG}\nsweep: {{workload.output_tokens: [3, 5], engine.block_size: [16, 32]}}\n")
    points = points_of(load(path))
    together = [[point.number for point in engine] for engine in by_engine(points)]
    assert together == [[1, 3], [2, 4]]
    assert {point.values["engine.block_size"] for point in points if point.number in together[0]} == {16}
    assert [[point.number for point in engine] for engine in by_engine(points, alone=[1])] == [[1], [2, 4], [3]]


def test_a_workload_that_needs_more_of_the_engine_has_its_own(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{CONFIG}\nsweep: {{workload.sampling.detokenize: [false, true]}}\n")
    assert len(by_engine(points_of(load(path)))) == 2


def test_engines_of_their_own_run_in_processes_of_their_own(tmp_path, sweep) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(f"{CONFIG}\nsweep: {{engine.block_size: [16, 32]}}\n")
    loaded = load(path, ["protocol.groups=3"])
    sweep.loaded, sweep.arguments = loaded, [str(path), "--set", "protocol.groups=3"]
    sweep.engines = by_engine(points_of(loaded))
    sweep.__post_init__()
    sweep.execute()
    assert [words[words.index("--points") + 1] for words in Process.started] == ["1", "2"]
    assert ["--flamegraph" in words for words in Process.started] == [True, False]
    run = json.loads((sweep.folder.path / "run.json").read_text())
    assert [point["engine"] for point in run["points"]] == [1, 2]


def test_a_run_in_a_shared_engine_neither_starts_nor_stops_what_serves_already(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(LIST_ONLY)
    happened: list[str] = []

    class Counted(FakeHost):
        def start(self):
            happened.append("start")
            return super().start()

        def stop(self):
            happened.append("stop")
            super().stop()

    shared = SharedEngine(Counted())
    for name in ("one", "two"):
        loaded = load(path, ["protocol.groups=3"])
        run = Run(loaded, shared.host, RunFolder(tmp_path / name), Silent(), shared=shared)
        assert run.execute().status == "complete"
        assert ("start_s" in run.facts) is (name == "one")
        assert run.facts["host"]["engine"]
    assert happened == ["start"]
    shared.stop()
    assert happened == ["start", "stop"]
    assert shared.info is None


def test_an_arm_that_is_unequal_at_a_point_is_struck_there_and_the_others_go_on(sweep) -> None:
    outcome = sweep.execute()
    assert outcome.exit_status == 1
    run = json.loads((sweep.folder.path / "run.json").read_text())
    assert not run["equality"]["wrong"]["equal"]
    assert "at workload.output_tokens=5: differs at step" in run["equality"]["wrong"]["reason"]
    assert run["equality"]["numpy"]["equal"]
    points = [json.loads(file.read_text()) for file in sorted(sweep.folder.path.glob("points/*/run.json"))]
    assert [point["status"] for point in points] == ["complete", "complete"]


def test_a_point_that_fails_ends_the_run_and_the_points_before_it_are_kept(sweep, monkeypatch) -> None:
    monkeypatch.setattr(Process, "fails_at", 2)
    outcome = sweep.execute()
    assert outcome.status == "failed"
    assert "workload.output_tokens=5: " in outcome.message
    assert "1 of 2 points were measured and kept before" in outcome.message
    whole = summarise_sweep(read_sweep(sweep.folder.path))
    assert whole.points[0].summary is not None
    assert whole.notes == ["workload.output_tokens=5: was not run"]


def test_ctrl_c_between_two_points_interrupts_the_run(sweep, monkeypatch) -> None:
    monkeypatch.setattr(Process, "fails_at", 2)
    monkeypatch.setattr(Process, "exits_with", INTERRUPTED)
    outcome = sweep.execute()
    assert (outcome.status, outcome.exit_status) == ("interrupted", INTERRUPTED)
    assert "1 of 2 points were measured and kept before" in outcome.message


def test_a_folder_that_holds_points_is_not_taken_again(sweep) -> None:
    sweep.execute()
    sweep.folder.close()
    with pytest.raises(ConfigError, match="already holds a run"):
        RunFolder(sweep.folder.path)
