"""Launch grain: which engine has which arm in it, what is compared between processes, and what comes of it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from harness.analysis.compare import compare_runs
from harness.analysis.summarise import summarise
from harness.cli.by_launch import ByLaunch, may_go_on
from harness.cli.resume import to_go_on
from harness.config.file import load
from harness.config.launched import Launched, load_launched
from harness.config.settings import at_arm
from harness.errors import ConfigError
from harness.records.folder import RunFolder, read_facts, read_run
from harness.report import write_reports
from harness.report.arms_table import build_arms_table
from harness.running.arm_launches import FEWEST, ArmLaunches
from harness.running.blocks import run_process
from harness.running.changed import prepare
from harness.running.drawn import draw_block
from harness.running.grains import choose_grain
from harness.running.run import Run
from harness.seams import AA, NATIVE
from tests.fakes import BlockTable, FakeHost, Runner, Silent, VirtualClock

CONFIG = """\
engine: {model: none}
workload: {requests: 3, prompt_tokens: 6, output_tokens: 5}
arms: [{state: {patch: state.patch}}]
protocol: {groups: 3, counters: false, launches: 4}
"""
UNTIL = CONFIG.replace("groups: 3, counters: false, launches: 4", "counters: false")
TABLE = """\
class Table:
    def __init__(self):
        self.rows = {}

    def append(self, row):
        self.rows[row] = 1
"""
OUTPUT = """\
from dataclasses import dataclass


@dataclass
class Output:
    tokens: list
"""
STATE = """\
--- a/vllm/table.py
+++ b/vllm/table.py
@@ -1,6 +1,7 @@
 class Table:
     def __init__(self):
         self.rows = {}
+        self.count = 0

     def append(self, row):
-        self.rows[row] = 1
+        self.rows[row] = self.count = 1
"""
FIELD = """\
--- a/vllm/output.py
+++ b/vllm/output.py
@@ -4,3 +4,4 @@
 @dataclass
 class Output:
     tokens: list
