"""py-spy: the real one on processes of our own, and one that is played where it has to fail."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.config.experiment import Flamegraph
from harness.errors import HostError, ProfilerError
from harness.sampling import pyspy
from harness.sampling.attach import runner_process, sample_process, seen_most, title
from harness.sampling.pyspy import Recorder, find_py_spy
from harness.sampling.sampled import Recording
from harness.sampling.stacks import cut, parse
from tests.cli.test_cli import harness
from tests.fakes import FakeHost, Runner
from tests.processes import HANG_S, runs, until

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY = """\
import time
def _prepare_inputs():
    until = time.monotonic() + 0.01
    while time.monotonic() < until: pass
"""


@contextlib.contextmanager
def running(program: str) -> Iterator[int]:
    """A Python process that is at work on `program`, or has printed a line if it does so itself; its id."""
    command = ["python", "-c", program if "print(" in program else f"print(flush=True)\n{program}"]
    process = subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def may_attach() -> str:
    """Why py-spy may not attach here; empty where it may."""
    try:
        with running("while True: pass") as pid, Recorder(pid, 100):
            time.sleep(0.05)
    except ProfilerError as error:
        return str(error)
    return ""


REFUSED = may_attach()
attaches = pytest.mark.skipif(bool(REFUSED), reason=REFUSED)
LOOP = f"{BUSY}while True: _prepare_inputs()"


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["", "SIGINT ignored"])
def sigint(request) -> Iterator[None]:
    """As in a terminal, and as below `harness ... &` in a script, or nohup."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@attaches
def test_what_a_process_does_is_seen(sigint) -> None:
    with running(LOOP) as pid, Recorder(pid, rate_hz=200) as recorder:
        time.sleep(1)
    found = recorder.sampled
    assert found.samples > 20
    inside = sum(cut(parse(found.folded), "_prepare_inputs").values())
    assert inside > 0.8 * found.samples
    assert found.seconds >= 1
    assert psutil.Process().children() == []


@attaches
def test_a_process_that_ends_meanwhile_leaves_what_was_seen() -> None:
    with running(LOOP) as pid, Recorder(pid, rate_hz=200) as recorder:
        time.sleep(0.5)
        os.kill(pid, signal.SIGKILL)
        until("py-spy's end with the process", lambda: not recorder.sampling)
    assert recorder.sampled.samples > 0


@attaches
def test_an_error_inside_ends_py_spy_and_passes_on() -> None:
    with running(LOOP) as pid:
        with pytest.raises(KeyboardInterrupt), Recorder(pid, rate_hz=100) as recorder:
            raise KeyboardInterrupt
        assert not recorder.sampling
        assert psutil.Process(pid).status() != psutil.STATUS_STOPPED


@pytest.mark.parametrize("pid", [2**22 - 1, os.getpid()], ids=["none", "its own"])
def test_a_process_that_is_not_there_is_said(pid, monkeypatch, tmp_path) -> None:
    if pid == os.getpid():  # no Python in it, as far as py-spy can tell
        play(monkeypatch, tmp_path, "echo 'Error: Failed to find python version from target process' >&2; exit 1")
    with pytest.raises(ProfilerError, match=f"no process {pid}|process {pid} is no Python process"), Recorder(pid, 100):
        pass


def play(monkeypatch, tmp_path, script: str) -> None:
    """Put a shell script in py-spy's place."""
    program = tmp_path / "py-spy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(pyspy, "find_py_spy", lambda: str(program))


SAMPLING = "echo 'py-spy> Sampling process 100 times a second. Press Control-C to exit.'"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'Permission Denied: Try running again with elevated permissions' >&2; exit 1", "--cap-add SYS_PTRACE"),
        ("echo 'Error: Operation not permitted (os error 1)'; exit 1", "kernel.yama.ptrace_scope to 0"),
        ("echo 'Error: something else'; exit 1", "py-spy gave up on process 1: something else"),
        ("exit 1", "it ended without a reason"),
        (
            f"{SAMPLING}; echo 'Error: No space left on device'; sleep 0.3; exit 1",
            "py-spy gave up on process 1: No space left on device",
        ),
        (f"trap 'exit 0' INT; {SAMPLING}; while :; do sleep 0.05; done", "process 1: it ended without a reason"),
    ],
)
def test_why_it_did_not_go_is_one_line_with_the_mend(script, message, monkeypatch, tmp_path) -> None:
    play(monkeypatch, tmp_path, script)
    with pytest.raises(ProfilerError) as caught, Recorder(1, 100):
        pass
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_falling_behind_is_read(monkeypatch, tmp_path) -> None:
    script = f"""
    out=$7
    finish() {{ echo 'main (a.py:1) 7' > "$out"; echo "py-spy> Wrote data to '$out'. Samples: 7 Errors: 2"; exit 0; }}
    trap finish INT
    {SAMPLING}
    echo 'py-spy> 0.70s behind in sampling, results may be inaccurate. Try reducing the sampling rate'
    echo 'py-spy> 1.25s behind in sampling, results may be inaccurate. Try reducing the sampling rate'
    while :; do sleep 0.05; done"""
    play(monkeypatch, tmp_path, script)
    with Recorder(1, 100) as recorder:
        pass
    found = recorder.sampled
    assert (found.folded, found.samples, found.errors, found.behind_s) == ("main (a.py:1) 7\n", 7, 2, 1.25)


