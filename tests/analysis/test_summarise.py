"""From records to numbers, on records with known times."""

from __future__ import annotations

import json
from importlib import resources

import jsonschema
import numpy as np
import pandas as pd
import pytest

from harness.analysis.drift import LevelShift
from harness.analysis.summarise import summarise
from harness.records.folder import Records
from harness.seams import AA

PROBES = ["torch.cat", "compute_slot_mapping"]
GROUPS, STEPS = 6, 5
INSIDE, OUTSIDE = 100.0, 50.0


def make_run(**changes):
    return {
        "schema": 2,
        "status": "complete",
        "message": "",
        "command": ["python", "-m", "harness", "run", "config.yaml", "--out", "x"],
        "config_file": "config.yaml",
        "config": {
            "title": "A title",
            "seam": "slot_mapping",
            "scope": "_prepare_inputs",
            "baseline": "list",
            "arms": [{"name": "list"}, {"name": "array"}, {"name": "wrong"}],
            "probes": PROBES,
            "protocol": {"groups": GROUPS, "grain": "step", "order": "random", "confidence": 0.95, "seed": 0,
                         "margin": 0.01, "bare": True, "drift": "share"},
        },
        "machine": {
            "cpu": "A processor", "usable_cores": 2, "cores": 2, "memory_gib": 24.0, "system": "Linux 6 x86_64",
            "load_average": [0.1, 0.1, 0.1], "python": "3.11.7",
        },
        "versions": {"torch": "2.13.0"},
        "host": {
            "engine": "vllm", "version": "0.32.0", "runner": "CPUModelRunner", "device": "cpu", "world_size": 1,
            "model": "LlamaForCausalLM", "max_model_len": 2048,
            "details": {"process": "in_process", "torch_threads": 1, "block_size": [128], "dtype": "bfloat16"},
        },
        "engine_args": {"model": "models/tiny-llama"},
        "workload": {"requests": 3, "prompt_tokens": 16, "output_tokens": 12, "clipped": 0},
        "steps": {
            "count": STEPS,
            "num_reqs": [3] * STEPS,
            "num_tokens": [16] + [3] * (STEPS - 1),
            "num_prefills": [3] + [0] * (STEPS - 1),
        },
        "calibration": {"inside_ns": INSIDE, "outside_ns": OUTSIDE, "spread_ns": 5.0},
        "equality": {
            "list": {"equal": True, "reason": ""},
            "array": {"equal": True, "reason": ""},
            "wrong": {"equal": False, "reason": "differs at step 3 at position 5: expected 7, found 8 (1 differ)"},
        },
        "arms_measured": ["list", "array", AA],
        **changes,
    }  # fmt: skip


