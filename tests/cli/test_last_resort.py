"""The command line's top level: streams that cannot be written, impossible names, faults of harness itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.cli import main

LONG = "x" * 300
RUN = "reports/reference/slot_mapping-cpu"


def harness(*args: str, **kwargs) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *args]
    kwargs = {"stdout": subprocess.PIPE, **kwargs}
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **kwargs)


def ends(capsys, *args: str) -> tuple[int, str]:
    """Exit status and standard error of a command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(args)
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["run", LONG], 2, "cannot be read: File name too long"),
        (["run", "configs/slot_mapping.yaml", "--set", f"engine.model={LONG}"], 2, "engine.model: x"),
        (["run", "configs/slot_mapping.yaml", "--set", f"engine.model=./{LONG}/y"], 2, "engine.model: ./x"),
        (["run", "configs/slot_mapping.yaml", "--arms", f"{LONG}.py:Arm"], 2, "arms.1: "),
        (["run", "configs/trace.yaml", "--set", f"workload.file={LONG}"], 2, "workload.file: "),
        (["run", "configs/slot_mapping.yaml", "--set", "baseline={}"], 2, "baseline: input should be a valid string"),
        (["run", "configs/slot_mapping.yaml", "--set", "baseline={}", "--arms", "list"], 2, "baseline: "),
        (["run", "configs/slot_mapping.yaml", "--set", "engine.max_modl_len=3"], 2, "did you mean 'max_model_len'?"),
        (["run", "configs/slot_mapping.yaml", "--set", "probes=[gone.function]"], 2, "there is no module 'gone' here"),
        (["run", "configs/micro/all.yaml", "--set", f"include=[{LONG}]"], 2, "File name too long"),
        (["selftest", LONG], 2, "cannot be read: File name too long"),
        (["selftest", "--set", "engine.max_modl_len=3"], 2, "did you mean 'max_model_len'?"),
        (["selftest", "--seconds", "nan"], 2, "is no time"),
        (["selftest", "--seconds", "inf"], 2, "is not in the range"),
        (["selftest", "configs/micro/to_cpu.yaml"], 2, "kind: 'micro' starts no engine"),
        (
            ["selftest", "--usual-way", "3", "--set", "workload.output_tokens={uniform: {low: 1, high: 2}}"],
            2,
            "workload.output_tokens: vLLM's latency benchmark needs a constant number",
        ),
        (["doctor", LONG], 2, "cannot be read: File name too long"),
        (["flame", "--pid", "1", "--seconds", "nan"], 2, "is no time"),
        (["flame", "--pid", "1", "--seconds", "inf"], 2, "is not in the range"),
        (["flame", "--pid", "99999999999999999999999"], 2, "is not in the range"),
        (["flame", "--pid", "1", "--rate", "99999999999"], 2, "is not in the range"),
        (["report", LONG], 1, "File name too long"),
        (["compare", LONG, LONG], 1, "File name too long"),
    ],
)
def test_impossible_names_and_numbers_end_in_one_line_and_leave_no_folder(capsys, args, status, message) -> None:
    before = sorted(Path("reports").iterdir())
    found, said = ends(capsys, *args)
    assert (found, "fault of harness" in said) == (status, False)
    assert message in said
    assert sorted(Path("reports").iterdir()) == before


def test_a_list_on_a_terminal_of_another_encoding(tmp_path) -> None:
    (tmp_path / "c.yaml").write_text("title: Größe µ 2\n", encoding="utf-8")
    done = harness("list", "--configs", str(tmp_path), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"Gr\xf6\xdfe \xb5 2" in done.stdout


def test_a_list_names_a_config_that_is_nested_without_end(tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / "c.yaml").write_text("[" * 1000)
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as ended:
        main(["list", "--configs", str(tmp_path)])
    assert ended.value.code == 0
    assert "nested more than 40 levels deep" in " ".join(capsys.readouterr().out.split())


def test_a_list_passes_over_what_it_cannot_look_into(tmp_path, capsys, monkeypatch) -> None:
    """A pipe that nobody writes to, and folders that are gone when their turn comes."""
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "c.yaml").write_text("title: A good one\n")
    (tmp_path / "gone").mkdir()
    scan = os.scandir

    def scandir(path):
        if Path(path).name == "gone":
            raise OSError(22, "Invalid argument")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as ended:
        main(["list", "--configs", str(tmp_path)])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "A good one" in said
    assert "pipe.yaml" not in said


@pytest.mark.parametrize("args", [["report", RUN], ["report", RUN, "--format", "json"], ["list"], ["--help"]])
def test_a_full_device_is_said_in_one_line(args, tmp_path) -> None:
    import shutil

    if args[0] == "report":
        shutil.copytree(RUN, tmp_path / "run")
        args = ["report", str(tmp_path / "run"), *args[2:]]
    with Path("/dev/full").open("w") as full:
        done = harness(*args, stdout=full)
    (line,) = [each for each in done.stderr.splitlines() if not each.startswith("drawing")]
    assert line.startswith("harness: standard output cannot be written: No space left on device")
    assert done.returncode == 1


def test_a_reader_that_has_seen_enough_is_not_complained_to() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = harness("list", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_streams_that_are_closed_are_no_fault() -> None:
    command = f"{sys.executable} -m harness list >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0


class BadError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("a\nb"), r"KeyError: 'a\nb'"),
        (BadError(), "BadError: (its text cannot be had: __str__ raised ValueError)"),
        (RecursionError(), "RecursionError"),
    ],
)
def test_a_fault_of_harness_itself_is_one_line_and_a_file_with_the_details(
    monkeypatch, capsys, tmp_path, error, told
) -> None:
    def fail(path):
        raise error

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("harness.records.folder.read_run", fail)
    status, said = ends(capsys, "report", RUN)
    (line,) = said.splitlines()
    (details,) = tmp_path.iterdir()
    assert status == 1
    assert line.startswith("harness: a fault of harness itself: ")
    assert told in line
    assert line.endswith(f"; the details are in {details}")
    text = details.read_text()
    assert "Traceback" in text
    assert "in fail" in text


def test_where_the_details_cannot_be_written_the_line_is_said_all_the_same(monkeypatch, capsys) -> None:
    def fail(path):
        raise KeyError("a")

    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    monkeypatch.setattr("harness.records.folder.read_run", fail)
    assert ends(capsys, "report", RUN) == (1, "harness: a fault of harness itself: KeyError: 'a'\n")