def test_a_missing_py_spy_is_said_with_the_mend(monkeypatch) -> None:
    monkeypatch.setattr(pyspy.sys, "executable", "/nowhere/python")
    monkeypatch.setattr(pyspy.shutil, "which", lambda name: None)
    with pytest.raises(ProfilerError, match="pip install py-spy"):
        find_py_spy()


# A run's own recordings.


class Busy(Runner):
    """A runner whose preparation takes a millisecond of real work."""

    def _prepare_inputs(self, scheduler_output) -> None:
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass
        super()._prepare_inputs(scheduler_output)


@attaches
def test_a_run_records_each_arm_after_everything_else(make_run_of_list) -> None:
    host = FakeHost(clock=time.perf_counter_ns, runner=Busy())
    run = make_run_of_list(host, "arms=[list, numpy]", "protocol.groups=3", "flamegraph.seconds=0.7")
    run.flamegraphs = True
    assert run.execute().status == "complete"
    assert run.observer.stages[-1] == ("flamegraphs: each arm under py-spy", 2)
    measured = len(host.passes) - host.passes[::-1].index("check")  # the last check follows the measured passes
    assert "mixed" in host.passes[:measured]
    assert set(host.passes[measured:]) == {"bare"}  # never those that are measured
    assert list(run.facts["flamegraphs"]) == ["list", "numpy"]
    for arm, facts in run.facts["flamegraphs"].items():
        found = Recording(**facts)
        stacks = parse((run.folder.path / "flamegraphs" / f"{arm}.folded").read_text())
        assert sum(stacks.values()) == found.scope_samples > 10
        assert {stack[0].function for stack in stacks} == {"_prepare_inputs"}
        assert found.scope_samples <= found.step_samples <= found.samples
        assert found.steps == found.passes * 5
        assert found.step_us > 1000


@attaches
def test_a_whole_recording_keeps_every_stack(make_run_of_list) -> None:
    run = make_run_of_list(FakeHost(clock=time.perf_counter_ns, runner=Busy()), "protocol.groups=3",
                           "flamegraph={seconds: 2, whole: true}")  # fmt: skip
    run.flamegraphs = True
    run.execute()
    assert "flamegraphs_missing" not in run.facts, run.facts["flamegraphs_missing"]
    stacks = parse((run.folder.path / "flamegraphs/list.folded").read_text())
    assert "MainThread" in {stack[0].name for stack in stacks}
    assert sum(cut(stacks, "_prepare_inputs").values()) == run.facts["flamegraphs"]["list"]["scope_samples"]


def test_a_run_goes_on_without_py_spy_and_says_so(make_run_of_list, monkeypatch, tmp_path) -> None:
    play(monkeypatch, tmp_path, "echo 'Permission Denied' >&2; exit 1")
    run = make_run_of_list(FakeHost(), "protocol.groups=3")
    run.flamegraphs = True
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 0)
    assert "--cap-add SYS_PTRACE" in run.facts["flamegraphs_missing"]
    assert "flamegraphs" not in run.facts
    assert "there will be no flamegraphs: py-spy may not attach" in run.observer.notes[0]


@attaches
@pytest.mark.parametrize("fault", [HostError("the engine died"), ProfilerError("py-spy gave up")])
def test_a_fault_while_sampling_keeps_what_was_measured_and_the_run_complete(make_run_of_list, fault) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        if host.passes.count("bare") > 9:  # the second arm's recording
            raise fault

    host = FakeHost(time.perf_counter_ns, Busy(), before_pass)
    run = make_run_of_list(host, "arms=[list, numpy]", "protocol.groups=3", "flamegraph.seconds=0.2")
    run.flamegraphs = True
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 0)
    assert run.facts["flamegraphs_missing"] == str(fault)
    assert run.facts["passes_done"] == run.facts["passes_planned"]


