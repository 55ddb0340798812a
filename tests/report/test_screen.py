"""One screen: what a run of any size comes to in 80 columns and 40 lines, and in narrower and wider terminals."""

from __future__ import annotations

import datetime as dt
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.analysis.drift import LevelShift
from harness.analysis.intervals import Interval, verdict
from harness.analysis.metrics import REST, SCOPE, STEP, SUM
from harness.analysis.summary import ArmSummary, Comparison, ProbeTotals, Summary, Throughput
from harness.report.arms_table import build_arms_table
from harness.report.html import render_html
from harness.report.markdown import render_markdown
from harness.report.screen import print_screen, where_the_report_is
from harness.report.screen_table import build_screen_table, shortened
from harness.report.table import DAGGER, FLOOR, build_table, format_estimate, format_half_width
from harness.report.terminal import print_summary
from harness.report.verdict import doubts, verdict_sentence
from harness.seams import AA
from harness.selftest.planted import describe
from tests.analysis.test_summarise import make_run

STEPS, PASSES = 64, 20
REPORT = Path("reports/slot_mapping-20260101-120000")


def make_summary(
    arms: list[str],
    *,
    probes: tuple[str, ...] = ("torch.tensor", "compute_slot_mapping", "torch.frombuffer", "torch.cat"),
    struck: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    scope_us: float = 193.0,
    bare: bool = True,
    launches: int = 1,
    withheld: bool = False,
    faster_us: tuple[float, ...] = (),
    **run,
) -> Summary:
    """A run whose first arm is the baseline; the others differ from it by `faster_us`, +-2 %, in turn."""
    changes = dict(zip(arms[1:], faster_us, strict=False))
    measured = [name for name in arms if name not in struck]
    found: dict[str, ArmSummary] = {}
    comparisons = []
    withheld &= arms[0] in measured  # without a baseline nothing is compared
    for name in [*arms, AA]:
        if name == AA and arms[0] in struck:
            found[name] = ArmSummary(None, "not checked", 0, 0)
            continue
        if name in struck:
            found[name] = ArmSummary(False, "differs at step 3 at position 5: expected 7, found 8 (1 differ)", 0, 0)
            continue
        scope_ns = (scope_us + changes.get(name, 0.0)) * STEPS * 1e3
        each_ns = scope_ns / (2 * len(probes))
        found[name] = ArmSummary(
            None if name == AA else True, "", STEPS, PASSES, step_ns=9 * scope_ns,
            bare_step_ns=7 * scope_us * STEPS * 1e3 + scope_ns if bare else None, scope_ns=scope_ns,
            residual_ns=scope_ns / 2, corrected_scope_ns=scope_ns, corrected_residual_ns=scope_ns / 2,
            probes={probe: ProbeTotals(4096.0, each_ns, each_ns, each_ns) for probe in probes},
        )  # fmt: skip
    if arms[0] in measured:
        for name in [*measured[1:], AA]:
            for metric in (SCOPE, *probes, SUM, REST, *([STEP] if bare else [])):
                change = changes.get(name, 0.0) / (1 if metric in (SCOPE, STEP) else 2)
                width = 0.02 * scope_us * (8 if metric == STEP else 1)
                per_step = Interval(change, change - width, change + width)
                said = "withheld" if withheld else verdict(per_step, 0.01 * scope_us)
                comparisons.append(
                    Comparison(name, arms[0], metric, per_step, per_step.scaled(STEPS / 1e3), said)
                )  # fmt: skip
    run = make_run(**run)
    run["config"] = {
        **run["config"], "baseline": arms[0], "arms": [{"name": name} for name in arms], "probes": list(probes),
    }  # fmt: skip
    rates = [Throughput(name, 37_700.0, None) for name in (*measured, AA)] if bare else []
    drift = [LevelShift("share", 1, 30, 60, -0.032, 80.0, withholds=True)] * withheld
    return Summary(
        run, found, comparisons, list(probes), list(notes), confidence_each=0.9988, margin_us=0.01 * scope_us,
        throughput=rates, drift=drift, drift_tested=True, launches=launches,
    )  # fmt: skip


def screen(summary: Summary, width: int = 80, told: str = "") -> str:
    """All that the command prints at its end."""
    console = Console(file=io.StringIO(), width=width)
    print_screen(summary, console, told)
    return console.file.getvalue() + where_the_report_is(REPORT)


ARMS = ["list", "cat_frombuffers", "array", "list_with_array", "numpy", "native"]
FASTER_US = (84.0, -10.2, -13.0, -24.8, -9.0)


