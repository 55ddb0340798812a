"""A patch that no living engine can switch, as a user gives it: engines that have it or not are compared."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import pytest

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