def test_without_being_asked_for_nothing_is_sampled(make_run_of_list) -> None:
    run = make_run_of_list(FakeHost(), "protocol.groups=3")
    run.execute()
    assert "flamegraphs" not in run.facts
    assert not (run.folder.path / "flamegraphs").exists()


# An engine that harness did not start.


def test_the_process_that_runs_the_model_is_found_by_the_title_that_vllm_gives_it() -> None:
    spawn = (
        "import subprocess, sys, time\n"
        "for name in {}:\n"
        "    subprocess.Popen([name, '-c', 'import time; time.sleep(60)'], executable={!r})\n"
        "print(flush=True); time.sleep(60)"
    )
    for names, expected in (
        (["VLLM::EngineCore", "other"], "VLLM::EngineCore"),
        (["VLLM::EngineCore", "VLLM::Worker_TP1", "VLLM::Worker_TP0"], "VLLM::Worker_TP0"),
        (["other"], "python"),
    ):
        with running(spawn.format(names, sys.executable)) as pid:
            found, children = title(runner_process(pid)), psutil.Process(pid).children()
            for child in children:
                child.kill()
        assert found.startswith(expected)
    assert runner_process(os.getpid()).pid == os.getpid()


@attaches
def test_a_running_process_is_sampled_until_it_ends() -> None:
    ends = f"{BUSY}until = time.monotonic() + 1.5\nwhile time.monotonic() < until: _prepare_inputs()"
    with running(ends) as pid:
        flame, _ = sample_process(pid, Flamegraph(seconds=HANG_S), "_prepare_inputs")
    assert 700 < flame.scope_time < 1300  # all the time; py-spy draws the intervals between its looks
    assert flame.unit == "ms a second"
    assert flame.recording.slow_down is None
    assert flame.recording.seconds < HANG_S


@attaches
def test_a_mostly_idle_process_is_not_taken_for_a_busy_one() -> None:
    with running(f"{BUSY}while True:\n    _prepare_inputs()\n    time.sleep(0.09)") as pid:
        flame, _ = sample_process(pid, Flamegraph(seconds=3), "_prepare_inputs")
    assert 30 < flame.scope_time < 300  # 100 ms a second, from some 60 of 600 looks


@attaches
def test_flame_writes_a_picture_and_says_what_is_not_known(tmp_path) -> None:
    with running(LOOP) as pid:
        done = harness("flame", "--pid", str(pid), "--seconds", "0.5", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert "of them in _prepare_inputs" in done.stdout
    assert "How much it slowed the process is not known" in done.stdout
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"flame.svg", "flame.folded", "flame.speedscope.json", "flame.json"}


def test_an_out_that_cannot_be_made_is_refused_before_anything_is_sampled(tmp_path) -> None:
    (tmp_path / "out").write_text("a file")
    done = harness("flame", "--pid", str(os.getpid()), "--seconds", "60", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be made" in done.stderr
    assert "Traceback" not in done.stderr


@attaches
def test_py_spy_ends_with_the_process_that_started_it(tmp_path) -> None:
    with running(LOOP) as pid:
        command = [sys.executable, "-m", "harness", "flame", "--pid", str(pid), "--out", str(tmp_path / "out")]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}  # killed, it cannot clear away after itself
        flame = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        spies: list[psutil.Process] = []

        def started() -> bool:
            spies[:] = [child for child in psutil.Process(flame.pid).children() if "record" in child.cmdline()]
            return bool(spies)

        try:
            until("py-spy's start", started)
        finally:
            flame.kill()
            flame.wait()
        until("py-spy's end", lambda: not any(map(runs, spies)))


@attaches
def test_flame_of_a_process_that_does_something_else_keeps_what_it_saw(tmp_path) -> None:
    with running("while True: sum(range(1000))") as pid:
        done = harness("flame", "--pid", str(pid), "--seconds", "0.3", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert (
        "none of them in _prepare_inputs (mostly in <module>): is it serving requests? --whole shows all" in done.stderr
    )
    assert seen_most(parse((tmp_path / "out/whole.folded").read_text())) == ["<module>"]


def test_flame_of_no_process_is_one_line() -> None:
    done = harness("flame", "--pid", str(2**22 - 1))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == f"harness: there is no process {2**22 - 1}"
