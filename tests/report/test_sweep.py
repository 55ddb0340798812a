"""A sweep's report: on a terminal, as Markdown, as a page, as JSON and CSV; a stranger's folder is shown as text."""

from __future__ import annotations

import csv
import io
import json

import pytest

from harness.analysis.sweep import summarise_sweep
from harness.errors import RecordsError
from harness.records.folder import RunFolder
from harness.records.sweep import is_sweep, read_sweep
from harness.report.console import make_console
from harness.report.sweep import print_sweep, render_sweep, sweep_frame_csv, write_sweep
from tests import foreign
from tests.analysis.test_sweep import AXIS, make_sweep

HOSTILE = "<script>alert(1)</script> \x1b[31m | [a](javascript:x)"


@pytest.fixture
def sweep():
    return summarise_sweep(make_sweep(20, 8, -8, -20))


def printed(sweep, width: int = 80) -> str:
    text = io.StringIO()
    print_sweep(sweep, make_console(text, width=width))
    return text.getvalue()


def test_the_terminal_says_where_it_turns_and_shows_each_point(sweep) -> None:
    text = printed(sweep)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    words = " ".join(text.split())
    assert f"4 points: {AXIS} = 1, 2, 4, 8; 4 measured" in words
    assert "All intervals of all points hold together at 95 %" in words
    assert f"array is slower than list in _prepare_inputs up to {AXIS} = 2.8, and faster from 2.8 on" in words
    for cell in ("+20.00 ±0.00 slower", "-8.00 ±0.00 faster"):
        assert cell in text


def test_an_arm_that_does_not_turn_is_told_in_a_line() -> None:
    text = " ".join(printed(summarise_sweep(make_sweep(20, 8))).split())
    assert "array: slower at every point" in text
    assert "wrong: not measured at every point" in text


def test_the_files_hold_tables_picture_and_figures(sweep, tmp_path) -> None:
    texts = render_sweep(tmp_path, sweep)
    assert set(texts) == {"summary.json", "plots/sweep.svg", "report.md", "report.html"}
    assert texts["plots/sweep.svg"].count("<svg") == 1
    assert "| 1 " in texts["report.md"]
    assert "Differences in \\_prepare_inputs" in texts["report.md"] or "Differences in _prepare" in texts["report.md"]
    assert "<svg" in texts["report.html"]
    content = json.loads(texts["summary.json"])
    assert [point["values"][AXIS] for point in content["points"]] == [1, 2, 4, 8]
    assert {found["arm"] for found in content["crossovers"]} == {"array"}
    rows = list(csv.DictReader(io.StringIO(sweep_frame_csv(sweep))))
    assert {row["metric"] for row in rows} == {"scope", "step"}
    assert {row[AXIS] for row in rows} == {"1", "2", "4", "8"}


def test_a_sweep_of_which_nothing_was_measured_has_a_report(tmp_path) -> None:
    records = make_sweep(20, 8)
    records.points.clear()
    whole = summarise_sweep(records)
    texts = render_sweep(tmp_path, whole)
    assert "plots/sweep.svg" not in texts
    assert "was not run" in texts["report.md"]
    assert "was not run" in printed(whole)


def make_folder(path, **of_config):
    """A sweep's folder of two points of a run that is read as it is."""
    folder = foreign.make_run_folder(path / "points" / "01")
    foreign.make_run_folder(path / "points" / "02")
    run = json.loads((folder / "run.json").read_text())
    run["config"] |= {"sweep": {AXIS: [1, 8]}, **of_config}
    run["points"] = [{"number": 1, "values": {AXIS: 1}}, {"number": 2, "values": {AXIS: 8}}]
    RunFolder.existing(path).write_run({key: value for key, value in run.items() if key != "schema"})
    return path


def test_a_folder_is_read_and_written(tmp_path) -> None:
    records = read_sweep(make_folder(tmp_path / "sweep"))
    assert is_sweep(records.run)
    assert set(records.points) == {1, 2}
    write_sweep(tmp_path / "sweep", summarise_sweep(records))
    assert "points/02/" in (tmp_path / "sweep" / "report.md").read_text()


def test_a_strangers_sweep_is_shown_as_text(tmp_path) -> None:
    folder = make_folder(tmp_path / "sweep", title=HOSTILE)
    content = json.loads((folder / "run.json").read_text())
    content["config"]["sweep"] = {HOSTILE: [HOSTILE, 8]}
    content["points"] = [{"number": 1, "values": {HOSTILE: HOSTILE}}, {"number": 2, "values": {HOSTILE: 8}}]
    (folder / "run.json").write_text(json.dumps(content))
    whole = summarise_sweep(read_sweep(folder))
    write_sweep(folder, whole)
    for name in ("report.html", "report.md"):
        assert foreign.markup_in(name, (folder / name).read_text()) == []
    assert "\x1b[31m" not in printed(whole)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([{"number": 1, "values": {"other": 1}}], "points: each must have a value for each key of the config's sweep"),
        ([{"number": 0, "values": {AXIS: 1}}], "points"),
        ([{"number": 1, "values": {AXIS: [1]}}], "points"),
        ([], "points: each must have a value"),
    ],
)
def test_a_wrong_list_of_points_is_refused(tmp_path, points, said) -> None:
    folder = make_folder(tmp_path / "sweep")
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**content, "points": points}))
    with pytest.raises(RecordsError, match=said):
        read_sweep(folder)


def test_a_point_of_another_config_is_left_out_and_named(tmp_path) -> None:
    folder = make_folder(tmp_path / "sweep")
    file = folder / "points" / "02" / "run.json"
    content = json.loads(file.read_text())
    content["config"]["arms"] = content["config"]["arms"][:1]
    content["config"]["baseline"] = content["config"]["arms"][0]["name"]
    content.pop("flamegraphs", None)
    file.write_text(json.dumps(content))
    assert read_sweep(folder).unreadable == {2: "its config has other arms"}
    file.write_text("{")
    assert "run.json" in read_sweep(folder).unreadable[2]
