"""Pictures of stacks: widths are shares of time, colours say what differs, and the files are what their names say."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given

from harness.analysis.summarise import summarise
from harness.records.folder import Records, RunFolder
from harness.report import write_reports
from harness.report.flamegraph import ALIKE, flamegraph_files, render_difference, render_flamegraph
from harness.report.side_tables import build_sampling_table
from harness.report.speedscope import speedscope
from harness.sampling.sampled import Recording, flame_of_arm, flame_of_process
from harness.sampling.stacks import fold
from tests.analysis.test_summarise import make_frame, make_run
from tests.report.test_html import browse, in_browser
from tests.sampling import test_stacks as made

SVG = "{http://www.w3.org/2000/svg}"
GREY = "#{:02x}{:02x}{:02x}".format(*ALIKE)


def recording(**changes) -> Recording:
    facts = {
        "rate_hz": 200, "native": False, "nonblocking": False, "samples": 3000, "errors": 0, "behind_s": 0.0,
        "seconds": 15.0, "passes": 80, "steps": 5000, "step_us": 500.0, "sampled_step_us": 1000.0, "step_samples": 1000,
        "scope_samples": 200, "whole": False,
    }  # fmt: skip
    return Recording(**{**facts, **changes})


LIST = {
    (made.SCOPE,): 100,
    (made.SCOPE, made.GROUP, made.HAND_OVER, made.SLOTS): 40,
    (made.SCOPE, made.GROUP, made.HAND_OVER, made.SLOTS, made.APPEND): 60,
}
DELAYED = {**LIST, (made.SCOPE, made.GROUP, made.DELAYED): 50}


def boxes(svg: str) -> list[dict]:
    """Every frame drawn: x, width, row, fill, label, tooltip."""
    return [
        {
            "x": float(frame.get("data-x")), "width": float(frame.get("data-w")), "row": int(frame.get("y")) // 20,
            "fill": frame.find(f"{SVG}rect").get("fill"), "hatched": len(frame.findall(f"{SVG}rect")) == 2,
            "label": frame.find(f"{SVG}text").text, "tooltip": frame.find(f"{SVG}title").text,
        }
        for frame in ET.fromstring(svg).iter(f"{SVG}svg")
        if frame.get("class") == "frame"
    ]  # fmt: skip


def test_a_frame_is_as_wide_as_its_share_and_says_its_time() -> None:
    found = boxes(render_flamegraph(flame_of_arm(recording(), LIST), "list", "_prepare_inputs"))
    assert [(box["row"], box["width"], box["label"]) for box in found] == [
        (
            0,
            1.0,
            "GPUModelRunner._prepare_inputs 100 us",
        ),  # 200 looks of 5 ms, over 5,000 steps that took twice as long
        (1, 0.5, "MultiGroupBlockTable.compute_slot_mapping 50 us"),
        (2, 0.5, "Site.implement.<locals>.compute_slot_mapping 50 us"),
        (3, 0.5, "List.slots 50 us"),
        (4, 0.3, "append_slots 30 us"),
    ]
    assert "50 %, 100 samples, itself 20 us" in found[3]["tooltip"]


def test_the_measured_step_gives_the_time_where_there_is_one() -> None:
    assert flame_of_arm(recording(), LIST).scope_time == 100.0
    assert flame_of_arm(recording(), LIST, step_us=250.0).scope_time == 50.0
    assert flame_of_process(recording(), LIST).scope_time == pytest.approx(1000 * 200 / 3000)


def test_looks_at_an_idle_process_and_lost_ones_count_for_the_clock() -> None:
    idle = recording(samples=300)  # nine looks of ten found no busy thread
    assert flame_of_process(idle, LIST).scope_time == pytest.approx(1000 * 200 / 3000)
    two_threads = recording(samples=6000)
    assert flame_of_process(two_threads, LIST).scope_time == pytest.approx(1000 * 200 / 3000)
    lost = recording(errors=1000, scope_samples=133)
    assert flame_of_process(lost, LIST).scope_time == pytest.approx(1000 * 133 / 2000)
    behind = recording(behind_s=7.5, scope_samples=100)
    assert flame_of_arm(behind, LIST).scope_time == pytest.approx(100)


@given(made.stacks)
def test_children_lie_side_by_side_under_their_caller(stacks) -> None:
    found = boxes(render_flamegraph(flame_of_arm(recording(whole=True), stacks), "a & b", "f"))
    for row in range(max((box["row"] for box in found), default=0) + 1):
        of_row = sorted((box for box in found if box["row"] == row), key=lambda box: box["x"])
        for left, right in itertools.pairwise(of_row):
            assert left["x"] + left["width"] <= right["x"] + 1e-9
        if row:
            above = [box for box in found if box["row"] == row - 1]
            for box in of_row:
                assert any(
                    caller["x"] - 1e-9 <= box["x"] and box["x"] + box["width"] <= caller["x"] + caller["width"] + 1e-9
                    for caller in above
                )


def test_a_planted_delay_is_the_one_red_frame_and_its_callers() -> None:
    slower = flame_of_arm(recording(scope_samples=250), DELAYED)
    svg = render_difference(
        flame_of_arm(recording(), LIST), slower, ("list", "late"), "_prepare_inputs", "compute_slot_mapping"
    )
    by_label = {box["label"]: box for box in boxes(svg)}
    assert by_label["planted delay +25 us"]["fill"] != GREY
    assert by_label["the seam: compute_slot_mapping +25 us"]["fill"] != GREY
    assert by_label["the arm: list | late"]["fill"] == GREY
    assert by_label["append_slots"]["fill"] == GREY
    assert "late against list in _prepare_inputs: 125 instead of 100 us a step" in svg
    mirrored = render_difference(
        slower, flame_of_arm(recording(), LIST), ("late", "list"), "_prepare_inputs", "compute_slot_mapping"
    )
    delay = next(box for box in boxes(mirrored) if box["label"].startswith("planted delay"))
    assert delay["label"] == "planted delay -25 us"
    assert delay["hatched"]  # less is told without colour, too
    assert not by_label["planted delay +25 us"]["hatched"]


def test_half_as_many_samples_of_the_same_work_are_no_difference() -> None:
    halved = {stack: count // 2 for stack, count in LIST.items()}
    other = flame_of_arm(recording(rate_hz=100, scope_samples=100), halved)
    svg = render_difference(
        flame_of_arm(recording(), LIST), other, ("list", "again"), "_prepare_inputs", "compute_slot_mapping"
    )
    assert {box["fill"] for box in boxes(svg)} == {GREY}
    assert "100 instead of 100 us a step (not resolved by sampling)" in svg


def test_swapped_frames_are_under_one_seam_with_what_only_one_has_in_it() -> None:
    native = {(made.SCOPE,): 100, (made.SCOPE, made.GROUP, made.NATIVE, made.DIFF): 90}
    other = flame_of_arm(recording(scope_samples=190), native)
    svg = render_difference(
        flame_of_arm(recording(), LIST), other, ("list", "native"), "_prepare_inputs", "compute_slot_mapping"
    )
    found = boxes(svg)
    (seam,) = [box for box in found if box["label"].startswith("the seam")]
    assert "list 50 us a step (100 samples), native 45 us (90): -5 us (not resolved" in seam["tooltip"]
    below = {box["label"] for box in found if box["row"] == seam["row"] + 1}
    assert below == {"the arm: list -50 us", "diff +45 us"}


def test_what_a_recording_was_stands_beside_it() -> None:
    slow = flame_of_arm(recording(native=True, nonblocking=True, behind_s=1.5), LIST)
    svg = render_flamegraph(slow, "list", "_prepare_inputs")
    for words in (
        "py-spy at 200 Hz for 15 s without stopping the process, so that stacks may be torn, native frames too",
        "3,000 samples (200 in the scope), 0 errors, 1.5 s behind", "steps took 2 times as long meanwhile",
        "a sample stands for 0.56 us a step",
    ):  # fmt: skip
        assert words in svg
    looked = recording(step_us=0.0, sampled_step_us=0.0)
    assert "how much that slowed the process is not known" in render_flamegraph(
        flame_of_process(looked, LIST), "p", "f"
    )


def test_names_are_text_and_no_markup() -> None:
    odd = {(made.Frame('<img src="x">&', "a&b.py"),): 3}
    svg = render_flamegraph(flame_of_arm(recording(), odd), "<arm>", "f")
    assert boxes(svg)[0]["label"].startswith('<img src="x">&')


def test_speedscope_gets_every_stack_with_its_line_and_its_time() -> None:
    found = speedscope(flame_of_arm(recording(), LIST), "list", "_prepare_inputs")
    (profile,) = found["profiles"]
    assert len(profile["samples"]) == len(profile["weights"]) == 3
    assert profile["endValue"] == pytest.approx(sum(profile["weights"])) == pytest.approx(100)
    named = [[found["shared"]["frames"][index]["name"] for index in sample] for sample in profile["samples"]]
    assert named[2] == [made.SCOPE.name, made.GROUP.name, made.HAND_OVER.name, made.SLOTS.name, made.APPEND.name]
    assert {"name": made.APPEND.name, "file": made.APPEND.file, "line": made.APPEND.line} in found["shared"]["frames"]
    assert profile["unit"] == "microseconds"


@pytest.fixture
def folder(tmp_path):
    """A run with flamegraphs of two arms, and a note on the third."""
    facts = {"list": recording().as_dict(), "array": recording(scope_samples=250).as_dict()}
    run = make_run(flamegraphs=facts, flamegraphs_missing="there is no process 7 for py-spy to attach to (any more)")
    folder = RunFolder(tmp_path / "run")
    del run["schema"]
    folder.write_run(run)
    for index, (_, rows) in enumerate(make_frame().groupby("group")):
        folder.write_pass(index, {column: rows[column].tolist() for column in rows}, complete=True)
    folder.write_text("flamegraphs/list.folded", fold(LIST))
    folder.write_text("flamegraphs/array.folded", fold(DELAYED))
    return folder.path


def test_every_picture_lies_in_the_runs_folder_and_is_linked(folder) -> None:
    summary = write_reports(folder)
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for name in (
        "flamegraphs/array-against-list.svg", "flamegraphs/list.svg", "flamegraphs/array.svg",
        "flamegraphs/list.speedscope.json", "plots/steps.svg", "summary.json", "run.json",
    ):  # fmt: skip
        assert (folder / name).exists()
    for path in (path for path in folder.rglob("*") if path.is_file() and path.name != "report.html"):
        name = path.relative_to(folder).as_posix()
        assert f'href="{name}"' in page or name.startswith("passes/")
    assert 'href="passes/"' in page
    for name in ("flamegraphs/", "plots/", "run.json", "summary.json", "passes/"):
        assert f"[{name}]({name})" in text
    assert page.count("data:image/svg+xml;base64,") == 3
    assert "flamegraphs of list, array only: there is no process 7" in text
    assert json.loads((folder / "summary.json").read_text())["flamegraphs"]["list"]["slow_down"] == pytest.approx(2)
    for picture in folder.glob("*/*.svg"):
        ET.parse(picture)
    # The bare steps of the measured passes take 520 and 512 us, and the recordings' own 500.
    assert build_sampling_table(summary).columns[0].cells == ["104 +-14", "128 +-16"]


def test_a_recording_without_its_stacks_is_told_and_left_out(folder) -> None:
    (folder / "flamegraphs/array.folded").unlink()
    summary = write_reports(folder)
    assert list(summary.flames) == ["list"]
    assert any("left out, since it cannot be read: flamegraphs/array.folded" in note for note in summary.notes)
    assert [file.name for file in flamegraph_files(summary)] == [
        "flamegraphs/list.svg",
        "flamegraphs/list.speedscope.json",
    ]


def test_the_table_says_what_py_spy_cannot(folder) -> None:
    summary = write_reports(folder)
    torn = replace(summary.flames["list"], recording=recording(nonblocking=True, behind_s=2.0))
    notes = build_sampling_table(replace(summary, flames={"list": torn})).footnotes
    assert "stacks were read while the engine ran on, so they may be torn" in notes
    assert "py-spy fell behind its rate (list by 2.0 s); lower flamegraph.rate_hz" in notes
    assert build_sampling_table(summarise(Records(make_run(), make_frame()))) is None


@in_browser
def test_a_browser_shows_every_picture_without_complaint(folder) -> None:
    write_reports(folder)
    assert browse(folder / "report.html").count("data:image/svg+xml") == 3
    for picture in sorted(folder.glob("*/*.svg")):
        assert "<svg" in browse(picture)


@in_browser
def test_a_click_on_a_frame_shows_it_over_the_whole_width_and_one_on_the_outermost_all_again(tmp_path) -> None:
    svg = render_flamegraph(flame_of_arm(recording(), LIST), "list", "_prepare_inputs")
    clicks = (
        "<script>for (const place of {}) document.querySelectorAll('.frame')[place].dispatchEvent(new Event('click'));"
    )
    file = tmp_path / "picture.svg"

    def widths(clicked: list[int]) -> list[str]:
        file.write_text(svg.rstrip().removesuffix("</svg>") + clicks.format(clicked) + "</script></svg>")
        frames = re.findall(r'class="frame"[^>]*? width="([^"]+)"[^>]*?>', browse(file))
        return [width.rstrip("%") for width in frames]

    whole = widths([])
    assert [float(width) for width in whole] == [100, 50, 50, 50, 30]
    assert [float(width) for width in widths([4])] == [100, 100, 100, 100, 100]
    assert [float(width) for width in widths([1])] == [100, 100, 100, 100, 60]
    assert [float(width) for width in widths([4, 0])] == [100, 50, 50, 50, 30]
