"""Progress and the engine's output: what reaches the terminal, and that nothing runs beside the measured steps."""

from __future__ import annotations

import io
import itertools
import re
import subprocess
import sys
import threading

from rich.console import Console

from harness.cli.output import Terminal


def console(**kwargs) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=100, **kwargs), out


def test_on_a_terminal_no_thread_draws_and_stdout_stays_what_it_was() -> None:
    screen, out = console(force_terminal=True)
    before, threads = (sys.stdout, sys.stderr), threading.active_count()
    with Terminal(screen) as terminal:
        terminal.stage("measuring", 40, 90)
        assert "about 90 s" in out.getvalue()
        assert threading.active_count() == threads
        assert (sys.stdout, sys.stderr) == before
        for _ in range(7):
            terminal.advance()
    assert "7/40" in out.getvalue()
    assert re.search(r"about .* s left", out.getvalue())


def test_without_a_terminal_quarters_are_told_with_the_time_left() -> None:
    screen, out = console()
    readings = itertools.count()
    with Terminal(screen, clock=lambda: 3 * next(readings)) as terminal:
        terminal.stage("starting the engine", 0)
        terminal.stage("starting the engine", 0, 41.2)
        terminal.note(f"a note {'of many words ' * 9}stays on one line")
        terminal.stage("checking", 1)
        terminal.stage("measuring", 40, 118)
        for _ in range(40):
            terminal.advance()
    assert out.getvalue().splitlines() == [
        "starting the engine (some tens of seconds)",
        "starting the engine (about 41 s)",
        f"a note {'of many words ' * 9}stays on one line",
        "checking (1 pass)",
        "measuring (40 passes, about 2 min)",
        "  10 of 40 passes, about 90 s left",
        "  20 of 40 passes, about 60 s left",
        "  30 of 40 passes, about 30 s left",
        "  40 of 40 passes",
    ]


def test_what_the_engine_prints_goes_to_the_file_and_comes_back_afterwards(tmp_path) -> None:
    """Also from C++ and from child processes, which know only file descriptors."""
    program = """
import os, sys
from pathlib import Path
from harness.cli.output import engine_output_to
print("before")
with engine_output_to(Path(sys.argv[1])) as console:
    print("python out"); print("python err", file=sys.stderr)
    os.write(1, b"descriptor 1\\n"); os.system("echo child >&2")
    console.print("ours")
print("after")
"""
    log = tmp_path / "engine.log"
    done = subprocess.run([sys.executable, "-c", program, log], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
    assert done.stderr == "ours\n"
    assert sorted(log.read_text().split("\n")) == ["", "child", "descriptor 1", "python err", "python out"]