@pytest.fixture
def ablation() -> Summary:
    """The issue's ablation, with about the figures of the committed run."""
    return make_summary(ARMS, faster_us=FASTER_US)


name_of_arm = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,39}", fullmatch=True)
name_of_probe = st.lists(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), min_size=1, max_size=5).map(".".join)
note = st.text("abc de 123.", min_size=1, max_size=400).map(lambda text: f"n {text}")


@settings(max_examples=60)
@given(st.data())
def test_up_to_seven_arms_take_40_lines_of_80_columns_at_most(data) -> None:
    arms = data.draw(st.lists(name_of_arm, min_size=1, max_size=7, unique=True))
    probes = data.draw(st.lists(name_of_probe, min_size=1, max_size=9, unique=True))
    struck = data.draw(st.lists(st.sampled_from(arms), unique=True))
    scope_us = data.draw(st.floats(0.5, 99_999))
    summary = make_summary(
        arms, probes=tuple(probes), struck=tuple(struck), scope_us=scope_us,
        notes=tuple(data.draw(st.lists(note, max_size=6))), bare=data.draw(st.booleans()),
        launches=data.draw(st.integers(1, 20)), withheld=data.draw(st.booleans()),
        faster_us=tuple(data.draw(st.floats(-0.9, 9)) * scope_us for _ in arms),
    )  # fmt: skip
    width = data.draw(st.sampled_from([80, 100, 160, 200]))
    lines = screen(summary, width, told=data.draw(st.sampled_from(["", "interrupted; 3 of 9 passes were kept"]))).split(
        "\n"
    )
    assert len(lines) <= 40
    assert max(map(len, lines)) <= width
    assert any(line.startswith(FLOOR) for line in lines) == (arms[0] not in struck)


def test_the_issues_own_comparison_stands_first_and_the_best_arm_beside_it(ablation) -> None:
    """Without a word on which arms these are: the config names `cat_frombuffers` right after the baseline."""
    table = build_screen_table(ablation, 80)
    assert [column.title for column in table.columns] == ["list", "cat_frombuffers", "numpy"]
    assert table.rows == [*ablation.probes, "sum of these", "rest of the scope", "_prepare_inputs", "whole step, bare"]
    assert table.columns[1].cells[-2].split() == ["17.73", "+5.38"]
    assert table.columns[2].cells[-1].split() == ["97.23", "(-1.6)"]


def test_a_wider_terminal_shows_more_arms_in_the_configs_order(ablation) -> None:
    titles = [[column.title for column in build_screen_table(ablation, width).columns] for width in (60, 80, 105, 200)]
    assert titles[0] == ["list", "cat_frombuffers"]
    assert titles[2] == ["list", "cat_frombuffers", "array", "numpy"]
    assert titles[3] == [*ARMS, FLOOR]


def test_each_arm_has_a_line_with_both_verdicts_and_the_floor_is_the_last(ablation) -> None:
    lines = screen(ablation).split("\n")
    start = next(index for index, line in enumerate(lines) if line.startswith("us a step"))
    of_arms = [line.split() for line in lines[start + 2 : start + 9]]
    assert [words[0] for words in of_arms] == [*ARMS, "A/A:"]
    assert of_arms[1] == ["cat_frombuffers", "yes", "277.0", "+84", "±4", "slower", "+84", "±31", "slower"]
    assert of_arms[4] == ["numpy", "yes", "168.2", "-25", "±4", "faster", "-25", "±31", "not", "resolved"]
    assert lines[-2:] == [f"{REPORT}/report.md", f"python -m harness report {REPORT} --full"]


def test_the_sentence_names_few_arms_and_counts_the_others(ablation) -> None:
    assert verdict_sentence(ablation) == (
        "Against list, _prepare_inputs (193 us a step) is faster with numpy (-13 %), list_with_array (-6.7 %) and 2 "
        "more, slower with cat_frombuffers (+44 %); the whole step (1544 us) is slower with cat_frombuffers (+5.4 %), "
        "and no difference is resolved for array, list_with_array and 2 more."
    )
    assert "faster with numpy (-13 %) and 3 more" in verdict_sentence(ablation, named=1)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_figure_is_cut_off_whatever_the_width(ablation, width) -> None:
    text = screen(ablation, width)
    table, arms = build_screen_table(ablation, width), build_arms_table(ablation, format_half_width)
    for column in [*table.columns, *(column for column in arms.columns if column.title in ("scope", "Δ scope"))]:
        for cell in column.cells:
            assert cell in text
    assert "…" not in text


