"""Launch grain: which engine has which arm in it, what is compared between processes, and what comes of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness.analysis.by_launch import by_arm, counters_of_arms, stack
from harness.analysis.compare import compare_runs
from harness.analysis.launch_grain import LaunchGrain
from harness.analysis.statistics import total
from harness.analysis.summarise import summarise
from harness.cli.by_launch import ByLaunch, may_go_on
from harness.config.file import load
from harness.config.launched import Launched
from harness.errors import ConfigError
from harness.records.folder import RunFolder, read_run
from harness.report import write_reports
from harness.running.arm_launches import FEWEST, ArmLaunches
from harness.running.changed import prepare
from harness.running.drawn import draw_block
from harness.running.grains import choose_grain
from harness.seams import AA, NATIVE
from tests.running.played import CONFIG, FIELD, STATE, Process

if TYPE_CHECKING:
    from pathlib import Path


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


def test_what_each_arm_makes_pytorch_do_is_told_by_its_first_launch(launches) -> None:
    made = launches("protocol.counters=true")
    made.execute()
    assert set(summarise(read_run(made.folder.path)).counters) == {NATIVE, "state"}


def test_counts_of_several_engines_stand_in_one_table_under_their_arms() -> None:
    engines: dict[str, Any] = {
        NATIVE: SimpleNamespace(counters={"arm": [NATIVE, NATIVE, AA], "step": [0, 1, 0], "copies": [5, 6, 7]}),
        "mine": SimpleNamespace(counters={"arm": [AA, NATIVE], "step": [0, 0], "copies": [8, 9], "own": [1, 1]}),
        "uncounted": SimpleNamespace(counters={}),
    }
    table = counters_of_arms(engines)
    assert {name: column.tolist() for name, column in table.items()} == {
        "arm": [NATIVE, NATIVE, "mine"], "step": [0, 1, 0], "copies": [5, 6, 9],
    }  # fmt: skip
    assert counters_of_arms({"uncounted": engines["uncounted"]}) == {}


def test_all_that_launches_give_a_verdict_on_is_one_family_and_own_costs_are_of_a_step(launches) -> None:
    made = launches("protocol.bare=true")
    made.execute()
    records = read_run(made.folder.path)
    found = by_arm(records, [])
    grain = LaunchGrain.of(records.run, found)
    assert grain is not None
    own, shapes = grain.own_costs(), grain.by_shape(records.run)
    assert len({shape.shape for shape in shapes}) == 2, "a prefill, and decodes"
    others = len(found.values) - 1
    carrying = len(grain.comparisons()) + 2 * others + len(own) + len(shapes)  # means of scope and step among them
    assert grain.confidence == pytest.approx(1 - 0.05 / carrying)
    for cost in own:
        bare = stack(found.values)[cost.arm]["step"]
        steps = bare.shape[1]
        assert cost.per_step_us.estimate * 1e3 * steps == pytest.approx(cost.share * total(bare))
    steps = records.run["steps"]
    alike = {
        "count": steps["count"],
        **{key: [3] * steps["count"] for key in ("num_reqs", "num_tokens", "num_prefills")},
    }
    of_one_shape = LaunchGrain.of({**records.run, "steps": alike}, found)
    assert of_one_shape is not None
    assert of_one_shape.confidence == pytest.approx(1 - 0.05 / (carrying - len(shapes)))
    assert [each for each in records.run["blocks"] if "node" in each] == []
    assert not grain.in_common
    apart = [{**each, "node": f"node {each['number'] % 2}"} for each in records.run["blocks"]]
    assert LaunchGrain.of({**records.run, "blocks": apart}, found).in_common, "blocks of a machine have it in common"
    nothing = by_arm(replace(records, launches=[]), [])
    assert (nothing.values, LaunchGrain.of(records.run, nothing)) == ({}, None)
