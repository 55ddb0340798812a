"""How the program ends: with its status and all that it has to say, and without freeing what it holds."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import harness.__main__
from tests.processes import HANG_S

PROGRAM = """\
import atexit, sys, threading, time
from harness.cli.leaving import leave_at_once

class Held:
    def __del__(self):
        print("freed")

held = Held()

def program():
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    atexit.register(print, "handler")
    print("said", end=" ")
    {end}

{before}
leave_at_once(program)
"""


def ended(end: str, before: str = "") -> tuple[int, str]:
    text = PROGRAM.format(end=end, before=before)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=HANG_S, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit(3)", 3), ("sys.exit(0)", 0), ("sys.exit()", 0), ("sys.exit('why')", 1)]
)
def test_threads_and_handlers_come_to_their_end_and_nothing_is_freed(end, status) -> None:
    assert ended(end) == (status, "said thread\nhandler\n")


@pytest.mark.parametrize("end", ["1 / 0", "return"])
def test_what_does_not_exit_ends_as_ever(end) -> None:
    assert ended(end) == (int(end == "1 / 0"), "said thread\nhandler\nfreed\n")


@pytest.mark.parametrize("tool", ["settrace", "setprofile"])
def test_whoever_looks_at_the_program_sees_its_end(tool) -> None:
    before = f"atexit.register(print, 'seen')\nsys.{tool}(lambda *event: None)"
    status, said = ended("sys.exit(1)", before)
    assert (status, said.splitlines()[:3]) == (1, ["said thread", "handler", "seen"])


def test_the_installed_program_is_the_one_that_python_runs() -> None:
    (program,) = entry_points(group="console_scripts", name="harness")
    assert program.load() is harness.__main__.program
