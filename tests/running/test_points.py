"""The points of a sweep: each is a run of its own, and the whole says what became of them."""

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
from harness.running.run import Run
from tests.conftest import LIST_ONLY
from tests.fakes import FakeHost, Silent
from tests.instrument.test_instrument import OffByOne, own

CONFIG = LIST_ONLY.replace("arms: [list]", f"arms: [list, numpy, {{wrong: '{own(OffByOne)}'}}]")
SWEEP = "sweep: {workload.output_tokens: [3, 5]}\n"


class Process:
    """A point, played in this process."""

    started: ClassVar[list[list[str]]] = []
    fails_at: ClassVar[int] = 0

    def __init__(self, arguments: list[str], **how: Any) -> None:
        Process.started.append(arguments)
        self.exit_status = 1
        if len(Process.started) == Process.fails_at:
            return
        overrides = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--set"]
        out = Path(arguments[arguments.index("--out") + 1])
        loaded = load(Path(arguments[4]), overrides)
        assert not loaded.experiment.sweep
        self.exit_status = Run(loaded, FakeHost(), RunFolder(out), Silent()).execute().exit_status

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
        start=Process, points=points_of(loaded), first_arguments=("--flamegraph",),
    )  # fmt: skip


def test_each_point_runs_in_a_folder_of_its_own_with_its_own_values(sweep) -> None:
    outcome = sweep.execute()
    assert outcome.status == "complete"
    for number, (arguments, tokens) in enumerate(zip(Process.started, (3, 5), strict=True), start=1):
        assert arguments[arguments.index("--out") + 1] == str(sweep.folder.path / "points" / f"{number:02d}")
        assert f"workload.output_tokens={tokens}" in arguments
        assert ("--flamegraph" in arguments) is (number == 1)
    run = json.loads((sweep.folder.path / "run.json").read_text())
    assert [point["values"] for point in run["points"]] == [{"workload.output_tokens": value} for value in (3, 5)]
    whole = summarise_sweep(read_sweep(sweep.folder.path))
    assert [point.summary.run["steps"]["count"] for point in whole.points] == [3, 5]
    assert [point.difference("numpy", "scope").arm for point in whole.points] == ["numpy", "numpy"]


def test_an_arm_that_is_unequal_at_a_point_is_struck_there_and_the_others_go_on(sweep) -> None:
    outcome = sweep.execute()
    assert outcome.exit_status == 1
    run = json.loads((sweep.folder.path / "run.json").read_text())
    assert not run["equality"]["wrong"]["equal"]
    assert "at workload.output_tokens=5: differs at step" in run["equality"]["wrong"]["reason"]
    assert run["equality"]["numpy"]["equal"]
    assert len(Process.started) == 2


def test_a_point_that_fails_ends_the_run_and_the_points_before_it_are_kept(sweep, monkeypatch) -> None:
    monkeypatch.setattr(Process, "fails_at", 2)
    outcome = sweep.execute()
    assert outcome.status == "failed"
    assert "workload.output_tokens=5: " in outcome.message
    assert "1 of 2 points were measured and kept before" in outcome.message
    whole = summarise_sweep(read_sweep(sweep.folder.path))
    assert whole.points[0].summary is not None
    assert whole.notes == ["workload.output_tokens=5: was not run"]


def test_a_folder_that_holds_points_is_not_taken_again(sweep) -> None:
    sweep.execute()
    sweep.folder.close()
    with pytest.raises(ConfigError, match="already holds a run"):
        RunFolder(sweep.folder.path)
