"""Folders that a stranger made: changed at random, and the ways to do harm that are known.

`report`, `compare` and `load_run` either do their work or refuse it with one of harness's own errors; they write
nothing outside of the folder, and nothing of it reaches the terminal or a page as anything but text.
By hand, with ten thousand drawn cases: python -m pytest --hypothesis-profile=long tests/test_fuzz_folders.py
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harness.analysis.frames import load_run
from harness.cli import cli
from harness.errors import HarnessError
from tests import foreign
from tests.fuzzing import cases

CASES = settings(
    cases(500), print_blob=True,
    phases=(Phase.explicit, Phase.generate),  # a case has few changes, and each takes long to try
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Path]:
    """Folders as harness writes them; they are copied before they are changed."""
    path = tmp_path_factory.mktemp("whole")
    return {
        "run": foreign.make_run_folder(path / "run"),
        "launches": foreign.make_launches_folder(path / "launches"),
        "micro": foreign.make_micro_folder(path / "micro"),
    }


@pytest.fixture
def without_plots(monkeypatch) -> None:
    """Plots are drawn of checked numbers and names alone, and take a hundred times as long as all the rest."""
    import harness.micro.plots
    import harness.report.plots

    monkeypatch.setattr(harness.report.plots, "draw_plots", lambda summary: [])
    monkeypatch.setattr(harness.micro.plots, "sweep_plot", lambda results: None)


def said(*arguments: str) -> tuple[str, str]:
    """What a command prints, and what it says beside that; it may refuse its work by one of harness's own errors."""
    printed, told, refusal = io.StringIO(), io.StringIO(), ""
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
        try:
            cli.main(arguments, standalone_mode=False)
        except HarnessError as error:
            refusal = str(error)
    assert "\n" not in refusal
    return printed.getvalue(), f"{told.getvalue()}{refusal}\n"


def change(draw, folder: Path, outside: Path) -> None:
    """One to three changes of a folder's files."""
    for _ in range(draw(st.integers(1, 3))):
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
        if not files:  # all are gone by the changes before
            return
        of_json, tables = ([file for file in files if file.suffix == suffix] for suffix in (".json", ".parquet"))
        file = draw(st.sampled_from([*of_json * 4, *tables * 2, *files]))
        if draw(st.integers(0, 5)) == 0:
            foreign.change_file(draw, file, outside)
            continue
        # A file that was changed before may not be what its change needs.
        with contextlib.suppress(ValueError, OSError, LookupError, TypeError, RecursionError, pa.ArrowException):
            if file.suffix == ".json":
                foreign.change_json(draw, file)
            elif file.suffix == ".parquet":
                foreign.change_table(draw, file)
            else:
                foreign.change_file(draw, file, outside)


def try_all(draw, whole: dict[str, Path], kind: str) -> None:
    with tempfile.TemporaryDirectory(prefix="harness-foreign-") as name:
        around = Path(name)
        outside = around / "outside"
        outside.mkdir()
        (outside / "own.txt").write_text("mine")
        folder = foreign.copy(whole[kind], around / "run[old]")
        change(draw, folder, outside / "own.txt")
        way = draw(st.sampled_from(["report", "report", "compare", "load"]))
        shape = draw(st.sampled_from(["terminal", "full", "markdown", "html", "json", "csv"]))
        page, beside = "", ""
        if way == "report":
            option = ["--full"] if shape == "full" else ["--format", shape]
            if not (kind == "micro" and shape == "csv"):
                page, beside = said("report", str(folder), *option)
        elif way == "compare":
            runs = [str(folder), str(whole["run"])]
            runs = runs[::-1] if draw(st.booleans()) else runs
            page, beside = said("compare", *runs, "--format", shape.replace("full", "csv"))
        else:
            with contextlib.suppress(HarnessError):
                load_run(folder)
        pages = {path.name: path.read_text() for path in folder.glob("report.*") if path.is_file()}
        pages |= {f"printed.{shape}": page} if way != "load" and shape in ("markdown", "html") else {}
        for text in (page, beside, *pages.values()):
            assert not [mark for mark in foreign.MARKS if mark in text]
        for name, text in pages.items():
            assert foreign.markup_in(name, text) == []
        assert {path.name for path in around.iterdir()} == {"outside", "run[old]"}
        assert [path.name for path in outside.iterdir()] == ["own.txt"]
        assert (outside / "own.txt").read_text() == "mine"


@given(data=st.data())
@CASES
def test_a_changed_folder_is_rendered_or_refused_in_one_line(whole, without_plots, data) -> None:
    try_all(data.draw, whole, data.draw(st.sampled_from(["run", "run", "run", "launches", "micro"])))


@given(data=st.data())
@settings(CASES, max_examples=CASES.max_examples // 50)
def test_its_plots_are_drawn_or_left_out(whole, data) -> None:
    try_all(data.draw, whole, data.draw(st.sampled_from(["run", "micro"])))
