"""From a history's figures to the releases at which a phase changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis.changepoint import segments
from harness.analysis.history import HOST, WHOLE, summarise_history
from harness.errors import RecordsError
from harness.records.folder import RunFolder
from harness.records.history import Figure, History, read_history, write_facts, write_figures
from harness.report.history import courses_csv, found_lines, render_history

RELEASES = ["0.27.1", "0.28.0", "0.29.0", "0.30.0", "0.31.0"]
COMMITTED = Path("reports/reference/history-cpu/history.json")
LEVELS = {"schedule": [100, 100, 100, 140, 140], "sampling": [50] * 5, "forward": [500, 500, 800, 800, 800]}
"""Of a turn of decode by release, us."""


def facts(**changed: Any) -> dict[str, Any]:
    """As history.json has them."""
    releases = [{"release": release, "torch": "2.13.0", "hash": "0123"} for release in RELEASES]
    machine = {
        "cpu": "a processor", "cores": 2, "usable_cores": 2, "memory_gib": 24.0, "system": "Linux", "python": "3.11",
        "load_average": [0.1, 0.1, 0.1],
    }  # fmt: skip
    config = json.loads(COMMITTED.read_text())["config"] | {"title": "A turn"}
    return {
        "status": "complete", "command": ["python", "-m", "harness", "history"], "config_file": "history.yaml",
        "config": config, "machine": machine, "versions": {}, "releases": releases, "wanted": 4, "seconds": 60.0,
        "blocks": [{"number": number} for number in (1, 2, 3, 4)], "launches": [], **changed,
    }  # fmt: skip


def figures(seed: int = 0, blocks: int = 4, without: tuple[str, str] = ("", "")) -> list[Figure]:
    """Launches whose blocks have much in common and which differ by 1 us; `without` is a (release, phase)."""
    rng = np.random.default_rng(seed)
    found = []
    for block in range(1, blocks + 1):
        common = rng.normal(0, 30)
        for place, release in enumerate(RELEASES):
            launch = (block - 1) * len(RELEASES) + place + 1
            us = {phase: levels[place] + common + rng.normal(0, 1) for phase, levels in LEVELS.items()}
            found.append(Figure(release, block, launch, "decode", WHOLE, "", sum(us.values()), 1.0))
            found += [
                Figure(release, block, launch, "decode", phase, "model" if phase == "forward" else "turn", value, 1.0)
                for phase, value in us.items()
                if (release, phase) != without
            ]
    return found


def test_each_change_is_put_on_its_release_and_its_phase() -> None:
    summary = summarise_history(History(facts(), figures()))
    steps = {course.phase: [step.release for step in course.steps] for course in summary.courses}
    # Of the whole turn the second change is too close to the end: three releases are left, and few permutations.
    assert steps == {
        WHOLE: ["0.29.0"], HOST: ["0.30.0"], "schedule": ["0.30.0"], "sampling": [], "forward": ["0.29.0"],
    }  # fmt: skip
    schedule = summary.course("decode", "schedule")
    assert schedule is not None
    (step,) = schedule.steps
    assert (step.before, step.release) == ("0.29.0", "0.30.0")
    assert step.us.low < 40 < step.us.high
    assert step.us.high - step.us.low < 6  # what blocks have in common is taken out
    assert step.share == pytest.approx(0.4, abs=0.15)
    assert [course.phase for course in summary.courses] == [WHOLE, HOST, "forward", "schedule", "sampling"]
    lines = found_lines(summary)
    assert any(line.startswith("schedule in a turn of decode became slower from 0.29.0 to 0.30.0: +") for line in lines)
    assert any(
        line.startswith("the host time of a turn of decode became slower from 0.29.0 to 0.30.0") for line in lines
    )


def test_blocks_that_were_lost_and_releases_that_were_left_out_count_for_nothing() -> None:
    wrong = [Figure("0.27.1", 9, 99, "decode", phase, "turn", 1e6, 1.0) for phase in (WHOLE, "schedule")]
    blocks = [*facts()["blocks"], {"number": 9, "lost": "launch 99 was ended by signal 9"}]
    told = facts(blocks=blocks)
    told["releases"][1]["left_out"] = "it does not start"
    summary = summarise_history(History(told, [*figures(), *wrong]))
    course = summary.course("decode", "schedule")
    assert course is not None
    assert list(course.levels) == [each for each in RELEASES if each != "0.28.0"]
    level = course.levels["0.27.1"]
    assert level is not None
    assert level.estimate < 300
    assert summary.blocks == 4


def test_a_phase_that_a_release_does_not_have_says_so() -> None:
    summary = summarise_history(History(facts(), figures(without=("0.28.0", "schedule"))))
    course = summary.course("decode", "schedule")
    assert course is not None
    assert course.levels["0.28.0"] is None
    assert [step.release for step in course.steps] == ["0.30.0"]
    assert "no such phase" in render_history(summary)["report.md"]


def test_functions_that_moved_are_named() -> None:
    told = facts(functions={"0.30.0": {"schedule": ["a.old"]}, "0.31.0": {"schedule": ["a.new"], "drafts": ["a.d"]}})
    report = render_history(summarise_history(History(told, figures())))["report.md"].replace("\\", "")
    assert "schedule is a.new from 0.31.0 on, and was a.old" in report
    assert "0.31.0 has drafts, which 0.30.0 has not" in report


def test_what_is_written_is_read_again_and_drawn(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "history", passes=False)
    write_facts(folder, facts())
    write_figures(folder, figures())
    history = read_history(folder.path)
    assert history.releases == RELEASES
    assert [each.phase for each in history.figures] == [each.phase for each in figures()]
    assert history.figures[1].us == pytest.approx(figures()[1].us, abs=0.001)
    texts = render_history(summarise_history(history))
    assert "<svg" in texts["plots/history-decode.svg"]
    assert "from 0.29.0 to 0.30.0" in texts["report.html"]
    rows = courses_csv(summarise_history(history)).splitlines()
    assert len(rows) == 1 + 5 * len(RELEASES)


@pytest.mark.parametrize("text", ["release,block\n", "a\n1,2,3", ""])
def test_a_table_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    folder = RunFolder(tmp_path / "history", passes=False)
    write_facts(folder, facts())
    folder.write_text("history.csv", text)
    with pytest.raises(RecordsError, match=r"history\.csv: is no table of a history"):
        read_history(folder.path)


def test_a_row_that_is_none_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "history", passes=False)
    write_facts(folder, facts())
    write_figures(folder, figures()[:1])
    with (folder.path / "history.csv").open("a") as file:
        file.write("0.31.0,one,2,decode,,,nan,1\n")
    with pytest.raises(RecordsError, match=r"history\.csv:3: is no row of a history"):
        read_history(folder.path)


def test_without_a_change_one_is_found_as_rarely_as_is_said() -> None:
    """400 series at 5 %: at most 32 with a change, which 5 % keeps to in 996 of 1,000 tries, and 12 % in one of 100."""
    rng = np.random.default_rng(3)
    hits = sum(
        bool(segments(rng.normal(rng.normal(0, 5, (4, 1)), 1, (4, 8)), 0.05, seed, rounds=400)) for seed in range(400)
    )
    assert hits <= 32


def test_two_changes_are_both_found_and_too_few_blocks_are_told() -> None:
    rng = np.random.default_rng(4)
    levels = np.array([0, 0, 0, 10, 10, 4, 4, 4])
    table = rng.normal(0, 20, (5, 1)) + levels + rng.normal(0, 1, (5, 8))
    assert segments(table, 0.001, 0) == [3, 5]
    assert segments(table[:2], 0.001, 0) is None
    assert segments(table[:, :1], 0.001, 0) is None
    assert segments(np.full((4, 6), 7.0), 0.01, 0) == []


def test_where_engines_took_turns_intervals_are_as_against_the_other_releases() -> None:
    """What blocks have in common is six times what launches have of their own, and none of it is left."""
    rng = np.random.default_rng(7)
    common = rng.normal(0, 6, 6)
    own = rng.normal(0, 1, (6, len(RELEASES)))
    found = [
        Figure(release, block, 1, "decode", WHOLE, "", 100.0 + common[block - 1] + own[block - 1, column], 1.0)
        for block in range(1, 7)
        for column, release in enumerate(RELEASES)
    ]
    blocks = [{"number": number, "together": True} for number in range(1, 7)]
    apart = [{"number": number} for number in range(1, 7)]
    (by_turns,), (in_turn,) = (
        [summarise_history(History(facts(blocks=each), found)).course("decode", WHOLE)] for each in (blocks, apart)
    )
    for column, release in enumerate(RELEASES):
        one, other = by_turns.levels[release], in_turn.levels[release]
        assert one.estimate == pytest.approx(other.estimate)
        of_others = own[:, column] - own.mean(axis=1)
        half = of_others.std(ddof=1) * np.sqrt(5 / 4) / np.sqrt(6) * 2.5706  # Student's t with 5 degrees of freedom
        assert one.high - one.low == pytest.approx(2 * half, rel=1e-3)
        assert (one.high - one.low) < (other.high - other.low) / 2
    lines = render_history(summarise_history(History(facts(blocks=blocks), found)))["report.md"]
    assert "their engines side by side and by turns" in lines
    assert "of each mean over launches, as against the other releases" in lines
