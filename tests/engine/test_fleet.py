"""A patch that no living engine can switch, compared by engines that a Ray of two nodes starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.records.folder import read_run
from harness.seams import NATIVE
from tests.engine.test_launch_grain import SMALL, write_patch
from tests.processes import finish, session_of
from tests.with_ray import PYTHON, ray_environment

pytestmark = pytest.mark.engine


def test_blocks_of_launches_on_two_nodes_make_one_run(tmp_path) -> None:
    write_patch(tmp_path / "turns.patch")
    folder = tmp_path / "run"
    with ray_environment() as environment:
        environment["PYTHONPATH"] = str(Path.cwd())
        ray = {"env": environment, "text": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([str(PYTHON), "-m", "tests.fleet.two_nodes"], **ray) as cluster:
            try:
                address = cluster.stdout.readline().strip()
                command = ["-m", "harness", "ab", str(tmp_path / "turns.patch"), "--out", str(folder), *SMALL]
                with session_of([*command, "--on", f"ray:{address}"], PYTHON, env=environment) as process:
                    status, out, err = finish(process)
            finally:
                cluster.communicate()  # the end of its stdin is its own
    assert (status, "Traceback" in err) == (0, False), err
    assert err.count("takes part") == 2
    records = read_run(folder)
    assert sorted(launch.run["arm"] for launch in records.launches) == [NATIVE] * 3 + ["turns"] * 3
    blocks = records.run["blocks"]
    assert [(each["number"], each.get("lost", "")) for each in blocks] == [(1, ""), (2, ""), (3, "")]
    assert len({each["node"] for each in blocks}) == 2
    assert records.run["config"]["scope"] == "vllm.v1.core.sched.scheduler.Scheduler.schedule"  # the first one found it
    assert {launch.run["config"]["scope"] for launch in records.launches} == {records.run["config"]["scope"]}
    assert records.run["equality"]["turns"] == {"equal": True, "reason": ""}
    assert records.run["across"]["launches"] == {"turns": 3}
    assert "launch grain:" in out
