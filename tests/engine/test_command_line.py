"""`python -m harness run` as a user types it: on real engines, to the end and to several bad ends.

An engine takes most of a test's time here, so each test looks at all that its engine can show.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from harness import cli
from harness.config.file import load
from harness.hosts.vllm_settings import EXECUTOR, IN_PROCESS
from harness.records.folder import read_run
from harness.report import write_reports
from harness.sampling.pyspy import PERMISSION
from harness.selftest.usual_way import _latency_spec
from tests.engine.platforms import environment_with, forking_cpu
from tests.processes import finish, session_of, until
from tests.sampling.test_pyspy import REFUSED

if TYPE_CHECKING:
    import subprocess
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.engine

RUN = ["run", "configs/slot_mapping.yaml"]
OF_ITS_OWN = ["--set", "host.process=subprocess"]
ONE_FOR_ALL = ["--set", f"engine.{EXECUTOR}={IN_PROCESS}"]
"""The worker in the engine core's process, as vLLM has it on one GPU; on a CPU it has its own by default."""
SMALL = ["--set", "workload.requests=6", "--set", "workload.prompt_tokens=20", "--set", "workload.output_tokens=8"]


def by_number(passes: int) -> list[str]:
    return ["--set", f"protocol.groups={passes}"]


def start(*args: str, **how: Any) -> AbstractContextManager[subprocess.Popen[str]]:
    return session_of(["-m", "harness", *RUN, *SMALL, *args], **how)


@pytest.fixture
def forking(tmp_path) -> dict[str, str]:
    """An environment in which an engine's processes are forked, and none of them imports vLLM anew."""
    return {**os.environ, **environment_with(forking_cpu, tmp_path / "platform")}


