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
from harness.children import ENGINE_OWNER, tied_to_this_process
import harness.hosts.vllm

def start(method):
    os.environ[ENGINE_OWNER] = str(os.getpid())
    with tied_to_this_process():
        process = multiprocessing.get_context(method).Process(target=time.sleep, args=(600,))
        process.start()
    time.sleep({head_start})
    print(process.pid, flush=True)
    process.join()
"""
MAIN = "import sys; from own.program import start\nif __name__ == '__main__': start(sys.argv[1])\n"


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize("head_start", [0, 3])
def test_an_engines_own_process_ends_with_the_process_that_started_it(tmp_path, method, head_start) -> None:
    """As vLLM starts it, below `python -m PACKAGE`, which multiprocessing does not import in what it spawns."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "program.py").write_text(ENGINE_OF_ITS_OWN.format(head_start=head_start))
    (tmp_path / "own" / "__main__.py").write_text(MAIN)
    path = os.pathsep.join(map(str, (tmp_path, Path.cwd())))
    with session_of(["-m", "own", method], env={**os.environ, "PYTHONPATH": path}) as parent:
        assert int(parent.stdout.readline())
        parent.kill()
        status, *_ = finish(parent)  # fails where anything of it still runs
    assert status == -signal.SIGKILL


@pytest.mark.parametrize("forked", [False, True])
def test_an_engines_own_process_whose_owner_is_gone_ends_at_once(forked) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    by = gone.pid if forked else None
    done = subprocess.run(
        [sys.executable, "-c", f"from harness.children import end_with_engine_owner as end; end({by}); print('on')"],
        env={**os.environ, ENGINE_OWNER: str(gone.pid)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")


def test_leave_to_trace_is_taken_back(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(ptrace.ctypes, "CDLL", lambda name: SimpleNamespace(prctl=lambda *args: calls.append(args)))
    ptrace.admit_tracers()
    ptrace.dismiss_tracers()
    assert [(option, which.value) for option, which, *_ in calls] == [(0x59616D61, 2**64 - 1), (0x59616D61, 0)]
