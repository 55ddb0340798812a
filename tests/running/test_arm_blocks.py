"""Blocks at launch grain: what is lost, what goes on, how many there are."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import Any

import pytest

from harness.cli.resume import to_go_on
from harness.errors import ConfigError
from harness.records.folder import read_facts
from harness.report import write_reports
from harness.running.blocks import run_process
from tests.running.played import SETTINGS, UNTIL, Process


def test_ctrl_c_ends_it_and_what_was_measured_is_kept(launches) -> None:
    made = launches(n7="interrupted")
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status) == ("interrupted", 130)
    assert "3 blocks, each with a launch of every arm, were measured and kept" in outcome.message
    assert f"harness resume {made.folder.path}" in outcome.message
    summary = write_reports(made.folder.path)
    assert summary.difference("state", "scope").verdict == "slower"
    assert summary.launches == 6


def test_a_run_that_was_interrupted_is_gone_on_with(launches) -> None:
    made = launches(n4="interrupted")
    assert made.execute().status == "interrupted"
    before = read_facts(made.folder.path)
    assert [(block["number"], bool(block.get("lost"))) for block in before["blocks"]] == [(1, False), (2, True)]
    made.folder.close()
    on = launches(resumed=before)
    outcome = on.execute()
    assert (outcome.status, outcome.exit_status, outcome.message) == ("complete", 0, "")
    assert len(Process.started) == 6
    run = read_facts(on.folder.path)
    assert [(block["number"], bool(block.get("lost"))) for block in run["blocks"]] == [
        (1, False), (2, True), (3, False), (4, False), (5, False),
    ]  # fmt: skip
    assert [launch["number"] for launch in run["launches"]] == list(range(1, 11))
    summary = write_reports(on.folder.path)
    assert summary.launches == 8
    assert summary.difference("state", "scope").verdict == "slower"
    assert run["across"]["launches"] == {"state": 4}


def test_a_run_that_was_killed_in_a_block_is_gone_on_with_after_it(launches) -> None:
    made = launches()
    assert made.execute().status == "complete"
    killed = read_facts(made.folder.path)
    killed["blocks"] = killed["blocks"][:2]  # as if it had been killed in its third
    killed["launches"] = killed["launches"][:5]
    for number in (6, 7, 8):
        shutil.rmtree(made.folder.launch(number))
    made.folder.close()
    on = launches(resumed=killed)
    assert on.execute().status == "complete"
    assert len(Process.started) == 4
    run = read_facts(on.folder.path)
    assert run["blocks"][2] == {"number": 3, "lost": "the run ended in the middle of it"}
    assert [launch["number"] for launch in run["launches"]] == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_an_engine_that_is_killed_loses_its_block_and_no_more(launches) -> None:
    made = launches(n3="killed")
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status, outcome.message) == ("complete", 0, "")
    assert len(Process.started) == 1 + 8 + 2 - (2 if made.facts["launches"][2]["block"] == 2 else 0)
    assert any("was ended by signal 9" in told for told in made.told)
    lost = [block["number"] for block in read_facts(made.folder.path)["blocks"] if block.get("lost")]
    assert lost == [2]
    assert write_reports(made.folder.path).launches == 8


def two_at_once(lose: int, began: list[tuple[int, int]]) -> Any:
    """A runner with room for two blocks, each of which is given a launch in turn.

    Args:
        lose: the number of a block that is lost in its middle.
        began: is told of each block, and how many launches had ended when it began.
    """

    def runner(blocks: Any, keeper: Any, place: Any) -> None:
        pending, running, ended, more = iter(blocks), list[Any](), list[int](), True
        with place.made() as started_from:
            while more or running:
                while more and len(running) < 2:
                    try:
                        block = next(pending)
                    except StopIteration:
                        more = False
                        break
                    if block is None:
                        assert running, "nothing would ever end"
                        break
                    began.append((block.number, len(ended)))
                    running.append((block, next(block.processes)))
                if running:
                    block, process = running.pop(0)
                    keeper.ran(process, run_process(*started_from.command(process), Process))
                    ended.append(process.number)
                    following = None if block.number == lose else next(block.processes, None)
                    if following is not None:
                        running.append((block, following))
                    else:
                        keeper.ended(block.number, "a node", "the node was lost" if block.number == lose else "")

    return runner


def test_blocks_beside_each_other_have_launches_of_their_own_and_a_lost_one_is_made_up_for(launches) -> None:
    made, began = launches(), list[tuple[int, int]]()
    made.runner = two_at_once(3, began)
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status, outcome.message) == ("complete", 0, "")
    assert began[:2] == [(1, 0), (2, 1)], "the first launch finds the scope, and runs alone"
    numbers = [launch["number"] for launch in made.facts["launches"]]
    assert len(set(numbers)) == len(numbers)
    facts = read_facts(made.folder.path)
    assert [block["number"] for block in facts["blocks"]] == [1, 2, 3, 4, 5]
    assert [block["number"] for block in facts["blocks"] if block.get("lost")] == [3]
    assert {block["node"] for block in facts["blocks"]} == {"a node"}
    assert "block 3 is lost, and another one is run in its place: the node was lost" in made.told
    assert write_reports(made.folder.path).launches == 8


def test_an_arm_whose_engine_fails_twice_is_struck_and_the_others_go_on(launches) -> None:
    made = launches(config=SETTINGS, big="raises")
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    assert "arm 'big' failed 2 times in succession: launch" in outcome.message
    assert "(big): the engine failed: RuntimeError: no such row" in outcome.message
    assert Counter(launched.arm for launched, _ in Process.started)["big"] == 2
    summary = write_reports(made.folder.path)
    assert summary.difference("slow", "scope").verdict == "slower"
    assert summary.arms["big"].equal is False


def test_native_whose_engine_fails_twice_ends_it_and_says_whose_it_was(launches) -> None:
    outcome = launches(nnative="raises").execute()
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert "(native): the engine failed: RuntimeError: no such row" in outcome.message


def test_a_width_is_measured_until_and_the_pilot_says_what_it_takes(launches) -> None:
    made = launches("protocol.until={half_width_us: 2, max_seconds: 1000}", "protocol.launches=1", config=UNTIL)
    outcome = made.execute()
    assert (outcome.status, outcome.message) == ("complete", "")
    run = read_facts(made.folder.path)
    assert run["looks"][0] == 5
    assert run["stopped"]["narrow_enough"]
    assert run["stopped"]["half_width_us"] <= 2
    assert run["stopped"]["groups"] == len(run["blocks"]) < run["looks"][-1]
    assert any(told.startswith("pilot of 3 blocks: +-2 us a step needs about") for told in made.told)
    assert all(launched.block for launched, _ in Process.started)
    summary = write_reports(made.folder.path)
    found = summary.difference("state", "scope").per_step_us
    assert (found.high - found.low) / 2 == pytest.approx(run["stopped"]["half_width_us"])
    report = (made.folder.path / "report.md").read_text().replace("\\", "")
    assert "until all intervals of the scope were within +-2 us a step" in report


def test_a_width_that_cannot_be_had_in_the_time_is_told(launches) -> None:
    made = launches("protocol.until={half_width_us: 0.001, max_seconds: 0.001}", "protocol.launches=1", config=UNTIL)
    assert made.execute().status == "complete"
    run = read_facts(made.folder.path)
    assert not run["stopped"]["narrow_enough"]
    assert len(run["blocks"]) == 5  # fewer give hardly any interval
    assert any("max_seconds is enough for 5" in told for told in made.told)


def test_what_a_run_cannot_be_gone_on_with_is_said(launches, tmp_path) -> None:
    """By the command's own reading of the folder: nothing is started."""
    made = launches(n4="interrupted")
    made.execute()
    before = read_facts(made.folder.path)
    loaded, given = to_go_on(made.folder.path, before)
    assert (given[0], loaded.experiment.protocol.launches) == (str(tmp_path / "config.yaml"), 4)
    for changed, told in (
        ({"status": "complete"}, "the run is complete"),
        ({"given": []}, "goes on with runs at launch grain, and this is none"),
        ({"given": [str(tmp_path / "gone.yaml")]}, "gone.yaml: is not there: call resume in the folder"),
        ({"versions": {**before["versions"], "torch": "1.0"}}, "was begun with torch 1.0, and here is"),
        ({"config": {**before["config"], "workload": {}}}, "workload has changed since the run began"),
    ):
        with pytest.raises(ConfigError, match=told):
            to_go_on(made.folder.path, {**before, **changed})
