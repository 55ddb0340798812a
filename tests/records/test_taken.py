"""A folder is one run's, from before anything is started until that run has ended in any way."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from harness.errors import ConfigError
from harness.records.folder import RunFolder
from tests.processes import finish, session_of

if TYPE_CHECKING:
    from pathlib import Path

TAKES = """\
import sys, time
from pathlib import Path
from harness.records.folder import RunFolder
from harness.errors import ConfigError

there = Path(sys.argv[2])
there.touch()
while len(list(there.parent.glob("ready-*"))) < 3:
    pass
try:
    folder = RunFolder(Path(sys.argv[1]))
    print("taken", folder.note, flush=True)
    sys.stdin.read()
    if len(sys.argv) > 3:
        folder.close()
except ConfigError as error:
    print(error, flush=True)
"""


def taking(folder: Path, ready: Path, *more: str):
    return session_of(["-c", TAKES, str(folder), str(ready), *more], stdin=-1)


@pytest.mark.parametrize("turn", range(3))
def test_of_runs_that_start_in_the_same_instant_one_has_the_folder(tmp_path, turn) -> None:
    folder = tmp_path / "run"
    names = [tmp_path / f"ready-{number}" for number in range(3)]
    with taking(folder, names[0]) as one, taking(folder, names[1]) as two, taking(folder, names[2]) as three:
        said = sorted(process.stdout.readline().strip() for process in (one, two, three))
    assert said == [f"another run is at work in {folder}; name another folder with --out"] * 2 + ["taken"]


@pytest.fixture
def alone(tmp_path) -> Path:
    """The programs above wait for three of them."""
    for number in range(2):
        (tmp_path / f"ready-{number}").touch()
    return tmp_path / "ready-2"


def test_a_run_that_died_before_it_measured_leaves_a_folder_that_is_free_and_told_to_be(tmp_path, alone) -> None:
    folder = tmp_path / "run"
    with taking(folder, alone) as process:
        assert process.stdout.readline().strip() == "taken"
        with pytest.raises(ConfigError, match="another run is at work in"):
            RunFolder(folder)
        process.kill()
        finish(process)
    again = RunFolder(folder)
    assert again.note == f"{folder} was left by a run that died before it measured anything; it is free, and taken anew"
    again.close()
    assert RunFolder(folder).note == ""


def test_a_run_that_died_with_passes_keeps_them(tmp_path, alone) -> None:
    folder = tmp_path / "run"
    with taking(folder, alone) as process:
        process.stdout.readline()
        (folder / "passes").mkdir()
        (folder / "passes" / "0000.parquet").touch()
        process.send_signal(signal.SIGKILL)
        finish(process)
    for _ in range(2):
        with pytest.raises(
            ConfigError, match="already holds a run that died before its end, with what it had measured"
        ):
            RunFolder(folder)


def test_a_run_that_ended_leaves_no_mark(tmp_path, alone) -> None:
    folder = tmp_path / "run"
    with taking(folder, alone, "ends") as process:
        process.stdout.readline()
        process.stdin.close()
        process.stdin = None
        finish(process)
    assert list(folder.iterdir()) == []


def test_a_forked_copy_does_not_let_go_of_the_folder(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    if (child := os.fork()) == 0:
        folder.close()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(ConfigError, match="another run is at work"):
        RunFolder(tmp_path / "run")


def test_a_second_run_is_refused_in_one_line_before_anything_is_started(tmp_path) -> None:
    held = RunFolder(tmp_path / "run")
    command = ["-m", "harness", "run", "configs/slot_mapping.yaml", "--out", str(held.path)]
    with session_of(command) as process:
        status, out, err = finish(process)
    assert (status, out) == (2, "")
    assert err == f"harness: another run is at work in {held.path}; name another folder with --out\n"
    assert [path.name for path in held.path.iterdir()] == [".taken"]