def make_frame() -> pd.DataFrame:
    """`array` calls cat twice within compute_slot_mapping, 1 us each, and is 10 us faster in the rest of it."""
    rows = []
    for group in range(GROUPS):
        for step in range(STEPS):
            jitter = 10 * ((group * 7 + step) % 3)
            for arm, cats, slots_ns in (("list", 0, 40_000), ("array", 2, 30_000), (AA, 0, 40_000)):
                # As timed end to end, `array` is 8 us faster, and a probed step takes 3 us longer than a bare one.
                events = {"gc_collections": 0, "page_faults": 2, "involuntary_switches": 0}
                bare = {"group": group, "step": step, "pass": group, "arm": arm, "probed": False, **events}
                rows.append({**bare, "execute_ns": 500_000 + jitter - 8000 * (arm == "array"), "sample_ns": 20_000})
                cat_total = cats * (1000 + INSIDE)
                slots_self = slots_ns + jitter + INSIDE + cats * OUTSIDE
                rest = 100_000 + INSIDE + OUTSIDE  # the scope's own reading, and one probe directly within
                rows.append(
                    {
                        **bare, "probed": True,
                        "execute_ns": 503_000 + jitter - 8000 * (arm == "array"), "sample_ns": 20_000,
                        "scope.calls": 1, "scope.total_ns": rest + slots_self + cat_total, "scope.self_ns": rest,
                        "scope.nested_calls": 1,
                        "torch.cat.calls": cats, "torch.cat.total_ns": cat_total, "torch.cat.self_ns": cat_total,
                        "torch.cat.nested_calls": 0,
                        "compute_slot_mapping.calls": 1, "compute_slot_mapping.total_ns": slots_self + cat_total,
                        "compute_slot_mapping.self_ns": slots_self, "compute_slot_mapping.nested_calls": cats,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows).fillna(0).sample(frac=1, random_state=0)  # rows may come in any order


def make_counters() -> pd.DataFrame:
    """What a counting pass gives: one row a (arm, step)."""
    counted = {"scope_aten_dispatches": 8, "scope_device_copies": 1, "scope_device_copy_bytes": 96}
    counted |= {"step_aten_dispatches": 20, "step_device_copies": 3, "step_device_copy_bytes": 4000}
    rows = [{"arm": "list", "step": step, **counted} for step in range(STEPS)]
    return pd.DataFrame([*rows, *({**row, "arm": "array", "scope_aten_dispatches": 6 + row["step"]} for row in rows)])


@pytest.fixture
def summary():
    return summarise(Records(make_run(), make_frame(), counters=make_counters()))


def test_corrected_times_are_what_the_functions_took(summary) -> None:
    array = summary.arms["array"]
    assert array.probes["torch.cat"].calls == 2 * STEPS
    assert array.probes["torch.cat"].corrected_self_ns == pytest.approx(2000 * STEPS)
    assert array.probes["compute_slot_mapping"].corrected_self_ns == pytest.approx(30_000 * STEPS, rel=1e-3)
    assert array.corrected_residual_ns == pytest.approx(100_000 * STEPS)
    assert array.step_ns == pytest.approx(515_000 * STEPS, rel=1e-3)
    assert array.bare_step_ns == pytest.approx(512_000 * STEPS, rel=1e-3)
    assert (array.steps, array.passes) == (STEPS, GROUPS)


@pytest.mark.parametrize("arm", ["list", "array"])
def test_parts_rebuild_the_whole_raw_and_corrected(summary, arm) -> None:
    arm = summary.arms[arm]
    raw = sum(probe.self_ns for probe in arm.probes.values()) + arm.residual_ns
    corrected = sum(probe.corrected_self_ns for probe in arm.probes.values()) + arm.corrected_residual_ns
    assert raw == pytest.approx(arm.scope_ns)
    assert corrected == pytest.approx(arm.corrected_scope_ns)


def test_differences_are_corrected_and_in_both_units(summary) -> None:
    scope = summary.difference("array", "scope")
    assert scope.per_step_us.estimate == pytest.approx(-10 + 2, abs=1e-6)
    assert scope.per_pass_ms.estimate == pytest.approx(-8 * STEPS / 1000, abs=1e-6)
    cat = summary.difference("array", "torch.cat")
    assert cat.per_step_us.estimate == pytest.approx(2)
    assert cat.per_step_us.low <= 2 <= cat.per_step_us.high
    assert summary.difference("array", "rest").per_step_us.estimate == pytest.approx(0, abs=1e-9)


def test_a_probe_that_neither_arm_called_is_not_compared() -> None:
    frame = make_frame()
    frame.loc[:, [column for column in frame if column.startswith("torch.cat.")]] = 0
    summary = summarise(Records(make_run(), frame))
    assert summary.difference("array", "torch.cat") is None
    assert summary.arms["array"].probes["torch.cat"].calls == 0


def test_verdicts_come_from_the_intervals(summary) -> None:
    assert summary.difference("array", "scope").verdict == "faster"
    assert summary.difference("array", "step").verdict == "faster"
    assert summary.difference("array", "torch.cat").verdict == "slower"
    assert summary.difference(AA, "scope").verdict == "equivalent"
    assert summary.margin_us == pytest.approx(1.4, rel=0.01)  # 1 % of 140 us


def test_the_end_to_end_difference_comes_from_bare_steps_alone(summary) -> None:
    assert summary.difference("array", "step").per_step_us.estimate == pytest.approx(-8)
    frame = make_frame()
    frame.loc[frame["probed"] & (frame["arm"] == "array"), "execute_ns"] += 10**6
    again = summarise(Records(make_run(), frame))
    assert again.difference("array", "step") == summary.difference("array", "step")


def test_the_instruments_own_cost_is_probed_minus_bare(summary) -> None:
    costs = {cost.arm: cost for cost in summary.own_costs}
    assert costs["list"].per_step_us.estimate == pytest.approx(3)
    assert costs["list"].share == pytest.approx(3 / 520, rel=1e-3)


def test_intervals_are_adjusted_for_their_number(summary) -> None:
    """One family of all that carries a claim.

    Two arms in six metrics each, but for A/A that never calls torch.cat: 11. The means of scope and step: 4. Two batch
    shapes: 4. Outlying steps: 2. Own costs of three arms: 3.
    """
    assert len(summary.comparisons) == 11
    assert len(summary.shapes) == 4
    assert summary.confidence_each == pytest.approx(1 - 0.05 / 24)


def test_without_bare_steps_there_is_no_end_to_end_figure() -> None:
    run = make_run()
    run["config"]["protocol"]["bare"] = False
    frame = make_frame()
    summary = summarise(Records(run, frame[frame["probed"]]))
    assert summary.difference("array", "step") is None
    assert summary.own_costs == []
    assert summary.arms["list"].bare_step_ns is None
    assert summary.difference("array", "scope") is not None


def test_a_baseline_that_differs_from_itself_is_said_out_loud() -> None:
    frame = make_frame()
    frame.loc[frame["probed"] & (frame["arm"] == AA), "scope.self_ns"] += 50_000
    notes = summarise(Records(make_run(), frame)).notes
    assert "the baseline came out slower than itself (A/A) in scope: do not trust such verdicts of this run" in notes


def test_an_unequal_arm_has_no_figures(summary) -> None:
    wrong = summary.arms["wrong"]
    assert (wrong.equal, wrong.measured, wrong.probes) == (False, False, {})
    assert summary.difference("wrong", "scope") is None


def test_an_unfinished_group_is_left_out_and_noted() -> None:
    frame = make_frame()
    cut = frame[~((frame["group"] == GROUPS - 1) & (frame["arm"] == "array") & (frame["step"] > 1))]
    summary = summarise(Records(make_run(), cut))
    assert summary.arms["list"].passes == GROUPS - 1
    assert f"1 of {GROUPS} groups lack a pass and are left out" in summary.notes


def test_an_unfinished_group_of_a_launch_is_left_out_there_and_noted_with_the_launchs_number() -> None:
    frame = make_frame()
    cut = frame[~((frame["group"] == GROUPS - 1) & (frame["arm"] == "array"))]
    launches = [Records(make_run(), each) for each in (frame, cut, frame)]
    summary = summarise(Records(make_run(), {}, launches=launches))
    assert summary.arms["list"].passes == 3 * GROUPS - 1
    assert [note for note in summary.notes if "lack a pass" in note] == [
        f"launch 2: 1 of {GROUPS} groups lack a pass and are left out"
    ]


@pytest.mark.parametrize(
    ("run", "records", "note"),
    [
        ({"status": "running"}, {}, "this run never ended by itself"),
        ({"status": "interrupted", "message": "interrupted; 3 of 9"}, {}, "interrupted; 3 of 9"),
        ({"workload": {"clipped": 4, "requests": 9, "prompt_tokens": 1, "output_tokens": 1}}, {},
         "4 requests were clipped to the model's 2048 tokens"),
        ({}, {"partial": ["0003.partial.parquet"]}, "cut short, so kept but not analysed: 0003.partial.parquet"),
        ({}, {"unreadable": {"passes/0001.parquet": "torn"}}, "left out, since it cannot be read: passes/0001"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(run, records, note) -> None:
    summary = summarise(Records(make_run(**run), make_frame(), **records))
    assert any(found.startswith(note) for found in summary.notes)


def test_a_struck_baseline_leaves_totals_and_no_differences() -> None:
    frame = make_frame()
    only = make_run(arms_measured=["array"])
    summary = summarise(Records(only, frame[frame["arm"] == "array"]))
    assert summary.comparisons == []
    assert summary.arms["array"].measured
    assert "the baseline 'list' was not measured, so there are no differences" in summary.notes


def test_nothing_measured_gives_arms_without_figures() -> None:
    summary = summarise(Records(make_run(arms_measured=[], equality={}), pd.DataFrame()))
    assert not any(arm.measured for arm in summary.arms.values())
    assert {arm.equal for arm in summary.arms.values()} == {None}


@pytest.mark.parametrize("groups", [GROUPS, 2])
def test_summary_json_keeps_its_schema(groups) -> None:
    schema = json.loads(resources.files("harness").joinpath("schemas/summary.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    frame = make_frame()
    summary = summarise(Records(make_run(), frame[frame["group"] < groups]))
    content = json.loads(json.dumps(summary.as_json(), allow_nan=False))
    jsonschema.validate(content, schema)
    assert {comparison["metric"] for comparison in content["comparisons"]} == {"scope", "step", *PROBES}
    assert (content["comparisons"][0]["per_step_us"]["low"] is None) == (groups < 3)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "schema": 99}, schema)


def test_the_estimate_does_not_depend_on_the_order_of_rows(summary) -> None:
    again = summarise(Records(make_run(), make_frame().sort_values(["step", "arm", "group"])))
    assert again.comparisons == summary.comparisons
    assert np.isfinite(again.comparisons[0].per_step_us.low)


def test_tokens_a_second_come_from_bare_steps_and_their_difference(summary) -> None:
    """12 tokens in 5 steps of 520 us, and of 512 us."""
    found = {throughput.arm: throughput for throughput in summary.throughput}
    assert set(found) == {"list", "array", AA}
    assert found["list"].tokens_per_s == pytest.approx(12 / 2.6e-3, rel=1e-3)
    assert found["list"].difference is None
    assert found["array"].difference.estimate == pytest.approx(12 / 2.56e-3 - 12 / 2.6e-3, rel=1e-2)
    assert found["array"].difference.low > 0


def test_counters_are_means_a_step(summary) -> None:
    assert summary.counters["list"]["step_device_copy_bytes"] == 4000
    assert summary.counters["array"]["scope_aten_dispatches"] == 8  # 6 to 10


def test_a_level_shift_takes_every_verdict_back(monkeypatch) -> None:
    shift = LevelShift("share", 1, 3, 6, 0.03, 99.0, withholds=True)
    monkeypatch.setattr("harness.analysis.summarise.find_drift", lambda *args: [shift])
    summary = summarise(Records(make_run(), make_frame()))
    assert summary.withheld
    assert {found.verdict for found in [*summary.comparisons, *summary.shapes]} == {"withheld"}
    assert summary.difference("array", "scope").per_step_us.high < 0  # the figures stay
    schema = json.loads(resources.files("harness").joinpath("schemas/summary.schema.json").read_text())
    jsonschema.validate(summary.as_json(), schema)


def test_summary_json_of_an_engine_that_never_started_has_no_host_and_no_figures() -> None:
    run = make_run(status="failed", message="the engine did not start", arms_measured=[])
    del run["host"]
    content = summarise(Records(run, {})).as_json()
    assert content["host"] == {"engine": "", "version": "", "runner": "", "device": ""}
    assert (content["status"], content["baseline"], content["confidence"]) == ("failed", "list", 0.95)
    assert content["notes"] == ["the engine did not start"]
    for empty in ("comparisons", "throughput", "own_costs", "shapes", "drift", "rare"):
        assert content[empty] == []
    for absent in ("exposure", "outliers"):
        assert content[absent] is None
    assert content["counters"] == content["device"] == content["flamegraphs"] == {}
    assert content["drift_tested"] is False
    assert content["arms"]["wrong"] == {
        "equal": False, "reason": "differs at step 3 at position 5: expected 7, found 8 (1 differ)", "steps": 0,
        "passes": 0, "step_ns": 0.0, "bare_step_ns": None, "scope_ns": 0.0, "residual_ns": 0.0,
        "corrected_scope_ns": 0.0, "corrected_residual_ns": 0.0, "probes": {},
    }  # fmt: skip