@pytest.mark.parametrize("struck", [(), ("array",)])
@pytest.mark.parametrize("withheld", [False, True])
def test_seven_arms_of_the_projects_own_names_all_have_their_line_beside_many_notes(struck, withheld) -> None:
    summary = make_summary(
        [*ARMS, "numpy_over_256"], struck=struck, withheld=withheld, faster_us=FASTER_US, notes=("word " * 60,) * 5
    )
    lines = screen(summary).split("\n")
    assert len(lines) <= 40
    for arm in (*ARMS, "numpy_over_256", FLOOR):
        assert sum(bool(re.match(rf"{arm} +(yes|no|\d)", line)) for line in lines) == 1


def test_twelve_arms_still_take_one_screen_and_those_without_room_are_counted() -> None:
    arms = ["list", *(f"attempt_{number}" for number in range(11))]
    text = screen(make_summary(arms, faster_us=tuple(-float(n) for n in range(11)), notes=("a note", "another")))
    lines = text.split("\n")
    assert len(lines) <= 40
    shown = sum(re.match(r"(list|attempt_\d+) +yes", line) is not None for line in lines)
    left_out = [line for line in lines if line.endswith("more arms, in the report")]
    assert left_out == ([f"and {len(arms) - shown} more arms, in the report"] if shown < len(arms) else [])
    assert any(line.startswith(FLOOR) for line in lines)
    assert any(re.match("attempt_10 +yes", line) for line in lines)  # the best one has its line in any case
    assert "attempt_10 (-5.2 %)" in " ".join(text.split())  # the best one is named


def test_long_names_are_shortened_where_they_must_be_and_stay_apart() -> None:
    mapping = "vllm.v1.worker.block_table.BlockTable.compute_slot_mapping"
    assert shortened(["torch.cat", mapping], 22) == ["torch.cat", "…compute_slot_mapping"]
    assert shortened(["a" * 20, "a" * 21, "b"], 9) == ["aaaa…aa…1", "aaaa…aa…2", "b"]
    arms = ["list", "a_candidate_with_a_name_that_says_it_all", "a_candidate_with_another_name_altogether"]
    text = screen(make_summary(arms, probes=(mapping, "torch.cat"), faster_us=(-9.0, 9.0)))
    assert "…compute_slot_mapping" in text
    assert max(map(len, text.split("\n"))) <= 80
    assert mapping in render_markdown(make_summary(arms, probes=(mapping,)))


def test_a_struck_arm_is_said_in_the_sentence_in_its_line_and_with_its_reason() -> None:
    summary = make_summary(ARMS, struck=("array",), faster_us=FASTER_US)
    text = screen(summary)
    assert verdict_sentence(summary).endswith("; array is struck.")
    assert "note: array is struck: differs at step 3 at position 5" in text
    assert next(line.split() for line in text.split("\n") if line.startswith("array ")) == [
        "array", "no", "not", "equal", "not", "equal",
    ]  # fmt: skip


def test_where_the_first_arm_is_struck_the_next_one_is_shown() -> None:
    table = build_screen_table(make_summary(ARMS, struck=("cat_frombuffers",), faster_us=FASTER_US), 80)
    assert [column.title for column in table.columns] == ["list", "array", "numpy"]


def test_withheld_verdicts_stand_in_the_sentences_place() -> None:
    summary = make_summary(ARMS, withheld=True, faster_us=FASTER_US)
    text = screen(summary)
    assert verdict_sentence(summary) == ""
    assert text.index("Verdicts are withheld. From pass 30 of 60") < text.index("us a step  ")
    assert text.count("Verdicts are withheld") == 1
    assert sum(line.count("  withheld") for line in text.split("\n")) == 2 * len(ARMS)  # five arms and A/A


def test_only_the_baseline_and_its_floor_come_with_their_table() -> None:
    summary = make_summary(["list"])
    assert verdict_sentence(summary) == "Nothing was compared with list but list itself (A/A)."
    assert [column.title for column in build_screen_table(summary, 80).columns] == ["list", FLOOR]


def test_nothing_measured_is_said_with_the_reason() -> None:
    run = make_run(status="failed", message="the engine failed")
    arms = {"list": ArmSummary(None, "not checked", 0, 0)}
    text = screen(Summary(run, arms, [], ["torch.cat"], ["the engine failed"]))
    assert "No arm was measured, so there is no table.\nnote: the engine failed" in text
    assert "the engine failed" not in screen(
        Summary(run, arms, [], [], ["the engine failed"]), told="the engine failed"
    )