+    count: int = 0
"""


@pytest.fixture
def root(tmp_path):
    """What is installed."""
    package = tmp_path / "site-packages/vllm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "table.py").write_text(TABLE)
    (package / "output.py").write_text(OUTPUT)
    return package.parent


class WrongTable(BlockTable):
    """Gives one token too high a slot."""

    def compute_slot_mapping(self, num_reqs: int, query_start_loc: Any, positions: Any) -> None:
        super().compute_slot_mapping(num_reqs, query_start_loc, positions)
        self.slot_mapping.np[0] += 1


class Process:
    """A launch played in this process: an engine whose time depends on the arm, and on luck that a launch has whole."""

    started: ClassVar[list[tuple[Launched, dict[str, Any]]]]
    ends: ClassVar[dict[str, str]]

    def __init__(self, arguments: list[str], **how: Any) -> None:
        config, out = Path(arguments[4]), Path(arguments[arguments.index("--out") + 1])
        launched = Launched.from_text(arguments[arguments.index("--launched") + 1])
        overlay = Path(how["env"]["PYTHONPATH"].split(":")[0])
        self.text = (overlay / "vllm/table.py").read_text()
        Process.started.append((launched, {**how, "overlay": overlay, "text": self.text, "python": arguments[0]}))
        overrides = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--set"]
        self.signals: list[int] = []
        self.end = Process.ends.get(launched.arm) or Process.ends.get(str(len(Process.started)), "")
        if self.end == "killed":
            self.exit_status = -9
            return
        luck = np.random.default_rng(len(Process.started)).normal(0, 200)
        loaded = load_launched(config, overrides, launched)
        slower = "count" in self.text or "SLOW" in loaded.experiment.host.env
        clock, mean = VirtualClock(reading_ns=10), 100_000 + luck + 5_000 * slower
        rng = np.random.default_rng(len(Process.started) + 100)
        runner = Runner(
            table=WrongTable() if self.end == "wrong" else None,
            work=lambda: clock.advance(int(rng.normal(mean, 500))),
        )

        def before_pass(index: int, host: FakeHost) -> None:
            if self.end == "interrupted" and index == 9:
                raise KeyboardInterrupt
            if self.end == "raises" and index == 0:
                raise RuntimeError("no such row")

        host = FakeHost(clock, runner, before_pass)
        run = Run(loaded, host, RunFolder(out), Silent())
        run.launched = launched
        self.exit_status = run.execute().exit_status

    def wait(self) -> int:
        if self.end == "interrupted" and not self.signals:
            raise KeyboardInterrupt
        return self.exit_status

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


@pytest.fixture
def launches(tmp_path, root, monkeypatch):
    def make(
        *overrides: str, patch: str = STATE, config: str = CONFIG, resumed: Any = None, **ends: str
    ) -> ArmLaunches:
        monkeypatch.setattr("harness.running.arm_launches.LAUNCH_S", 0.01)
        monkeypatch.setattr(Process, "started", [], raising=False)
        monkeypatch.setattr(Process, "ends", {name.removeprefix("n"): end for name, end in ends.items()}, raising=False)
        (tmp_path / "config.yaml").write_text(config)
        (tmp_path / "state.patch").write_text(patch)
        loaded = load(tmp_path / "config.yaml", overrides)
        given = [str(tmp_path / "config.yaml"), *(word for each in overrides for word in ("--set", each))]
        told: list[str] = []
        folder = RunFolder(tmp_path / "run") if resumed is None else RunFolder.resumed(tmp_path / "run")
        made = ArmLaunches(
            loaded, folder, given, ["harness", "run"], lambda *_: None, start=Process,
            prepared=prepare(loaded, tmp_path / "run/changes", root), why=["state: vllm.table: why"], note=told.append,
            root=root, before=resumed or {},
        )  # fmt: skip
        made.told = told  # type: ignore[attr-defined]
        return made

    return make


def test_the_order_of_arms_is_drawn_in_blocks_that_have_each_arm_once() -> None:
    arms = [NATIVE, "a", "b"]
    drawn = [draw_block(arms, block, 3 * block - 2, seed=1) for block in range(1, 41)]
    assert [launch.number for block in drawn for launch in block] == list(range(1, 121))
    assert [launch.block for block in drawn for launch in block] == [i // 3 + 1 for i in range(120)]
    blocks = [tuple(launch.arm for launch in block) for block in drawn]
    assert all(sorted(block) == sorted(arms) for block in blocks)
    assert len(set(blocks)) == 6  # every order comes
    assert draw_block(arms, 7, 19, seed=1) == drawn[6]  # whatever was drawn before
    assert draw_block(arms, 7, 19, seed=2) != drawn[6]
    assert len({launch.hash_seed for block in drawn for launch in block}) == 120
    assert {launch.schedule_seed for block in drawn for launch in block} == set(range(1, 121))


def test_each_engine_has_its_own_arm_in_it_and_all_are_compared(launches) -> None:
    made = launches()
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status, outcome.message) == ("complete", 0, "")
    assert Counter(launched.arm for launched, _ in Process.started) == {NATIVE: 4, "state": 4}
    assert all(("count" in how["text"]) == (launched.arm == "state") for launched, how in Process.started)
    assert {launched.watched for launched, _ in Process.started} == {
        ("vllm.table.Table.__init__", "vllm.table.Table.append")
    }
    assert [launched.scope for launched, _ in Process.started] == ["auto", *["execute_model"] * 7]
    assert not (made.folder.path / "overlays").exists()
    assert (made.folder.path / "changes/state/vllm/table.py").exists()

    records = read_run(made.folder.path)
    assert (len(records.launches), records.unreadable) == (8, {})
    assert [launch.run.get("scope_found", False) for launch in records.launches] == [True, *[False] * 7]
    assert [launch.run["arm"] for launch in records.launches] == [each["arm"] for each in records.run["launches"]]
    assert records.run["config"]["protocol"]["grain"] == "launch"
    assert records.run["equality"]["state"] == {"equal": True, "reason": ""}
    assert records.run["across"]["leaves"] > 20
    assert records.run["across"]["launches"] == {"state": 4}

    summary = write_reports(made.folder.path)
    assert summary.launches == 8
    found = summary.difference("state", "scope")
    assert found.verdict == "slower"
    assert found.per_step_us.low < 5 < found.per_step_us.high
    assert found.per_step_us.estimate == pytest.approx(5, abs=0.5)
    step = summary.difference("state", "step")
    assert step.per_step_us.estimate == pytest.approx(5, abs=0.5)
    floor = summary.difference(AA, "scope").per_step_us
    assert floor.low < 0 < floor.high
    assert floor.high - floor.low > found.per_step_us.high - found.per_step_us.low  # of half as many launches
    report = (made.folder.path / "report.md").read_text()
    assert "launch grain: this cannot be switched in a living engine: state: vllm.table: why" in report
    assert "`state` was not" in report.replace("\\", "")


def test_a_step_is_a_turn_where_every_launch_that_measured_something_timed_turns(launches) -> None:
    made = launches()
    made.execute()
    records = read_run(made.folder.path)
    assert not summarise(records).turns
    timed = [
        replace(launch, columns={**launch.columns, "turn_ns": launch.columns["execute_ns"] + 10_000})
        for launch in records.launches
    ]
    assert summarise(replace(records, launches=timed)).turns
    assert not summarise(replace(records, launches=[*timed[:-1], records.launches[-1]])).turns


SETTINGS = CONFIG.replace("[{state: {patch: state.patch}}]", "[{slow: {env: {SLOW: 1}}}, {big: {engine: {size: 2}}}]")


def test_settings_are_started_as_they_say_and_held_against_native(launches) -> None:
    made = launches(config=SETTINGS)
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status, outcome.message) == ("complete", 0, "")
    assert Counter(launched.arm for launched, _ in Process.started) == {NATIVE: 4, "slow": 4, "big": 4}
    records = read_run(made.folder.path)
    started = {launch.run["arm"]: launch.run["config"] for launch in records.launches}
    assert {arm: config["engine"].get("size") for arm, config in started.items()} == {
        NATIVE: None, "slow": None, "big": 2,
    }  # fmt: skip
    assert {arm: config["host"]["env"] for arm, config in started.items()} == {
        NATIVE: {}, "slow": {"SLOW": "1"}, "big": {},
    }  # fmt: skip
    summary = write_reports(made.folder.path)
    found = summary.difference("slow", "scope")
    assert (found.verdict, found.per_step_us.estimate) == ("slower", pytest.approx(5, abs=0.5))
    assert summary.difference("big", "scope").verdict in ("not resolved", "equivalent")
    assert summary.arms["slow"].equal


def test_a_setting_that_never_comes_into_the_scope_has_no_difference_there(launches) -> None:
    made = launches(config=SETTINGS)
    made.execute()
    records = read_run(made.folder.path)
    for launch in records.launches:
        if launch.run["arm"] == "big":
            for name in [name for name in launch.columns if name.startswith("scope.")]:
                launch.columns[name] = np.zeros(len(launch.columns[name]), dtype=np.int64)
    summary = summarise(records)
    assert summary.difference("big", "scope") is None
    assert summary.difference("big", "step") is not None
    assert summary.difference("slow", "scope").verdict == "slower"
    assert {found.arm for found in summary.shapes} == {"slow", AA}
    assert "the scope is not compared for big: either native or these never came into execute_model" in summary.notes[0]


def test_where_only_some_engines_time_their_turns_the_loops_are_compared(launches) -> None:
    made = launches(config=SETTINGS)
    made.execute()
    records = read_run(made.folder.path)
    alike = summarise(records)
    assert (alike.turns, alike.loop, alike.step_word) == (False, False, "step")
    for launch in records.launches:
        if launch.run["arm"] == NATIVE:
            launch.columns["turn_ns"] = launch.columns["execute_ns"] + 1_000_000
    summary = summarise(records)
    assert (summary.turns, summary.loop, summary.step_word, summary.timed_in) == (False, True, "turn", "engine's loop")
    assert summary.as_json()["step"] == "turn of the engine's loop"
    assert summary.arms[NATIVE].bare_step_ns < 1_000_000 * summary.arms[NATIVE].steps, "its own turns are not taken"
    assert summary.difference("slow", "step").verdict == "slower"
    assert any(note.startswith("the engine cores of some arms are in other processes") for note in summary.notes)


def test_a_setting_that_computes_otherwise_is_measured_and_the_report_says_so(launches) -> None:
    made = launches(config=SETTINGS, big="wrong")
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 0)
    assert any(told.startswith("big computes otherwise than native, as a setting may") for told in made.told)
    summary = write_reports(made.folder.path)
    assert summary.arms["big"].measured
    assert summary.arms["big"].equal is None
    table = build_arms_table(summary)
    assert table.columns[0].cells[table.rows.index("big")] == "otherwise"
    assert table.columns[0].cells[table.rows.index("slow")] == "yes"
    assert any(note.startswith("big computes otherwise than native") for note in summary.notes)


def test_a_setting_that_does_other_work_is_struck(launches, monkeypatch) -> None:
    monkeypatch.setattr("harness.running.arm_launches.signature_difference", lambda one, other: "6 steps, not 5")
    made = launches(config=SETTINGS.replace("{slow: {env: {SLOW: 1}}}, ", ""))
    outcome = made.execute()
    assert outcome.exit_status in (1, 130)
    assert "other work than native" in outcome.message


def test_settings_go_to_launch_grain_by_themselves_and_mix_with_nothing_that_is_switched(tmp_path) -> None:
    (tmp_path / "config.yaml").write_text(SETTINGS)
    choice = choose_grain(load(tmp_path / "config.yaml"), {})
    assert choice.launch
    assert choice.why == (
        "slow: SLOW=1 is set when an engine starts", "big: engine.size=2 is set when an engine starts",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="step was asked for"):
        choose_grain(load(tmp_path / "config.yaml", ["protocol.grain=step"]), {})
    for arms, told in (
        ("{native: {engine: {size: 2}}}", "give the setting another name"),
        ("{both: {engine: {size: 2}, reference: 'm:f'}}", "switched in a living one"),
        ("{slow: {env: {SLOW: 1}}, only: [a.b]}", "only"),
    ):
        (tmp_path / "config.yaml").write_text(CONFIG.replace("{state: {patch: state.patch}}", arms))
        with pytest.raises(ConfigError, match=told):
            load(tmp_path / "config.yaml")


def test_what_is_wrong_with_a_setting_is_told_before_anything_is_started(tmp_path) -> None:
    (tmp_path / "config.yaml").write_text(SETTINGS)
    loaded = load(tmp_path / "config.yaml")
    slow, big = loaded.experiment.arms[1:]
    assert at_arm(loaded, slow).experiment.host.env == {"SLOW": "1"}
    assert at_arm(loaded, big).experiment.engine == {"model": "none", "size": 2}
    threads = slow.model_copy(update={"env": {"OMP_NUM_THREADS": "2"}})
    with pytest.raises(
        ConfigError, match=r"env: OMP_NUM_THREADS is what host.threads sets: write host: \{threads: N\}"
    ):
        at_arm(loaded, threads)
    odd = big.model_copy(update={"engine": {}, "host": {"treads": 2}})
    with pytest.raises(ConfigError, match=r"host.treads: unknown key; did you mean 'threads'\?"):
        at_arm(loaded, odd)


def test_a_release_runs_on_its_own_python_with_this_harness(launches, root, tmp_path) -> None:
    made = launches(config=SETTINGS.replace("{env: {SLOW: 1}}", "{vllm: 0.31.0}"))
    other = tmp_path / "other/vllm"
    other.mkdir(parents=True)
    (other / "table.py").write_text(f"# 0.31.0\n{TABLE}")
    made.environments = {
        "slow": SimpleNamespace(
            hash="0123", version="0.31.0", torch="2.11.0", python=tmp_path / "bin/python", packages_root=other.parent,
            variables=lambda before: {"PYTHONPATH": f"harness-code:{before.get('PYTHONPATH', '')}"},
        )
    }  # fmt: skip
    assert made.execute().status == "complete"
    for launched, how in Process.started:
        is_other = launched.arm == "slow"
        assert (how["python"] == str(tmp_path / "bin/python")) is is_other
        assert how["text"].startswith("# 0.31.0") is is_other
        assert ("harness-code:" in how["env"]["PYTHONPATH"]) is is_other
    records = read_run(made.folder.path)
    assert records.run["environments"] == {"slow": {"hash": "0123", "vllm": "0.31.0", "torch": "2.11.0"}}
    assert any("slow was started with vLLM 0.31.0 and torch 2.11.0" in note for note in summarise(records).notes)


def test_an_arm_that_serves_something_else_is_struck_and_not_launched_again(launches) -> None:
    made = launches(state="wrong")
    outcome = made.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    assert "arm 'state' generates other tokens in launch" in outcome.message
    assert "state is struck: generates other tokens" in made.told[0]
    ran = Counter(launched.arm for launched, _ in Process.started)
    assert ran[NATIVE] == 2  # what native does not repeat is known then; no arm is left to compare
    assert ran["state"] <= 2
    summary = write_reports(made.folder.path)
    assert not summary.arms["state"].equal
    assert not summary.arms["state"].measured
    assert summary.arms[NATIVE].measured
    assert summary.difference("state", "scope") is None


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


def test_a_run_at_launch_grain_is_compared_with_another(launches, tmp_path) -> None:
    made = launches()
    made.execute()
    first = made.folder.path.rename(tmp_path / "first")
    made = launches()
    made.execute()
    compared = compare_runs([first, made.folder.path])
    assert compared.launches == [4, 4]
    assert {(row.arm, row.metric) for row in compared.rows} >= {
        (NATIVE, "scope"),
        ("state", "scope"),
        ("state", "step"),
    }
    assert all(row.difference_us is not None for row in compared.rows)


def test_without_a_number_there_are_five_launches_of_each_arm(launches) -> None:
    made = launches("protocol.launches=1")
    assert (FEWEST, made.a_run) == (5, 5)


def refused(tmp_path: Path, root: Path, patch: str, *overrides: str) -> str:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "state.patch").write_text(patch)
    loaded = load(tmp_path / "config.yaml", overrides)
    with pytest.raises(ConfigError) as error:
        choose_grain(loaded, prepare(loaded, tmp_path / "changes", root))
    assert error.value.exit_status == 2
    return str(error.value)


def test_step_grain_is_refused_with_names_and_reasons_where_it_cannot_be_had(tmp_path, root) -> None:
    told = refused(tmp_path, root, FIELD, "protocol.grain=step")
    assert "step was asked for" in told
    assert "state: vllm.output.Output.count: a field of a dataclass" in told


def test_a_patch_that_leaves_a_file_that_is_not_utf_8_is_refused_in_one_line(tmp_path, root) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "state.patch").write_bytes(NEW_FILE.replace("START = 0", "START = '\xe9'").encode("latin-1"))
    with pytest.raises(ConfigError, match=r"vllm/counting\.py cannot be read as Python: 'utf-8' codec .*$") as error:
        prepare(load(tmp_path / "config.yaml"), tmp_path / "changes", root)
    assert error.value.exit_status == 2
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["arms=[{state: {patch: state.patch, only: [Table.append]}}]"], "has `only`"),
        (["baseline=state"], "its baseline is state"),
        (
            ["swap=vllm.table.Table.append", "arms=[{a: 'own.py:f'}, {state: {patch: state.patch}}]"],
            "arm 'a' is neither a patch, a tree nor a setting, and an engine can be started with these alone: write it "
            "as a patch",
        ),
    ],
)
def test_what_launch_grain_cannot_do_is_said(tmp_path, root, overrides, why, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("def f(self, row): ...\n")
    assert why in refused(tmp_path, root, STATE, "protocol.grain=launch", *overrides)


def test_auto_is_launch_grain_where_the_text_tells_that_something_cannot_be_switched(tmp_path, root) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    for patch, launch in ((FIELD, True), (STATE.replace("self.count = 1", "2"), None)):
        (tmp_path / "state.patch").write_text(patch)
        loaded = load(tmp_path / "config.yaml")
        prepared = prepare(loaded, tmp_path / f"changes-{launch}", root)
        choice = choose_grain(loaded, prepared)
        assert choice.launch is bool(prepared["state"].refused)
        assert bool(choice.why) is choice.launch


NEW_FILE = """\
--- /dev/null
+++ b/vllm/counting.py
@@ -0,0 +1 @@
+START = 0
"""


def test_what_an_engine_refuses_goes_on_at_launch_grain_by_itself(tmp_path, root, monkeypatch) -> None:
    """The text alone told of nothing, and the changed files are there from the first try."""
    monkeypatch.setattr("harness.running.changed.installed_root", lambda: root)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "state.patch").write_text(STATE + NEW_FILE)
    loaded = load(tmp_path / "config.yaml")
    folder = RunFolder(tmp_path / "run")
    prepare(loaded, folder.path / "changes", root)
    assert may_go_on(loaded)
    assert not may_go_on(load(tmp_path / "config.yaml", ["protocol.grain=step"]))
    made: list[ArmLaunches] = []
    monkeypatch.setattr(ArmLaunches, "execute", lambda self: made.append(self))
    ByLaunch(loaded, folder, [], [], (), "", ["it makes objects that live"])()
    (launches,) = made
    assert (list(launches.prepared), launches.why) == (["state"], ["it makes objects that live"])
    assert (folder.path / "changes/state/vllm/counting.py").read_text() == "START = 0\n"


def test_the_hidden_option_is_for_harness_alone() -> None:
    launched = Launched("pr", "schedule", ("a.b",), ("c.d",))
    assert Launched.from_text(launched.as_text()) == launched
    for wrong in ("", "{}", json.dumps({"arm": 1})):
        with pytest.raises(ConfigError, match="--launched"):
            Launched.from_text(wrong)


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
