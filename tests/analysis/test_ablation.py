"""The published ablation beside a run's: by sign and share, and only where the run is the issue's ablation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.analysis.ablation import published_beside_measured
from harness.analysis.intervals import Interval
from harness.analysis.metrics import SUM
from harness.analysis.summarise import summarise
from harness.analysis.summary import ArmSummary, Comparison, ProbeTotals, Summary
from harness.records.folder import Records
from harness.report.html import render_html
from harness.report.markdown import render_markdown
from tests.analysis.test_summarise import make_frame, make_run

APIS = ["torch.tensor", "compute_slot_mapping", "torch.frombuffer", "torch.cat"]
DIFFERENCES_MS = {  # torch.tensor less, compute_slot_mapping not resolved, torch.frombuffer more, torch.cat less
    "torch.tensor": (-1.0, -1.2, -0.8), "compute_slot_mapping": (0.1, -0.3, 0.5),
    "torch.frombuffer": (2.0, 1.5, 2.5), "torch.cat": (-0.4, -0.5, -0.3), SUM: (0.7, 0.2, 1.2),
}  # fmt: skip


@pytest.fixture
def summary() -> Summary:
    """`list` takes 10 ms in all four APIs."""
    run = make_run()
    run["config"] = {
        **run["config"], "host": {"kind": "vllm_v0"}, "seam": "slot_mapping", "baseline": "list", "probes": APIS,
    }  # fmt: skip
    probes = {
        "torch.tensor": ProbeTotals(64, 6_000_000, 6_000_000, 6_000_000.0),
        "compute_slot_mapping": ProbeTotals(8192, 4_000_000, 4_000_000, 4_000_000.0),
        "torch.frombuffer": ProbeTotals(0, 0, 0, 0.0),
        "torch.cat": ProbeTotals(0, 0, 0, 0.0),
    }
    arm = ArmSummary(True, "", steps=64, passes=20, step_ns=1e9, scope_ns=2e8, corrected_scope_ns=2e8, probes=probes)
    comparisons = [
        Comparison("array", "list", metric, Interval(*ms), Interval(*ms), "faster")
        for metric, ms in DIFFERENCES_MS.items()
    ]
    return Summary(run, {"list": arm, "array": arm}, comparisons, APIS, [])


def test_shares_and_signs_are_those_of_the_table(summary) -> None:
    rows = {row.api: row for row in published_beside_measured(summary)}
    assert list(rows) == [*APIS, "sum of these"]
    # Published: list takes 0.172 + 0.0214 s; array -0.014, +0.0024, +0.00881 and +0.00637 s more.
    assert [round(row.published, 2) for row in rows.values()] == [-7.24, 1.24, 4.56, 3.29, 1.85]
    assert [row.measured.estimate for row in rows.values()] == pytest.approx([-10, 1, 20, -4, 7])
    assert [row.agreement for row in rows.values()] == ["same", "not resolved", "same", "other", "same"]
    assert rows["torch.tensor"].sentence == (
        "torch.tensor: as published array takes less (-7.2 %), and so it does here (-12.0 to -8.0 %)"
    )
    assert rows["torch.cat"].sentence.endswith("(+3.3 %), and here it does not: -5.0 to -3.0 %")
    assert "not resolved (-3.0 to 5.0 %)" in rows["compute_slot_mapping"].sentence


def test_what_was_not_measured_is_said_and_a_part_has_no_sum(summary) -> None:
    part = replace(
        summary, probes=APIS[:2], comparisons=[c for c in summary.comparisons if c.metric in (*APIS[:2], SUM)]
    )
    agreements = {row.api: row.agreement for row in published_beside_measured(part)}
    assert agreements == {
        "torch.tensor": "same", "compute_slot_mapping": "not resolved", "torch.frombuffer": "not measured",
        "torch.cat": "not measured", "sum of these": "not measured",
    }  # fmt: skip


@pytest.mark.parametrize("change", [{"host": {"kind": "vllm"}}, {"seam": "decode_seq_lens"}, {"baseline": "native"}])
def test_only_the_issues_ablation_on_its_own_code_path_is_held_against_it(summary, change) -> None:
    run = {**summary.run, "config": {**summary.run["config"], **change}}
    assert published_beside_measured(replace(summary, run=run)) == []


def test_without_the_arm_there_is_nothing_to_hold(summary) -> None:
    assert published_beside_measured(replace(summary, arms={"list": summary.arms["list"]})) == []


def test_both_reports_show_it_and_no_published_time(summary) -> None:
    whole = summarise(Records(make_run(), make_frame()))
    config = {**whole.run["config"], "host": {"kind": "vllm_v0"}, "seam": "slot_mapping", "baseline": "list"}
    arms = {**whole.arms, "array": whole.arms[next(n for n in whole.arms if n not in ("list", "A/A"))]}
    shown = replace(whole, run={**whole.run, "config": config}, arms=arms)
    for text in (render_markdown(shown), render_html(shown, plots=[])):
        assert "as published and as measured here" in text
        assert "times are not to be compared" in text
        assert "0.172" not in text
