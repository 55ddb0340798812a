"""An arm that hangs where nothing in its own process can end it: the guard does, and says so."""

from __future__ import annotations

import contextlib
import signal
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from harness.errors import HostError, RecordsError
from harness.hosts.processes import TRACKER, EngineProcesses
from harness.instrument.pulse import SIZE, Pulse, Watch
from harness.records.folder import RunFolder, read_facts, read_run
from harness.report import write_reports
from harness.running.guard import watch
from tests.analysis.test_summarise import make_run
from tests.processes import finish, runs, session_of, until
from tests.running.test_broken_arms import CHECKED, CONFIG, in_step, later

if TYPE_CHECKING:
    from pathlib import Path

RUN = """\
import sys
from pathlib import Path
from harness.config.file import load
from harness.records.folder import RunFolder
from harness.running.guard import guarded
from harness.running.instrumenting import instrument
from harness.running.run import Run
from tests.fakes import FakeHost, Silent

loaded = load(Path(sys.argv[1]), ["protocol.step_timeout_s=0.4"])
folder = RunFolder(Path(sys.argv[2]))
with guarded(folder.path, 0.4, [arm.name for arm in instrument(loaded).arms]) as pulse:
    run = Run(loaded, FakeHost(), folder, Silent())
    run.pulse = pulse
    outcome = run.execute()
print(outcome.message)
sys.exit(outcome.exit_status)
"""
ENDLESS = "sum(iter(int, 1))"
"""Keeps the interpreter to itself: no handler of a signal runs."""


@pytest.fixture
def start(tmp_path):
    def go(text: str, folder: Path = tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "arm.py").write_text(text)
        (folder / "config.yaml").write_text(CONFIG.format(file=folder / "arm.py"))
        return session_of(["-c", RUN, str(folder / "config.yaml"), str(folder / "run")])

    return go


HANGS = {
    "in the check": (in_step(ENDLESS), "at step 0", False),
    "at import": (f"{ENDLESS}\nclass Mine: pass", "while it was loaded", False),
    "while measured": (later(ENDLESS, 2 * CHECKED + 12), "at step", True),
}
"""What the arm is, where it does not return, and whether something was measured before."""


def test_an_arm_that_hangs_in_native_code_is_named_and_the_run_ended(start, tmp_path) -> None:
    """All at once: a guard has patience, and is waited for."""
    with contextlib.ExitStack() as stack:
        started = {name: stack.enter_context(start(text, tmp_path / name)) for name, (text, *_) in HANGS.items()}
        ended = {name: finish(process) for name, process in started.items()}
    for name, (_, where, rows) in HANGS.items():
        status, _, err = ended[name]
        assert status == -signal.SIGKILL, name
        message, folder = f"arm 'mine' did not return {where}", tmp_path / name / "run"
        assert message in err, name
        assert f"python -m harness report {folder}" in err
        records = read_run(folder)
        assert records.run["status"] == "failed"
        assert message in records.run["message"]
        assert bool(len(records.frame)) == rows
        write_reports(folder)


def test_a_guard_ends_with_its_run(start) -> None:
    with start(in_step("pass")) as process:
        status, out, err = finish(process)  # fails where anything still runs
    assert (status, err) == (0, ""), (out, err)


def test_a_guard_ends_when_its_run_is_killed(start) -> None:
    with start(in_step(f"if call > {CHECKED}: time.sleep(0.01)")) as process:
        running = psutil.Process(process.pid)
        until("the guard", lambda: process.poll() is not None or bool(running.children()))
        process.kill()
        status, *_ = finish(process)
    assert status == -signal.SIGKILL


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_whoever_watches_tells_a_slow_engine_from_an_arm_that_hangs(tmp_path) -> None:
    file = tmp_path / "pulse"
    file.write_bytes(bytes(SIZE))
    mine, theirs, clock = Pulse(str(file)), Pulse(str(file)), Clock()
    watch = Watch(theirs, 10.0, ["native", "mine"], clock)

    def after(seconds: float) -> str:
        found = [watch.hangs()]
        for _ in range(round(seconds)):
            clock.now += 1
            found.append(watch.hangs())
        return found[-1]

    assert after(1000) == ""  # between passes anything may take long
    mine.begin()
    mine.put(3, 1)
    assert after(watch.patience_s - 1) == ""
    mine.tick()  # the process itself finds that an engine's step takes long
    assert after(watch.patience_s - 1) == ""
    clock.now += 1000  # all of it was stopped by Ctrl-Z
    mine.put(4, 1)
    assert after(1) == ""
    clock.now += 1000
    assert watch.hangs() == ""
    assert after(watch.patience_s).startswith("arm 'mine' did not return at step 4 within 10 s")
    mine.end()
    assert watch.hangs() == ""


def test_patience_is_the_limit_and_a_half_and_five_seconds_of_no_sign_at_all(tmp_path) -> None:
    """A gap between two looks counts as half the limit at most, since all of it may have been stopped."""
    pulse, clock = Pulse(), Clock()
    watch = Watch(pulse, 4.0, ["native", "mine"], clock)
    pulse.begin()
    assert watch.hangs() == ""  # something new was seen
    for _ in range(5):
        clock.now += 100  # of which two seconds count
        assert watch.hangs() == ""
    clock.now += 0.9
    assert watch.hangs() == ""
    clock.now += 0.1
    assert watch.hangs() == (
        "arm 'native' did not return while it was loaded within 4 s (protocol.step_timeout_s), and could not be "
        "interrupted"
    )
    pulse.put(0, 1)
    assert watch.hangs() == ""
    for _ in range(5):
        clock.now += 2
        assert watch.hangs() == ""
    clock.now += 2
    assert watch.hangs().startswith("arm 'mine' did not return at step 0 within 4 s")


