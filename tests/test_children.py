"""Children of this process get their signals, whatever this process was started with, and do not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness.children import ENGINE_OWNER, begin_as_child
from harness.instrument import ptrace
from tests.processes import finish, runs, session_of, until

TOLD = "import signal; print(signal.getsignal(signal.SIGINT).__name__)"


def test_a_child_heeds_sigint_where_this_process_ignores_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = subprocess.run(
            [sys.executable, "-c", TOLD], capture_output=True, text=True, check=True, preexec_fn=begin_as_child
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.stdout == "default_int_handler\n"


def test_a_child_ends_with_the_process_that_started_it() -> None:
    sleeper = "import time; print(flush=True); time.sleep(600)"
    parent = subprocess.Popen(
        [sys.executable, "-c",
         "import subprocess, sys, time\n"
         "from harness.children import begin_as_child\n"
         f"child = subprocess.Popen([sys.executable, '-c', {sleeper!r}], stdout=subprocess.PIPE,\n"
         "                         preexec_fn=begin_as_child)\n"
         "child.stdout.readline(); print(child.pid, flush=True); time.sleep(600)"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    until("the child's end", lambda: not runs(child))


ENGINE_OF_ITS_OWN = """\
import multiprocessing, os, time
import harness.cli, harness.hosts.vllm
from harness.children import ENGINE_OWNER

def sleep():
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    os.environ[ENGINE_OWNER] = str(os.getpid())
    process = multiprocessing.get_context("{method}").Process(target=sleep)
    process.start()
    process.join()
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_an_engines_own_process_ends_with_the_process_that_started_it(tmp_path, method) -> None:
    """As vLLM starts it: by multiprocessing, which leaves nothing to be said before its code runs."""
    program = tmp_path / "program.py"
    program.write_text(ENGINE_OF_ITS_OWN.format(method=method))
    with session_of([str(program)], env={**os.environ, "PYTHONPATH": str(Path.cwd())}) as parent:
        parent.stdout.readline()
        parent.kill()
        status, *_ = finish(parent)  # fails where anything of it still runs
    assert status == -signal.SIGKILL


def test_an_engines_own_process_whose_owner_is_gone_ends_at_once() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = subprocess.run(
        [sys.executable, "-c", "import harness.cli; print('went on')"],
        env={**os.environ, ENGINE_OWNER: str(gone.pid)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")


def test_leave_to_trace_is_taken_back(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(ptrace.ctypes, "CDLL", lambda name: SimpleNamespace(prctl=lambda *args: calls.append(args)))
    ptrace.admit_tracers()
    ptrace.dismiss_tracers()
    assert [(option, which.value) for option, which, *_ in calls] == [(0x59616D61, 2**64 - 1), (0x59616D61, 0)]