def test_without_bare_passes_there_is_no_word_of_the_step() -> None:
    text = screen(make_summary(ARMS, bare=False, faster_us=FASTER_US))
    assert "whole step" not in text
    assert "step is" not in text


@pytest.mark.parametrize(("launches", "said"), [(1, "in this process"), (5, "across 5 launches")])
def test_how_far_the_intervals_hold_is_said(launches, said) -> None:
    text = screen(make_summary(ARMS, launches=launches, faster_us=FASTER_US))
    assert f"±: 95 % together, {said}." in text
    assert ("steps in 5 launches" in " ".join(text.split())) == (launches == 5)


def test_what_never_fired_is_told_in_a_line_and_more_functions_than_fit_are_counted() -> None:
    probes = tuple(f"torch.f{number}" for number in range(7))
    summary = make_summary(ARMS, probes=probes)
    silent = ProbeTotals(0.0, 0.0, 0.0, 0.0)
    arms = {name: replace(arm, probes={**arm.probes, "torch.f0": silent}) for name, arm in summary.arms.items()}
    table = build_screen_table(replace(summary, arms=arms), 80)
    assert table.rows[:5] == list(probes[1:6])
    assert table.footnotes == ["0 calls under every arm: torch.f0; 1 more functions, in the report"]


def test_many_notes_are_counted_and_long_ones_shortened(ablation) -> None:
    summary = replace(ablation, notes=[f"note {number}: {'word ' * 80}" for number in range(9)])
    lines = screen(summary).split("\n")
    assert len(lines) <= 40
    assert sum(line.endswith(" ...") for line in lines) >= 1
    assert any(line.startswith("note: ") and line.endswith(" more, in the report") for line in lines)
    assert render_markdown(summary).count("> **Note:** note ") == 9


def test_a_busy_machine_and_a_failed_selftest_are_to_be_distrusted(ablation) -> None:
    assert doubts(ablation) == []
    run = ablation.run
    busy = {**run, "machine": {**run["machine"], "load_average": [1.98, 1.0, 1.0]}, "load_average_at_end": [1.3, 1, 1]}
    assert doubts(replace(ablation, run=busy)) == [
        "the load was 1.98 before the run and 1.3 after it, on 2 cores: other work may have run beside it"
    ]
    now = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    last = {
        "when": now.isoformat(), "engine": "vllm 0.32.0", "recovered": [{"planted_us": 2}], "resolves_us": 1.0,
        "resolves_step_us": 2.0, "seconds": 9.0,
    }  # fmt: skip
    for passed in (True, False):
        told = replace(ablation, run={**run, "selftest": describe({**last, "passed": passed}, now)})
        assert len(doubts(told)) == (not passed)


def test_a_figure_below_its_own_cost_is_explained(ablation) -> None:
    arms = {
        name: replace(arm, probes={probe: replace(of, self_ns=9 * of.self_ns) for probe, of in arm.probes.items()})
        for name, arm in ablation.arms.items()
    }
    assert f"note: {DAGGER} smaller than the cost of timing it" in screen(replace(ablation, arms=arms))


@pytest.mark.parametrize(
    ("interval", "half_width", "estimate"),
    [
        (Interval(2.7934, 2.7134, 2.8734), "+2.79 ±0.08", "+2.79"),
        (Interval(-1.8332, -1.949, -1.7174), "-1.83 ±0.12", "-1.83"),
        (Interval(0.05, -0.05, 0.15), "+0.05 ±0.10", "(+0.05)"),
        (Interval(3.0, float("-inf"), float("inf")), "+3 [too few groups]", "(+3)"),
    ],
)
def test_shorter_forms_keep_the_digits_of_the_interval(interval, half_width, estimate) -> None:
    assert format_half_width(interval) == half_width
    assert format_estimate(interval) == estimate


def test_pages_hold_every_figure_of_the_full_print_and_begin_with_the_sentence(ablation) -> None:
    markdown, page = render_markdown(ablation), render_html(ablation, plots=[])
    plain = page.replace("<span>", "").replace("</span>", "")
    for column in build_table(ablation).columns:
        for cell in column.cells:
            assert cell in markdown
            assert cell in plain
    for text, first_table in ((markdown, "| arm"), (page, "<table")):
        assert text.index(verdict_sentence(ablation)) < text.index(first_table)
    console = Console(file=io.StringIO(), width=80)
    print_summary(ablation, console)
    for column in build_table(ablation).columns:
        for cell in column.cells:
            assert cell in console.file.getvalue()