def test_without_a_limit_nothing_hangs() -> None:
    pulse, clock = Pulse(), Clock()
    watch = Watch(pulse, 0.0, ["native"], clock)
    pulse.begin()
    for _ in range(9):
        clock.now += 1000
        assert watch.hangs() == ""


class Input:
    """The guard's input as `select` sees it: it ends after so many looks."""

    def __init__(self, looks: int) -> None:
        self.left, self.timeouts = looks, []

    def select(self, read: list[object], write: list[object], other: list[object], timeout: float) -> Any:
        assert (read, write, other) == ([sys.stdin], [], [])
        self.timeouts.append(timeout)
        self.left -= 1
        return (read if self.left < 0 else [], [], [])


@pytest.fixture
def guard(tmp_path, monkeypatch):
    """The guard's own loop, in this process: of a run that hangs from some look on, or not at all."""
    (tmp_path / "pulse").write_bytes(bytes(SIZE))
    folder = RunFolder(tmp_path / "run")
    folder.write_run({**make_run(), "status": "running"})
    killed: list[tuple[int, int, str]] = []

    def kill(pid: int, number: int) -> None:
        killed.append((pid, number, read_facts(folder.path)["status"]))

    def go(hangs: list[str], looks: int) -> tuple[int, Input, list[tuple[int, int, str]]]:
        told, stdin = iter(hangs), Input(looks)
        monkeypatch.setattr("harness.running.guard.select", stdin)
        monkeypatch.setattr("harness.running.guard.os.kill", kill)
        monkeypatch.setattr("harness.running.guard.Watch", lambda *_: SimpleNamespace(hangs=lambda: next(told)))
        before = signal.getsignal(signal.SIGINT)
        try:
            status = watch(str(tmp_path / "pulse"), folder.path, 8.0, ["native"], 4321)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)
        assert not (tmp_path / "pulse").exists()
        return status, stdin, killed

    return go


def test_a_guard_looks_four_times_within_the_limit_and_goes_when_its_input_ends(guard, tmp_path, capsys) -> None:
    status, stdin, killed = guard(["", "", ""], 3)
    assert (status, killed, stdin.timeouts) == (0, [], [2.0] * 4)
    assert read_facts(tmp_path / "run")["status"] == "running"
    assert capsys.readouterr().err == ""


def test_a_run_is_stopped_before_its_end_is_written_and_killed_after(guard, tmp_path, capsys) -> None:
    status, stdin, killed = guard(["", "arm 'a' hangs"], 99)
    assert status == 0
    assert killed == [(4321, signal.SIGSTOP, "running"), (4321, signal.SIGKILL, "failed")]
    assert len(stdin.timeouts) == 2
    facts = read_facts(tmp_path / "run")
    message = "arm 'a' hangs; the run was ended, and what had been measured is kept"
    assert (facts["status"], facts["exit_status"], facts["message"]) == ("failed", 1, message)
    assert facts["steps"] == make_run()["steps"], "what had been written before stays"
    assert capsys.readouterr().err == (
        f"harness: {message}\nharness: its table: python -m harness report {tmp_path / 'run'}\n"
    )


def test_a_run_that_hangs_is_killed_also_where_its_end_cannot_be_written(guard, tmp_path) -> None:
    (tmp_path / "run" / "run.json").write_text("no JSON")
    with pytest.raises(RecordsError):
        guard(["arm 'a' hangs"], 99)


def test_an_engine_of_its_own_process_that_hangs_is_ended_and_said() -> None:
    class Hangs:
        def hangs(self) -> str:
            return "arm 'mine' did not return"

    processes = EngineProcesses()
    with session_of(["-c", "import time; time.sleep(600)"]) as engine:
        processes.gather()
        victim = psutil.Process(engine.pid)
        processes.watch = Hangs()
        with pytest.raises(HostError, match="arm 'mine' did not return; the engine was ended"):
            processes.call(lambda: until("never", lambda: engine.poll() is not None))
        until("the end of the engine", lambda: not runs(victim))


TRACKED = """\
import multiprocessing, time

multiprocessing.get_context("spawn").Lock()  # has Python start its resource tracker
print("there", flush=True)
time.sleep(600)
"""


def test_an_engine_is_ended_and_the_tracker_of_what_it_shares_is_left_to_clear_up(monkeypatch) -> None:
    """A tracker heeds no SIGTERM: an end that waits for it takes as long as it waits for what hangs."""
    terminated: list[int] = []
    terminate = psutil.Process.terminate
    monkeypatch.setattr(psutil.Process, "terminate", lambda self: (terminated.append(self.pid), terminate(self)))
    processes = EngineProcesses()
    with session_of(["-c", TRACKED]) as engine:
        assert engine.stdout.readline() == "there\n"
        victim = psutil.Process(engine.pid)
        until("the tracker", lambda: any(TRACKER in " ".join(child.cmdline()) for child in victim.children()))
        processes.gather()
        processes.end()
        assert not runs(victim)
        assert terminated == [victim.pid]
