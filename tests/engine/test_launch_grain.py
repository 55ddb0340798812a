"""A patch that no living engine can switch, as a user gives it: engines that have it or not are compared."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import pytest

from harness.analysis.summarise import summarise
from harness.records.folder import read_run
from harness.running.changed import installed_root
from harness.seams import NATIVE
from tests.processes import finish, session_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engine

SMALL = [
    "--set", "workload.requests=6", "--set", "workload.prompt_tokens=20", "--set", "workload.output_tokens=6",
    "--set", "protocol.launches=3", "--set", "protocol.groups=2", "--set", "protocol.counters=false",
    "--set", "engine.max_model_len=256",
]  # fmt: skip

ONCE = ["--set", "protocol.launches=1"]


def write_patch(path: Path) -> None:
    """A patch that has the scheduler count its turns in an attribute that only the new `__init__` makes."""
    lines = (installed_root() / "vllm/v1/core/sched/scheduler.py").read_text().splitlines()
    made = next(i for i, line in enumerate(lines) if line.startswith("        self.vllm_config = "))
    used = next(i for i, line in enumerate(lines) if line.startswith("        scheduled_new_reqs: list"))
    counted = [
        *lines[: made + 1], "        self.turns_counted = 0",
        *lines[made + 1 : used + 1], "        self.turns_counted += 1", *lines[used + 1 :],
    ]  # fmt: skip
    names = [f"{side}/vllm/v1/core/sched/scheduler.py" for side in "ab"]
    path.write_text("\n".join(difflib.unified_diff(lines, counted, *names, lineterm="")) + "\n")


def test_a_patch_that_makes_new_state_is_compared_by_engines_started_in_turn(tmp_path) -> None:
    write_patch(tmp_path / "turns.patch")
    folder = tmp_path / "run"
    with session_of(["-m", "harness", "ab", str(tmp_path / "turns.patch"), "--out", str(folder), *SMALL]) as process:
        status, out, err = finish(process)
    assert status == 0, err
    assert "launch grain, since this cannot be switched in a living engine: turns: " in err
    assert "self.turns_counted, which only the new Scheduler.__init__ makes" in err
    records = read_run(folder)
    assert sorted(launch.run["arm"] for launch in records.launches) == [NATIVE] * 3 + ["turns"] * 3
    assert records.run["config"]["scope"] == "vllm.v1.core.sched.scheduler.Scheduler.schedule"
    assert records.run["equality"]["turns"] == {"equal": True, "reason": ""}
    assert records.run["across"]["leaves"] > 1000
    assert records.run["across"]["launches"] == {"turns": 3}
    assert [(each["number"], each["together"]) for each in records.run["blocks"]] == [(1, True), (2, True), (3, True)]
    assert records.run["by_turns"] == "steps"
    assert not (folder / "overlays").exists()
    assert "launch grain:" in (folder / "report.md").read_text()
    assert "launch grain:" in out


def test_a_patch_with_a_setting_in_one_arm_and_the_loops_turn_where_its_core_is_elsewhere(tmp_path) -> None:
    write_patch(tmp_path / "turns.patch")
    folder = tmp_path / "run"
    arm = f"{{patch: {tmp_path}/turns.patch, host: {{process: subprocess}}, env: {{SOME_VARIABLE: 1}}}}"
    config = ["configs/settings/engine_process.yaml", "--set", f"arms=[{{both: {arm}}}]"]
    with session_of(["-m", "harness", "run", *config, "--out", str(folder), *SMALL, *ONCE]) as process:
        status, out, err = finish(process)
    assert status == 0, err
    assert 'both: host.process="subprocess", SOME_VARIABLE=1 is set when an engine starts' in err
    records = read_run(folder)
    found = {launch.run["arm"]: launch for launch in records.launches}
    assert records.run["host"]["details"]["process"] == "in_process", "the whole run's engine is native's"
    assert found["both"].run["host"]["details"]["process"] == "subprocess"
    assert found["both"].run["environment"]["SOME_VARIABLE"] == "1"
    assert "SOME_VARIABLE" not in found[NATIVE].run["environment"]
    assert records.run["changes"]["both"]["base"] == "exact"
    assert "turn_ns" in found[NATIVE].columns
    assert "turn_ns" not in found["both"].columns
    summary = summarise(records)
    assert records.run["by_turns"] == "pass", "of some steps they would be in the time from step to step"
    assert all(each["together"] for each in records.run["blocks"])
    assert summary.loop
    assert summary.arms["both"].bare_step_ns > summary.arms["both"].corrected_scope_ns > 0
    assert summary.difference("both", "step") is not None
    assert any("the whole turn is the loop's here" in note for note in summary.notes)
    assert "the engine's loop" in (folder / "report.md").read_text()
    assert "launch grain:" in out
