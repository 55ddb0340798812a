"""Reports of a stranger's text: what it says is shown, on the terminal and in every page, and nothing else happens."""

from __future__ import annotations

import errno
import json
import os
import re

import pytest

from harness.cli import cli
from harness.errors import RecordsError
from harness.records.folder import RunFolder
from harness.report import write_reports
from tests import foreign
from tests.records.test_foreign import change

TITLE = "One\n# two \x1b[31m <script>alert(1)</script> [a](javascript:x) `c` [bold]"


@pytest.fixture
def folder(tmp_path):
    folder = foreign.make_run_folder(tmp_path / "run")
    for key in ("config/title", "message", "equality/wrong/reason", "selftest", "machine/cpu", "host/version"):
        change(folder, key, TITLE)
    change(folder, "status", "failed")
    (folder / "javascript:alert(1)").write_text("")
    (folder / "a](x.svg").write_text("")
    return folder


def report(capsys, *arguments: str) -> tuple[int, str, str]:
    status = cli.main(["report", *map(str, arguments)], standalone_mode=False)
    captured = capsys.readouterr()
    return status or 0, captured.out, captured.err


def test_every_page_shows_it_as_text(folder) -> None:
    write_reports(folder)
    page = (folder / "report.html").read_text()
    assert foreign.markup_in("report.html", page) == []
    assert '<a href="javascript%3Aalert%281%29">' in page
    text = (folder / "report.md").read_text()
    assert not re.search(r"(?<!\\)<script|(?<=\])\(javascript:|^# two|\x1b", text, re.MULTILINE)
    assert r"## One # two \\x1b[31m \<script>alert(1)\</script> [a]\(javascript:x) \`c\` [bold]" in text
    assert "[javascript:alert(1)](javascript%3Aalert%281%29)" in text


@pytest.mark.parametrize("way", [["--full"], ["--format", "terminal"], ["--format", "json"], ["--format", "csv"]])
def test_the_terminal_shows_it_as_text(folder, capsys, way) -> None:
    _, out, _ = report(capsys, folder, *way)
    assert "\x1b" not in out
    assert "\n# two" not in out
    if way[-1] != "csv":
        assert "[bold]" in " ".join(out.split())


@pytest.mark.parametrize("shape", ["terminal", "markdown", "html", "json", "csv"])
def test_compare_shows_names_of_folders_as_they_are(tmp_path, capsys, shape) -> None:
    runs = [foreign.make_run_folder(tmp_path / name, seed) for seed, name in enumerate(("run[old]", "[slash] [x]"))]
    change(runs[0], "config/engine", {"<b>\x1b": "<i>", "one": {"deep": ["x" * 5000]}})
    cli.main(["compare", *map(str, runs), "--format", shape], standalone_mode=False)
    out = capsys.readouterr().out
    assert "run[old]" in out
    assert "[slash] [x]" in out
    assert "\x1b" not in out
    if shape in ("markdown", "html"):
        assert not re.search(r"(?<!\\)<[bi]>", out.replace("<b>\\", "<b>") if shape == "html" else out.replace("`", ""))


def test_a_folder_named_like_markup_does_not_end_compare(tmp_path, capsys) -> None:
    runs = [foreign.make_run_folder(tmp_path / name) for name in ("run", "run[", "run[bold]")]
    cli.main(["compare", *map(str, runs)], standalone_mode=False)
    assert "run[bold]" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["run", "micro"])
@pytest.mark.parametrize("shape", ["terminal", "markdown", "html", "json", "csv"])
def test_what_was_asked_for_is_printed_where_nothing_can_be_written(tmp_path, capsys, monkeypatch, kind, shape) -> None:
    if (kind, shape) == ("micro", "csv"):
        pytest.skip("micro-benchmarks have none")
    make = {"run": foreign.make_run_folder, "micro": foreign.make_micro_folder}[kind]
    folder = make(tmp_path / "run")
    status, whole, _ = report(capsys, folder, "--format", shape)
    assert status == 0

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(os, "fsync", refuse)
    status, out, err = report(capsys, folder, "--format", shape)
    assert status == 1
    told = [line for line in err.splitlines() if line.startswith("harness: ")]
    assert len(told) == 1
    assert re.search(r"cannot be written: Read-only file system; the report is printed, but not written$", told[0])
    assert out == (whole if shape != "terminal" else whole[: whole.index(f"\n{folder}/report.md")])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_full_disk_is_an_error_for_programs(folder, monkeypatch) -> None:
    monkeypatch.setattr(RunFolder, "_write", lambda *_: (_ for _ in ()).throw(RecordsError("full")))
    with pytest.raises(RecordsError, match="full"):
        write_reports(folder)


def test_a_micro_folder_is_checked(tmp_path, capsys) -> None:
    folder = foreign.make_micro_folder(tmp_path / "run")
    change(folder, "benchmarks/0/title", TITLE, "micro.json")
    for shape in ("terminal", "markdown", "html"):
        _, out, _ = report(capsys, folder, "--format", shape)
        assert not re.search(r"(?<!\\)<script|\x1b|^# two", out if shape != "terminal" else out.replace("<script", ""))
    change(folder, "benchmarks/0/rows/0/timings/list/rounds_s", [0.0, 1.0], "micro.json")
    with pytest.raises(RecordsError, match=r"micro\.json: benchmarks\.0\.rows\.0\.timings\.list\.rounds_s\.0: "):
        report(capsys, folder)
    (folder / "micro.json").write_text(json.dumps({"schema": 1, "benchmarks": [{}]}))
    with pytest.raises(RecordsError, match=r"micro\.json: benchmarks\.0\.benchmark: is missing"):
        report(capsys, folder)
