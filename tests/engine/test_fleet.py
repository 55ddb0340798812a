"""A patch that no living engine can switch, with a setting, compared by engines that a Ray of two nodes starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.analysis.summarise import summarise
from harness.records.folder import read_run
from harness.seams import NATIVE
from tests.engine.test_launch_grain import SMALL, write_patch
from tests.processes import finish, session_of
from tests.with_ray import PYTHON, needs_ray, ray_environment

pytestmark = [pytest.mark.engine, needs_ray]


def test_blocks_of_launches_on_two_nodes_make_one_run(tmp_path) -> None:
    """One arm has its core in a process of its own, and native has not: the loop's turn is timed in native alone."""
    write_patch(tmp_path / "turns.patch")
    folder = tmp_path / "run"
    arm = f"{{patch: {tmp_path}/turns.patch, host: {{process: subprocess}}, env: {{SOME_VARIABLE: 1}}}}"
    config = ["configs/settings/engine_process.yaml", "--set", f"arms=[{{both: {arm}}}]"]
    with ray_environment() as environment:
        environment["PYTHONPATH"] = str(Path.cwd())
        ray = {"env": environment, "text": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([str(PYTHON), "-m", "tests.fleet.two_nodes"], **ray) as cluster:
            try:
                address = cluster.stdout.readline().strip()
                command = ["-m", "harness", "run", *config, "--out", str(folder), *SMALL, "--on", f"ray:{address}"]
                with session_of(command, PYTHON, env=environment) as process:
                    status, out, err = finish(process)
            finally:
                cluster.communicate()  # the end of its stdin is its own
    assert (status, "Traceback" in err) == (0, False), err
    assert err.count("takes part") == 2
    assert 'both: host.process="subprocess", SOME_VARIABLE=1 is set when an engine starts' in err
    records = read_run(folder)
    found = {launch.run["arm"]: launch for launch in records.launches}
    assert sorted(launch.run["arm"] for launch in records.launches) == ["both"] * 3 + [NATIVE] * 3
    blocks = records.run["blocks"]
    assert [(each["number"], each.get("lost", "")) for each in blocks] == [(1, ""), (2, ""), (3, "")]
    assert len({each["node"] for each in blocks}) == 2
    assert {launch.run["config"]["scope"] for launch in records.launches} == {records.run["config"]["scope"]}
    assert records.run["changes"]["both"]["base"] == "exact"
    assert found[NATIVE].run["host"]["details"]["process"] == "in_process"
    assert found["both"].run["host"]["details"]["process"] == "subprocess"
    assert found["both"].run["environment"]["SOME_VARIABLE"] == "1"
    assert "SOME_VARIABLE" not in found[NATIVE].run["environment"]
    assert "turn_ns" in found[NATIVE].columns
    assert "turn_ns" not in found["both"].columns
    summary = summarise(records)
    assert summary.loop
    assert summary.arms["both"].bare_step_ns > summary.arms["both"].corrected_scope_ns > 0
    assert summary.difference("both", "step") is not None
    assert any("the whole turn is the loop's here" in note for note in summary.notes)
    assert "the engine's loop" in (folder / "report.md").read_text()
    assert "launch grain:" in out