def wait_for_passes(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    until(
        f"{count} passes in {folder}, or the end of the run",
        lambda: len(list(folder.glob("passes/*.parquet"))) >= count or process.poll() is not None,
    )
    assert process.poll() is None, process.communicate()


OFF_BY_ONE = """\
from patches.slot_mapping import Numpy


class OffByOne(Numpy):
    def slots(self, *args):
        return super().slots(*args) + 1
"""


def with_one_off(folder: Path) -> str:
    """Arms of which one writes every slot beside the right one."""
    (folder / "off.py").write_text(OFF_BY_ONE)
    return f"numpy,{folder / 'off.py'}:OffByOne"


BUSY = """\
import time

from patches.slot_mapping import Numpy


class Busy(Numpy):
    ended = time.monotonic()

    def slots(self, *args):
        until = time.monotonic() + min(time.monotonic() - self.ended, 0.1)
        while time.monotonic() < until:
            pass
        self.ended = time.monotonic()
        return super().slots(*args)


class Other(Busy):
    pass
"""
"""As long as the engine took since the last time, so that samples find it on any machine; a pause counts little."""


def with_two_busy_and_one_off(folder: Path) -> str:
    """Arms of which two take about half of each step, and one writes every slot beside the right one."""
    arms = folder / "arms.py"
    arms.write_text(f"{BUSY}\n\n{OFF_BY_ONE}")
    return f"{arms}:Busy,{arms}:Other,{arms}:OffByOne"


def assert_compared_whole(run: dict[str, Any], right: str = "numpy") -> None:
    """Native repeats its block ids, so that slots themselves are compared, and not what is made of them."""
    checked = run["checked"]
    assert checked["not_reset"] == ""
    assert [field for field in checked["not_repeated"] if not field.endswith(".scheduler_metadata")] == []
    found = {name: (facts["equal"], facts["reason"]) for name, facts in run["equality"].items()}
    assert found[right] == (True, "")
    equal, reason = found["OffByOne"]
    assert not equal
    assert "differs at step 0" in reason
    assert ".slot_mapping[0]`: expected" in reason


def test_a_run_on_parallel_workers_of_an_engine_in_processes_of_its_own(tmp_path, forking) -> None:
    folder = tmp_path / "run"
    overrides = [*OF_ITS_OWN, "--set", "engine.tensor_parallel_size=2", *by_number(3)]
    overrides += ["--arms", with_two_busy_and_one_off(tmp_path), "--set", "baseline=Busy"]
    overrides += ["--flamegraph", "--set", "flamegraph={seconds: 2, rate_hz: 200}"]
    with start("--out", str(folder), *overrides, env=forking) as process:
        status, out, err = finish(process)
    assert (status, "Traceback" in err) == (1, False), err  # one of the arms is not equal
    assert err.count("OffByOne is struck") == 1  # though both workers say so
    assert out.rstrip().endswith(f"{folder}/report.md\npython -m harness report {folder} --full")
    assert "_prepare_inputs" in out
    assert "INFO" not in out + err  # vLLM's own log went to the folder
    assert "starting the engine" in err
    assert "3 groups of every arm, probed and bare, are measured in about" in err
    assert (folder / "engine.log").stat().st_size > 0
    records = read_run(folder)
    assert records.run["status"] == "complete"
    assert records.run["host"]["details"]["process"] == "subprocess"
    assert records.run["host"]["details"]["pid"] not in (os.getpid(), None)
    assert records.run["host"]["world_size"] == 2
    assert_compared_whole(records.run, right="Other")
    assert len(records.frame) == 3 * (2 + 1) * 2 * records.run["steps"]["count"]
    if "flamegraphs_missing" in records.run:
        assert REFUSED  # here py-spy may not attach to anything
        assert PERMISSION in records.run["flamegraphs_missing"]
        return
    assert list(records.folded) == ["Busy", "Other"]  # the baseline is among them
    for facts in records.run["flamegraphs"].values():
        assert 0 < facts["scope_samples"] < facts["step_samples"] < facts["samples"]
    assert (folder / "flamegraphs/Other-against-Busy.svg").stat().st_size > 0


def test_a_polite_kill_ends_an_engine_of_its_own_process_with_what_was_measured(tmp_path, forking) -> None:
    folder = tmp_path / "run"
    overrides = [*OF_ITS_OWN, *ONE_FOR_ALL, *by_number(2000), "--arms", with_one_off(tmp_path)]
    with start("--out", str(folder), *overrides, env=forking) as process:
        wait_for_passes(process, folder, 14)
        process.send_signal(signal.SIGTERM)
        status, out, err = finish(process)
    assert status == 130
    assert "Traceback" not in err
    assert "passes were measured and kept" in err
    assert "_prepare_inputs" in out  # the table of what was measured
    records = read_run(folder)
    assert records.run["status"] == "interrupted"
    assert_compared_whole(records.run)
    assert records.frame["pass"].nunique() >= 8


@pytest.mark.parametrize("victim", ["worker", "engine core"])
def test_a_killed_engine_is_said_and_loses_nothing(tmp_path, forking, victim) -> None:
    folder = tmp_path / "run"
    overrides = [*OF_ITS_OWN, *by_number(2000), "--arms", "numpy"]
    with start("--out", str(folder), *overrides, env=forking) as process:
        wait_for_passes(process, folder, 14)
        worker = psutil.Process(read_run(folder).run["host"]["details"]["pid"])
        (worker if victim == "worker" else worker.parent()).kill()
        status, out, err = finish(process)
    assert status == 1
    assert "harness: the engine died" in err
    assert "passes were measured and kept" in err
    assert "Traceback" not in err
    assert "_prepare_inputs" in out
    assert read_run(folder).run["status"] == "failed"


NEVER = """\
from patches.slot_mapping import Numpy


class Never(Numpy):
    calls = 0

    def slots(self, *args):
        Never.calls += 1
        if Never.calls > 40:
            sum(iter(int, 1))
        return super().slots(*args)
"""


def test_an_arm_that_hangs_in_an_engine_of_its_own_process_is_named_and_what_was_measured_is_kept(
    tmp_path, forking
) -> None:
    """In native code, so that nothing in the engine's process can end it."""
    arm, folder = tmp_path / "arm.py", tmp_path / "run"
    arm.write_text(NEVER)
    overrides = [*OF_ITS_OWN, *ONE_FOR_ALL, *by_number(2000)]
    overrides += ["--set", "protocol.step_timeout_s=2", "--no-report", "--arms", f"{arm}:Never"]
    with start("--out", str(folder), *overrides, env=forking) as process:
        status, _, err = finish(process)
    assert status == 1
    assert "arm 'Never' did not return at step" in err
    assert "passes were measured and kept" in err
    assert "Traceback" not in err
    assert read_run(folder).run["status"] == "failed"


def test_launches_are_processes_of_their_own_and_ctrl_c_in_the_second_keeps_the_first(tmp_path) -> None:
    """The launch that Ctrl-C reaches is a run in one process, and ends as such."""
    folder = tmp_path / "run"
    overrides = ["--set", "protocol.launches=3", *by_number(8), "--arms", "numpy"]
    with start("--out", str(folder), *overrides) as process:
        wait_for_passes(process, folder / "launches" / "02", 4)
        process.send_signal(signal.SIGINT)
        status, out, err = finish(process)
    assert status == 130
    assert "Traceback" not in err
    assert "launch 2 of 3" in err
    assert "1 of 3 launches were measured and kept before" in err
    assert "_prepare_inputs" in out
    records = read_run(folder)
    assert [launch.run["status"] for launch in records.launches] == ["complete", "interrupted"]
    assert all("passes were measured and kept" in launch.run["message"] for launch in records.launches[1:])
    assert len({launch.run["host"]["details"]["pid"] for launch in records.launches}) == 2


def has_spawned(pid: int) -> bool:
    """Whether a process has a child that multiprocessing spawned; others come and go while vLLM is imported."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # also one that nobody has waited for yet
                if "spawn_main" in " ".join(child.cmdline()):
                    return True
    return False


STAGES = {"measuring": "measuring (", "start": "starting the engine"}


@pytest.mark.parametrize("process", ["in_process", "subprocess"])
@pytest.mark.parametrize("stage", list(STAGES))
def test_a_kill_leaves_no_process_and_a_folder_that_can_be_rendered(tmp_path, forking, process, stage) -> None:
    """SIGKILL, at which nothing of the run's own can be done."""
    folder = tmp_path / "run"
    parallel = process == "in_process" and stage == "measuring"  # the engine core here, its workers elsewhere
    overrides = ["--set", f"host.process={process}", *by_number(2000)]
    overrides += ["--arms", with_one_off(tmp_path) if parallel else "numpy"]
    overrides += ["--set", "engine.tensor_parallel_size=2"] if parallel else []
    environment = forking if stage == "measuring" else None  # what starts is what a user has
    with start("--out", str(folder), *overrides, env=environment) as run:
        said = run.stderr.readline()
        while said and not said.startswith(STAGES[stage]):
            said = run.stderr.readline()
        assert said, "the run ended before that stage"
        if stage == "start" and process == "subprocess":
            until("the engine's process, or the end of the run", lambda: run.poll() is not None or has_spawned(run.pid))
        elif stage == "measuring":
            wait_for_passes(run, folder, 8)
        run.kill()
        status, _, err = finish(run)  # fails where anything of it still runs
    assert status == -signal.SIGKILL, err  # why it ended by itself, if it did
    write_reports(folder)
    assert "never ended by itself" in (folder / "report.md").read_text()
    records = read_run(folder)
    assert len(records.frame) > 0 or stage != "measuring"
    if parallel:
        assert records.run["host"]["world_size"] == 2
        assert_compared_whole(records.run)


def test_an_engine_that_does_not_start_is_said_in_one_line(host, tmp_path, monkeypatch, capfd) -> None:
    """In this process, which has imported vLLM already; the shared engine stays as it was."""
    monkeypatch.setattr(
        sys, "argv", ["harness", *RUN, "--out", str(tmp_path / "run"), "--set", "engine.max_model_len=9999999"]
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)  # a run has a polite kill end it as Ctrl-C does
    out, err = capfd.readouterr()
    assert ended.value.code == 1
    message = [line for line in err.splitlines() if line.startswith("harness: ")]
    assert len(message) == 1
    assert "the engine did not start" in message[0]
    assert "engine.log" in message[0]
    assert "Traceback" not in err
    assert "No arm was measured" in out


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
    for option in ("--num-iters", "--num-iters-warmup"):
        spec["arguments"][spec["arguments"].index(option) + 1] = "2"
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    command = ["-m", "harness.hosts.vllm_latency", str(tmp_path / "spec.json")]
    with session_of(command, env={**os.environ, **spec["environment"]}) as process:
        status, _, err = finish(process)
    assert status == 0, err[-2000:]
    assert len(json.loads((tmp_path / "latency.json").read_text())["latencies"]) == 2
    assert (tmp_path / "reached").exists()
