"""Children of this process get their signals, whatever this process was started with, and do not outlive it."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil

from harness.children import begin_as_child
from tests.processes import runs, until

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
