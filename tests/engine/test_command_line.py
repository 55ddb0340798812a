"""`python -m harness run` as a user types it: on real engines, to the end and to several bad ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.config_file import load
from harness.pyspy import PERMISSION
from harness.records import read_run
from harness.usual_way import _latency_spec
from tests.test_pyspy import REFUSED

pytestmark = pytest.mark.engine

SMALL = ["--set", "workload.requests=6", "--set", "workload.prompt_tokens=20", "--set", "workload.output_tokens=8"]
PATIENCE_S = 240


def start(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "configs/slot_mapping.yaml", *SMALL, *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=_heed_ctrl_c,
    )  # fmt: skip


def _heed_ctrl_c() -> None:
    """A shell that starts its jobs in the background has them ignore it, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr; fails if anything of its session still runs."""
    session = process.pid
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(session, signal.SIGKILL)
        raise
    left = []
    for _ in range(50):
        left = [p for p in psutil.process_iter() if _session(p.pid) == session and p.status() != psutil.STATUS_ZOMBIE]
        if not left:
            break
        time.sleep(0.2)
    assert left == []
    return process.returncode, out, err


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def wait_for_passes(folder: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(list(folder.glob("passes/*.parquet"))) < count:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_on_an_engine_in_processes_of_its_own(tmp_path, workers) -> None:
    folder = tmp_path / "run"
    overrides = ["--set", "host.process=subprocess", "--set", "protocol.passes=3", "--arms", "numpy,native"]
    overrides += ["--set", f"engine.tensor_parallel_size={workers}", "--flamegraph", "--set", "flamegraph.seconds=3"]
    status, out, err = finish(start("--out", str(folder), *overrides))
    assert (status, "Traceback" in err) == (0, False)
    assert out.endswith(f"{folder}/report.md\npython -m harness report {folder} --full\n")
    assert "_prepare_inputs" in out
    assert "0 calls" in out
    assert "INFO" not in out + err  # vLLM's own log went to the folder
    assert "starting the engine" in err
    assert (folder / "engine.log").stat().st_size > 0
    records = read_run(folder)
    assert records.run["status"] == "complete"
    assert records.run["host"]["details"]["process"] == "subprocess"
    assert records.run["host"]["details"]["pid"] not in (os.getpid(), None)
    assert records.run["host"]["world_size"] == workers
    assert len(records.frame) == 3 * (3 + 1) * 2 * records.run["steps"]["count"]
    if "flamegraphs_missing" in records.run:
        assert REFUSED  # here py-spy may not attach to anything
        assert PERMISSION in records.run["flamegraphs_missing"]
        return
    assert list(records.folded) == ["list", "numpy", "native"]  # the baseline is among them
    for facts in records.run["flamegraphs"].values():
        assert 0 < facts["scope_samples"] < facts["step_samples"] < facts["samples"]
    assert (folder / "flamegraphs/numpy-against-list.svg").stat().st_size > 0


@pytest.mark.parametrize(("sent", "process"), [(signal.SIGINT, "in_process"), (signal.SIGTERM, "subprocess")])
def test_ctrl_c_and_a_polite_kill_end_cleanly_with_what_was_measured(tmp_path, sent, process) -> None:
    folder = tmp_path / "run"
    overrides = ["--set", f"host.process={process}", "--set", "protocol.passes=2000", "--arms", "numpy"]
    process = start("--out", str(folder), *overrides)
    wait_for_passes(folder, 14)
    process.send_signal(sent)
    status, out, err = finish(process)
    assert status == 130
    assert "Traceback" not in err
    assert "passes were measured and kept" in err
    assert "_prepare_inputs" in out  # the table of what was measured
    records = read_run(folder)
    assert records.run["status"] == "interrupted"
    assert records.frame["pass"].nunique() >= 8


@pytest.mark.parametrize("victim", ["worker", "engine core"])
def test_a_killed_engine_is_said_and_loses_nothing(tmp_path, victim) -> None:
    folder = tmp_path / "run"
    process = start(
        "--out", str(folder), "--set", "host.process=subprocess", "--set", "protocol.passes=2000", "--arms", "numpy"
    )
    wait_for_passes(folder, 14)
    worker = psutil.Process(read_run(folder).run["host"]["details"]["pid"])
    (worker if victim == "worker" else worker.parent()).kill()
    status, out, err = finish(process)
    assert status == 1
    assert "harness: the engine died" in err
    assert "passes were measured and kept" in err
    assert "Traceback" not in err
    assert "_prepare_inputs" in out
    assert read_run(folder).run["status"] == "failed"


def test_an_engine_that_does_not_start_is_said_in_one_line(tmp_path) -> None:
    status, out, err = finish(start("--out", str(tmp_path / "run"), "--set", "engine.max_model_len=9999999"))
    assert status == 1
    message = [line for line in err.splitlines() if line.startswith("harness: ")]
    assert len(message) == 1
    assert "the engine did not start" in message[0]
    assert "engine.log" in message[0]
    assert "Traceback" not in err
    assert "No arm was measured" in out


def test_several_launches_are_processes_of_their_own_and_one_report(tmp_path) -> None:
    folder = tmp_path / "run"
    overrides = ["--set", "protocol.launches=3", "--set", "protocol.passes=3", "--arms", "numpy"]
    status, out, err = finish(start("--out", str(folder), *overrides))
    assert (status, "Traceback" in err) == (0, False), err
    assert "launch 3 of 3" in err
    assert "in 3 launches" in " ".join(out.split())
    records = read_run(folder)
    assert [launch.run["status"] for launch in records.launches] == ["complete"] * 3
    assert len({launch.run["host"]["details"]["pid"] for launch in records.launches}) == 3
    assert "across 3 launches" in (folder / "report.md").read_text()


def test_ctrl_c_in_the_second_launch_keeps_the_first(tmp_path) -> None:
    folder = tmp_path / "run"
    overrides = ["--set", "protocol.launches=3", "--set", "protocol.seconds=2", "--arms", "numpy"]
    process = start("--out", str(folder), *overrides)
    wait_for_passes(folder / "launches" / "02", 4)
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert status == 130
    assert "Traceback" not in err
    assert "1 of 3 launches were measured and kept before" in err
    assert "_prepare_inputs" in out
    assert [launch.run["status"] for launch in read_run(folder).launches] == ["complete", "interrupted"]


ARM = """\
from pathlib import Path

from patches.slot_mapping import Numpy


class Marking(Numpy):
    def slots(self, *args):
        Path(__file__).with_name("reached").touch()
        return super().slots(*args)
"""


def test_vllms_own_benchmark_runs_with_an_arm_in_it(tmp_path) -> None:
    """What `selftest --usual-way` compares with: vllm.benchmarks.latency itself, and the arm is reached."""
    arm = tmp_path / "arm.py"
    arm.write_text(ARM)
    loaded = load(Path("configs/selftest.yaml"), [*SMALL[1::2], f"arms=[{{mine: '{arm}:Marking'}}]", "baseline=mine"])
    spec = _latency_spec(loaded, 0.0, tmp_path / "latency.json")
    spec["arguments"][spec["arguments"].index("--num-iters") + 1] = "2"
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "harness.hosts.vllm_latency", str(tmp_path / "spec.json")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **spec["environment"]}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(json.loads((tmp_path / "latency.json").read_text())["latencies"]) == 2
    assert (tmp_path / "reached").exists()
