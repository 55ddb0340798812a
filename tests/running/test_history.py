"""A history's launches: what each is started from, and what becomes of those that fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config.history import default_config, of_history
from harness.environments.published import between
from harness.errors import ConfigError
from harness.records.folder import RunFolder
from harness.records.history import read_history
from harness.running import history as running
from harness.running.blocks import Block
from harness.running.history import Releases
from harness.running.place import Process

THERE = ["0.26.0", "0.27.0", "0.27.1", "0.28.0", "0.29.0", "0.29.1", "0.30.0"]


def test_of_each_minor_release_the_newest_is_taken_and_both_ends() -> None:
    assert between("0.27.0", "0.30.0", False, lambda: THERE) == ["0.27.0", "0.27.1", "0.28.0", "0.29.1", "0.30.0"]
    assert between("0.27.1", "0.29.0", False, lambda: THERE) == ["0.27.1", "0.28.0", "0.29.0"]
    assert between("0.27.1", "0.30.0", True, lambda: THERE) == THERE[2:]


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (("0.30.0", "0.27.1"), "the second must be a later release"),
        (("0.27.2", "0.30.0"), "--from 0.27.2: the package registry has no such release"),
        (("0.27.1", "0.31.0"), "--to 0.31.0: the package registry has no such release"),
        (("latest", "0.31.0"), "is another package: an environment is made for a release of vLLM"),
    ],
)
def test_releases_that_are_none_are_refused(ends: tuple[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        between(*ends, False, lambda: THERE)


def test_the_config_of_a_history_is_a_profile_of_one_launch() -> None:
    loaded = of_history(default_config(), ["protocol.seconds=1"])
    assert loaded.experiment.profile is not None
    assert loaded.experiment.protocol.seconds == 1
    with pytest.raises(ConfigError, match=r"protocol\.launches: --blocks says how many"):
        of_history(default_config(), ["protocol.launches=3"])


TAKEN = running.Releases._taken
"""As it is where no test replaces it."""


class Played:
    """Runs blocks without processes: each launch ends as it is told to."""

    def __init__(self, ends: dict[str, int]) -> None:
        self.ends = ends
        self.started: list[Any] = []

    def __call__(self, blocks: Any, keeper: Releases, place: Any) -> None:
        for block in blocks:
            assert isinstance(block, Block)
            for process in block.processes:
                self.started.append(process)
                if not keeper.ran(process, self.ends.get(process.arm, self.ends.get(str(process.number), 0))):
                    break
            keeper.ended(block.number)


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def taken(self: Releases, process: Any, block: int, exit_status: int) -> str:
        return f"launch {process.number} ({process.arm}) failed" if exit_status else ""

    monkeypatch.setattr(running.Releases, "_taken", taken)

    def go(**ends: int) -> tuple[Releases, Played]:
        played = Played({name.removeprefix("n").replace("_", "."): end for name, end in ends.items()})
        environments: Any = {
            name: SimpleNamespace(torch="2.13.0", hash="0123456789ab") for name in ("0.30.0", "0.31.0", "0.32.0")
        }
        told: list[str] = []
        made = Releases(
            of_history(default_config(), []), RunFolder(tmp_path / "history", passes=False), ["history.yaml"],
            ["python"], environments, 3, told.append, lambda *_: None, played,
        )  # fmt: skip
        made.told = told  # type: ignore[attr-defined]
        return made, played

    return go


def test_each_block_has_every_release_once(history: Any) -> None:
    made, played = history()
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 0)
    releases = [process.arm for process in played.started]
    assert [sorted(releases[i : i + 3]) for i in (0, 3, 6)] == [["0.30.0", "0.31.0", "0.32.0"]] * 3
    assert len({tuple(releases[i : i + 3]) for i in (0, 3, 6)}) > 1
    first = played.started[0]
    assert first.arguments[:4] == ["-m", "harness", "profile", "history.yaml"]
    assert "--no-report" in first.arguments
    assert len({process.variables["PYTHONHASHSEED"] for process in played.started}) == 9
    facts = read_history(made.folder.path).facts
    assert [block["number"] for block in facts["blocks"]] == [1, 2, 3]
    assert facts["status"] == "complete"


def test_on_a_cpu_engines_of_a_block_stand_side_by_side(history: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, played = history()
    made.runner = None
    turns: list[Any] = []

    def run_here(blocks: Any, keeper: Any, place: Any, **how: Any) -> None:
        turns.append(how["turns"])
        played(blocks, keeper, place)

    monkeypatch.setattr(running, "run_here", run_here)
    assert made.execute().status == "complete"
    assert turns[0].__self__.by_step


def test_a_launch_that_is_lost_costs_its_block_and_no_more(history: Any) -> None:
    made, played = history(n4=-9)
    assert made.execute().status == "complete"
    blocks = read_history(made.folder.path).facts["blocks"]
    assert [bool(block.get("lost")) for block in blocks] == [False, True, False, False]
    assert len(played.started) == 3 + 1 + 6
    assert any("block 2 is lost, and another one is run in its place" in told for told in made.told)


def test_a_release_that_fails_twice_is_left_out_and_the_others_go_on(history: Any) -> None:
    made, played = history(n0_31_0=1)
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    assert "0.31.0 is left out: launch" in outcome.message
    facts = read_history(made.folder.path).facts
    assert [bool(each.get("left_out")) for each in facts["releases"]] == [False, True, False]
    assert sum(not block.get("lost") for block in facts["blocks"]) == 3
    assert sum(process.arm == "0.31.0" for process in played.started) == 2


def test_ctrl_c_ends_a_history(history: Any) -> None:
    made, played = history(n5=130)
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status) == ("interrupted", 130)
    assert len(played.started) == 5
    assert read_history(made.folder.path).facts["status"] == "interrupted"


def test_what_a_launch_measured_is_taken_and_why_another_gave_nothing(
    history: Any, tmp_path: Path, monkeypatch
) -> None:
    made, _ = history()
    made.execute()
    monkeypatch.setattr(running.Releases, "_taken", TAKEN)
    folder = tmp_path / "launch"
    shutil.copytree(Path("reports/reference/profile-decode-64-cpu"), folder)

    def take(exit_status: int = 0, **changed: Any) -> str:
        run = json.loads((folder / "run.json").read_text()) | changed
        (folder / "run.json").write_text(json.dumps(run))
        return made._taken(Process(7, "0.31.0", [], {}, folder), 2, exit_status)

    assert take(-9) == "launch 7 (0.31.0) was ended by signal 9"
    assert take(1, status="failed", message="the engine failed") == "launch 7 (0.31.0): the engine failed"
    assert take(1, message="") == "launch 7 (0.31.0): failed"
    assert made.figures == []
    assert take(status="complete") == ""
    assert "by_turns" not in made.facts
    assert take(by_turns="steps") == ""
    assert made.facts["by_turns"] == "steps"
    assert made.facts["runner_alone"] == []
    assert {(figure.release, figure.block, figure.launch) for figure in made.figures} == {("0.31.0", 2, 7)}
    assert len(made.figures) % 2 == 0, "twice the same"
    scheduling = made.facts["functions"]["0.31.0"]["schedule"]
    assert [name for name in scheduling if name.endswith("Scheduler.schedule")]
    assert take(switch={**json.loads((folder / "run.json").read_text())["switch"], "turn": ""}) == ""
    assert take() == ""
    assert made.facts["runner_alone"] == ["0.31.0"], "once"
    shutil.rmtree(folder)
    assert made._taken(Process(8, "0.31.0", [], {}, folder), 2, 0).startswith("launch 8 (0.31.0): ")


def test_a_block_whose_node_is_lost_is_lost_for_that(history: Any) -> None:
    made, _ = history()
    made.execute()
    made.ended(4, "node 2", "node 2 is gone")
    made.ended(5, together=True)
    assert made.facts["blocks"][3:] == [
        {"number": 4, "node": "node 2", "lost": "node 2 is gone"}, {"number": 5, "together": True},
    ]  # fmt: skip
    assert made.told[-1] == "block 4 is lost, and another one is run in its place: node 2 is gone"
