"""How `harness run` ends where something comes in between, without an engine."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from harness import cli
from harness.children import ENGINE_OWNER
from harness.cli import executing
from harness.config.experiment import Host as HostConfig
from harness.hosts.vllm import VllmHost
from harness.records.folder import read_run
from harness.running.run import Run
from tests.fakes import FakeHost, Silent
from tests.processes import HANG_S, finish, runs, session_of, until

CONFIG = """\
engine: {model: none}
workload: {requests: 3, prompt_tokens: 6, output_tokens: 5}
seam: slot_mapping
arms: [list, numpy]
protocol: {groups: 5, bare: false, counters: false}
"""


@pytest.fixture
def handlers():
    """A run has signals end it until its process ends, which here goes on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("where", ["harness.analysis.summarise.summarise", "harness.report.write_reports"])
@pytest.mark.parametrize(("last_pass", "told", "status"), [
    (1000, "all has been measured", "complete"), (8, "what was measured is kept", "interrupted"),
])  # fmt: skip
def test_ctrl_c_while_the_report_is_made_says_what_there_is_and_what_makes_it(
    tmp_path, monkeypatch, capsys, handlers, where, last_pass, told, status
) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        if index == last_pass:
            raise KeyboardInterrupt

    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    def execute(loaded, folder, *_):
        return Run(loaded, FakeHost(before_pass=before_pass), folder, Silent()).execute()

    config, folder = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(CONFIG)
    monkeypatch.setattr(executing, "execute", execute)
    monkeypatch.setattr(where, interrupted)
    monkeypatch.setattr(sys, "argv", ["harness", "run", str(config), "--out", str(folder)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        f"harness: interrupted while the report was made; {told}, and python -m harness report {folder} makes it"
    )
    assert read_run(folder).run["status"] == status
    assert not (folder / ".taken").exists()


ON_A_TERMINAL = """\
import sys, time
from pathlib import Path
from rich.console import Console
from harness import signals
from harness.cli.output import Terminal
from harness.config.file import load
from harness.records.folder import RunFolder
from harness.running.run import Run
from tests.fakes import FakeHost, Runner

signals.heed()
folder = RunFolder(Path(sys.argv[2]))
with Terminal(Console(stderr=True)) as terminal:
    run = Run(load(Path(sys.argv[1])), FakeHost(runner=Runner(work=lambda: time.sleep(0.05))), folder, terminal)
    outcome = run.execute()
print(outcome.message, flush=True)
Path(sys.argv[3]).write_text(outcome.message)
"""


def test_a_lost_connection_ends_a_run_with_its_ending(tmp_path) -> None:
    """The terminal is gone by then, so that what would be written there raises."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    folder, ending = tmp_path / "run", tmp_path / "ending"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, str(tmp_path / "config.yaml"), str(folder), str(ending)],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    try:
        until(
            "a measured pass, or the end",
            lambda: any(folder.glob("passes/*.parquet")) or process.poll() is not None,
        )
        os.close(ours)  # the system sends SIGHUP
        process.wait(HANG_S)
    finally:
        process.kill()
        process.wait()
    assert ending.read_text().startswith("interrupted; ")
    assert read_run(folder).run["status"] == "interrupted"


def test_a_second_ctrl_c_while_an_engine_of_its_own_stops_leaves_no_process() -> None:
    host = VllmHost(HostConfig(process="subprocess"), {"model": "none"})

    class Slow:
        @property
        def llm_engine(self):
            raise KeyboardInterrupt

    ignoring = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    with session_of(["-c", ignoring]) as process:
        process.stdout.readline()
        host._llm = Slow()
        host._processes.gather()
        engine = psutil.Process(process.pid)
        original, psutil.wait_procs = psutil.wait_procs, interrupted_once(psutil.wait_procs)
        try:
            with pytest.raises(KeyboardInterrupt):
                host.stop()
        finally:
            psutil.wait_procs = original
        until("the engine's end", lambda: not runs(engine))
        finish(process)


def interrupted_once(function):
    """A third Ctrl-C, while the processes are waited for."""
    calls = []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    return interrupted


def test_an_interrupted_start_of_an_engine_of_its_own_leaves_no_process(monkeypatch) -> None:
    """Its processes are there before anything holds the engine."""
    started = []

    class Interrupted:
        def __init__(self, **_: object) -> None:
            started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
            raise KeyboardInterrupt

    host = VllmHost(HostConfig(process="subprocess"), {"model": "none"})
    arguments = dataclasses.make_dataclass("EngineArgs", list(host.engine_args))
    platform = SimpleNamespace(device_type="cpu", is_cpu=lambda: False)
    for name, attributes in {
        "vllm": {"LLM": Interrupted, "__version__": "1.0"},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"EngineArgs": arguments},
        "vllm.platforms": {"current_platform": platform},
    }.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    with session_of(["-c", "import time; print(flush=True); time.sleep(600)"]) as bystander:
        bystander.stdout.readline()
        host = VllmHost(HostConfig(process="subprocess"), {"model": "none"})
        with pytest.raises(KeyboardInterrupt):
            host.start()
        host.stop()
        until("the end of what was started", lambda: started[0].poll() is not None)
        assert bystander.poll() is None
    assert ENGINE_OWNER not in os.environ
