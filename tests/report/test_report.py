"""Reports from known numbers: the golden Markdown, and the table on terminals of different width."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.analysis.ceilings import Ceiling
from harness.analysis.drift import LevelShift
from harness.analysis.exposure import Exposure
from harness.analysis.intervals import Interval
from harness.analysis.outliers import Cause, Outliers
from harness.analysis.summarise import summarise
from harness.records.folder import Records, RunFolder
from harness.report import write_reports
from harness.report.arms_table import build_arms_table
from harness.report.console import make_console
from harness.report.markdown import render_markdown, table_lines
from harness.report.screen import print_screen
from harness.report.side_tables import build_counter_table
from harness.report.table import build_differences, build_table, build_totals, format_interval
from harness.report.terminal import print_summary
from tests.analysis.test_summarise import make_counters, make_frame, make_run

GOLDEN = Path(__file__).parents[1] / "golden" / "report.md"


@pytest.fixture
def summary():
    return summarise(Records(make_run(), make_frame(), counters=make_counters()))


def test_the_markdown_is_the_golden_one(summary) -> None:
    """After a wanted change: HARNESS_UPDATE_GOLDEN=1 pytest tests/report/test_report.py, and read the diff."""
    text = render_markdown(summary)
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_tables_lines_are_aligned_and_have_all_rows(summary) -> None:
    lines = table_lines(build_totals(summary))
    for table in (build_arms_table(summary), build_totals(summary), build_differences(summary)):
        assert "\n".join(table_lines(table)) in render_markdown(summary)
        assert len({len(line) for line in table_lines(table)}) == 1
    titles = [line.split("|")[1].strip() for line in lines[2:]]
    assert titles == [
        "`torch.cat`", "`compute_slot_mapping`", "sum of these", "rest of the scope", "`_prepare_inputs`",
        "whole step, bare", "output tokens/s of runner time",
    ]  # fmt: skip


def test_a_probe_that_never_fired_says_so_and_a_struck_arm_too(summary) -> None:
    table = build_table(summary)
    by_title = {column.title: column.cells for column in table.columns if not column.difference}
    assert by_title["list"][0] == "0 calls"
    assert set(by_title["wrong"]) == {"not equal", ""}


def test_the_floor_stands_in_the_table_and_a_wrong_arm_gets_no_verdict(summary) -> None:
    table = build_table(summary)
    assert table.columns[-1].title == "A/A: floor"
    assert table.columns[-1].cells[-2:] == ["equivalent", "equivalent"]
    of_wrong = table.columns[[column.title for column in table.columns].index("wrong") + 1]
    assert of_wrong.cells[-2:] == ["not equal", "not equal"]
    assert "A/A" not in [column.title for column in table.columns]


def test_a_figure_below_its_own_correction_is_marked() -> None:
    frame = make_frame()
    frame["torch.cat.self_ns"] = frame["torch.cat.calls"] * 150  # of which 100 are the probe's own
    table = build_table(summarise(Records(make_run(), frame)))
    assert table.columns[1].cells[0].startswith("0.500† / 10")
    assert table.footnotes
    assert not build_table(summarise(Records(make_run(), make_frame()))).footnotes


@pytest.mark.parametrize("width", [70, 100, 200])
def test_no_figure_is_cut_off_on_a_terminal(summary, width) -> None:
    out = io.StringIO()
    print_summary(summary, Console(file=out, width=width))
    text = out.getvalue()
    table = build_table(summary)
    for column in table.columns:
        for cell in column.cells:
            assert cell in text
    assert "…" not in text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(2.7934, 2.7134, 2.8634), "+2.79 [2.71, 2.86]"),
        (Interval(-1.8332, -1.949, -1.756), "-1.83 [-1.95, -1.76]"),
        (Interval(12345.0, 12000.0, 12700.0), "+12345 [12000, 12700]"),
        (Interval(0.0, -0.0001, 0.0001), "+0.00000 [-0.00010, 0.00010]"),
        (Interval(0.2, -0.04, 0.4), "+0.20 [-0.04, 0.40]"),
        (Interval(3.0, float("-inf"), float("inf")), "+3 [too few groups]"),
        (Interval(5.0, 5.0, 5.0), "+5.00 [5.00, 5.00]"),
    ],
)
def test_digits_are_printed_as_far_as_the_interval_supports_them(interval, text) -> None:
    assert format_interval(interval) == text


def test_a_run_is_rendered_again_from_its_folder_without_torch_or_vllm(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    run = make_run()
    del run["schema"]
    folder.write_run(run)
    for index, (_, rows) in enumerate(make_frame().groupby("group")):
        folder.write_pass(index, {column: rows[column].tolist() for column in rows}, complete=True)
    expected = write_reports(folder.path)
    (folder.path / "report.md").unlink()
    program = (
        "import sys; sys.argv = ['harness', 'report', sys.argv[1]]\n"
        "import harness.cli, atexit\n"
        "atexit.register(lambda: print('imported:', sorted({'torch', 'vllm'} & set(sys.modules))))\n"
        "harness.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, folder.path], capture_output=True, text=True, check=True)
    assert "imported: []" in done.stdout
    assert "_prepare_inputs" in done.stdout
    assert done.stdout.endswith(
        f"{folder.path}/report.md\npython -m harness report {folder.path} --full\nimported: []\n"
    )
    assert "\x1b" not in done.stdout  # no colours in a pipe
    beside = ["report.html", "plots/", "run.json", "summary.json", "passes/"]
    assert (folder.path / "report.md").read_text() == render_markdown(expected, beside)
    assert (folder.path / "summary.json").is_file()


def test_what_changed_during_the_run_is_said(summary) -> None:
    causes = [
        Cause("gc_collections", "Python collected garbage", 2, 0.5, 0.01),
        Cause("page_faults", "faults", 0, 0, 0),
    ]
    changed = replace(
        summary,
        outliers=Outliers(1000, 4, 0.02, 2, causes),
        drift=[
            LevelShift("share", 1, 30, 60, -0.032, 80.0, withholds=True),
            LevelShift("machine", 1, 31, 60, 0.2, 80.0, withholds=False),
        ],
    )
    text = render_markdown(changed)
    assert (
        "> **Verdicts are withheld. From pass 30 of 60 on _prepare_inputs, relative to the rest of the step, was "
        in text
    )
    assert "3.2 % faster (4.5 us a step), which is more than the margin of 1 %. Run it again.**" in text
    assert "From pass 31 of 60 on the rest of the step was 20 % slower: all arms share it" in text
    assert "4 of 1,000 steps were outlying, with 2 % of all time above the usual: in 2 Python collected garbage" in text
    assert "(so in 50 % of the outlying steps and 1 % of the others); 2 without a cause" in text
    assert "No shift" not in text
    assert "too few passes to look for a shift" in render_markdown(summary)
    assert "No shift of the level" in render_markdown(replace(summary, drift_tested=True))
    console = Console(file=io.StringIO(), width=400)
    print_summary(changed, console)
    assert "Verdicts are withheld." in console.file.getvalue()
    assert "4 of 1,000 steps" in console.file.getvalue()


def test_shifts_in_many_launches_are_summed_up(summary) -> None:
    drift = [
        LevelShift("machine", launch, 3, 48, size, 50.0, withholds=False) for launch, size in ((1, 0.02), (4, -0.03))
    ]
    text = render_markdown(replace(summary, drift=drift, launches=6))
    assert "The level shifted in 2 of 6 launches, by -3 to +2 %. This does not withhold verdicts" in text
    assert "of launch 4" not in text


def test_counters_stand_in_a_table_of_their_own_and_copies_only_where_there_were_any(summary) -> None:
    table = build_counter_table(summary)
    assert table.rows[-1] == "bytes copied to the device, whole step"
    assert [column.cells for column in table.columns] == [["8", "20", "1", "3", "96", "4,000"]] * 2
    none = {arm: {name: 0.0 if "device" in name else n for name, n in counts.items()}
            for arm, counts in summary.counters.items()}  # fmt: skip
    table = build_counter_table(replace(summary, counters=none))
    assert table.rows == ["ATen dispatches, _prepare_inputs", "ATen dispatches, whole step"]
    assert table.footnotes == ["nothing was copied from host memory to another device"]
    assert build_counter_table(replace(summary, counters={})) is None


def test_hits_of_the_prefix_cache_are_told_also_where_there_were_none() -> None:
    for hits, told in (
        (9, "16 prompt (9 found in the prefix cache) and"),
        (0, "16 prompt (0 found in"),
        (None, "16 prompt and"),
    ):
        run = make_run()
        run["workload"]["cached_tokens"] = hits
        assert told in render_markdown(summarise(Records(run, make_frame())))


def test_a_gpu_is_named_with_its_driver() -> None:
    run = make_run()
    of_gpu = {"driver": "580.1", "cuda": "13.0", "compute_capability": "9.0"}
    host = {**run["host"], "device": "cuda (A GPU)", "details": {**run["host"]["details"], **of_gpu}}
    text = render_markdown(summarise(Records({**run, "host": host}, make_frame())))
    assert "- device: cuda (A GPU), driver 580.1, CUDA 13.0, compute capability 9.0\n" in text


def test_a_ceiling_is_on_the_screen_and_what_would_show_of_it_beside_its_table(summary) -> None:
    skip = Ceiling("skip", 12, Interval(40.0, 38.0, 42.0), Interval(35.0, 20.0, 50.0), 0.3, 0.07)
    won = replace(summary, ceilings=[skip])
    text = io.StringIO()
    print_screen(won, make_console(text, width=80))
    assert "skip (ceiling): at most 40 ±2 us of _prepare_inputs (30 %) could be won" in text.getvalue()
    assert "would show in the loop" not in render_markdown(won)
    shown = replace(won, exposure=Exposure(Interval(0.25, 0.2, 0.3), None, 1000.0))
    assert "of a saving in _prepare_inputs +25 [20, 30] % would show in the loop" in render_markdown(shown)
