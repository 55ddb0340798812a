"""What a reader must know of a run before its figures, sentence by sentence."""

from __future__ import annotations

import dataclasses

import pytest

from harness.analysis.intervals import Interval
from harness.analysis.metrics import OF_CPU
from harness.analysis.rare import RareCosts
from harness.analysis.run_notes import EMULATED, HOST_TABLES, OPTIONS, rare_notes, run_notes
from harness.analysis.summary import Comparison, Summary
from harness.records.folder import Records
from tests.analysis.test_summarise import make_run

RUN = make_run()


def notes(**changes) -> list[str]:
    return run_notes(Records(make_run(**changes), {}))


def host(**changes):
    return {"host": {**RUN["host"], **changes}}


def details(**changes):
    return {"details": {**RUN["host"]["details"], **changes}}


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"status": "running", "message": "any"},
         "this run never ended by itself: its process was killed, or is still running"),
        ({"status": "failed", "message": ""}, "this run is failed"),
        ({"status": "interrupted", "message": "interrupted; 5 of 12 passes"}, "interrupted; 5 of 12 passes"),
        ({"message": "arm 'wrong' differs"}, "arm 'wrong' differs"),
        ({"workload": {"clipped": 3}}, "3 requests were clipped to the model's 2048 tokens"),
        (host(**details(generation="v2")), HOST_TABLES),
        ({**host(**details(dtype="bfloat16")), "machine": {"native_bfloat16": False}}, EMULATED),
        ({"plan": {"groups": 5, "fit": 3, "asked_s": 45.0, "expected_s": 60.0}},
         "only 5 groups were measured, the fewest that give an interval (45 s had room for 3): intervals are wide"),
        ({"not_counted": ["list", "array"]},
         "not counted, since counting the other arms used up the time for it: list, array"),
        ({"checked": {"leaves": 7, "not_repeated": list("abcdefg"), "not_reset": "the engine core is out of reach"}},
         "the engine core is out of reach: block ids do not repeat from pass to pass, so these are compared by tokens "
         "alone: a, b, c, d, e and 2 more"),
        ({"checked": {"leaves": 7, "not_repeated": ["a"], "not_reset": "the engine core still holds blocks"}},
         "the engine core still holds blocks: block ids do not repeat from pass to pass, so these are compared by "
         "tokens alone: a"),
        ({"not_traced": ["array"]}, "not traced, since tracing the other arms used up the time for it: array"),
        ({"other_threads": 12_345},
         "12,345 calls of probes came from other threads while the scope was open; they are in no figure of a "
         "probe, and the scope waited for some of them"),
        ({"flamegraphs_missing": "py-spy gave up"}, "no flamegraphs: py-spy gave up"),
        ({"flamegraphs_missing": "it gave up", "flamegraphs": {"list": {}, "array": {}}},
         "flamegraphs of list, array only: it gave up"),
    ],
)  # fmt: skip
def test_each_thing_that_a_reader_must_know_is_one_note(changes, note) -> None:
    assert notes(**changes) == [note]


@pytest.mark.parametrize("option", ["sync", "nvtx"])
def test_options_that_change_what_is_timed_are_told(option) -> None:
    protocol = {**RUN["config"]["protocol"], option: True}
    assert notes(config={**RUN["config"], "protocol": protocol}) == [OPTIONS[option]]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"plan": {"groups": 5, "fit": 5, "asked_s": 45.0}},
        {"plan": {"groups": 5, "fit": None, "asked_s": None}},
        {"other_threads": 0, "not_counted": [], "workload": {}},
        {"checked": {"leaves": 7, "not_repeated": ["a"], "not_reset": ""}},
        {"checked": {"leaves": 7, "not_repeated": [], "not_reset": "the engine core is out of reach"}},
        {**host(**details(dtype="float32")), "machine": {"native_bfloat16": False}},
        {**host(device="cuda:0", **details(dtype="bfloat16")), "machine": {"native_bfloat16": False}},
        {**host(**details(dtype="bfloat16")), "machine": {"native_bfloat16": True}},
        {"host": {}},
    ],
)
def test_where_all_is_as_usual_nothing_is_said(changes) -> None:
    assert notes(**changes) == []


def test_what_was_left_out_of_the_records_is_named() -> None:
    records = Records(make_run(), {}, partial=["0003.partial.parquet", "0009.partial.parquet"],
                      unreadable={"0004.parquet": "torn"})  # fmt: skip
    assert run_notes(records) == [
        "cut short, so kept but not analysed: 0003.partial.parquet, 0009.partial.parquet",
        "left out, since it cannot be read: 0004.parquet (torn)",
    ]


# Accumulated time beside the usual step.


def interval(estimate: float) -> Interval:
    return Interval(estimate, estimate - 1, estimate + 1)


def compared(
    metric: str, usual: float, verdict: str, means: float | None = None, means_verdict: str = ""
) -> Comparison:
    return Comparison("array", "list", metric, interval(usual), interval(usual), verdict,
                      None if means is None else interval(means), means_verdict)  # fmt: skip


def told(*comparisons: Comparison, rare: tuple[RareCosts, ...] = ()) -> list[str]:
    return rare_notes(Summary(make_run(), {}, list(comparisons), [], [], rare=list(rare)))


@pytest.mark.parametrize(("metric", "where"), [("scope", "_prepare_inputs"), ("step", "the whole step")])
def test_accumulated_time_that_says_something_else_is_a_note(metric, where) -> None:
    assert told(compared(metric, -5.0, "faster", 12.3456, "slower")) == [
        f"array, {where}: faster in the usual step (-5 [-6, -4] us), slower in accumulated time (+12.3 [11.3, 13.3] "
        "us a step): much of the difference comes rarely"
    ]
    assert len(told(compared(metric, 5.0, "slower", 12.0, "slower"))) == 1  # the same, and elsewhere
    assert len(told(compared(metric, 12.0, "slower", 5.0, "slower"))) == 1
    assert len(told(compared(metric, 1.0, "equivalent", 1.5, "slower"))) == 1  # there, and not the same


@pytest.mark.parametrize(
    "comparison",
    [
        compared("scope", 5.0, "slower", 6.0, "slower"),
        compared("scope", 5.0, "slower", 7.0, "slower"),  # intervals that touch
        compared("scope", 7.0, "slower", 5.0, "slower"),
        compared("scope", 5.0, "slower", 60.0, "not resolved"),
        compared("scope", 5.0, "slower"),
    ],
)
def test_accumulated_time_that_says_the_same_or_nothing_is_none(comparison) -> None:
    assert told(comparison) == []


@pytest.mark.parametrize(("metric", "where"), [("scope", "_prepare_inputs"), ("step", "the whole step")])
def test_a_difference_by_the_clock_that_is_none_of_the_processor_is_a_note(metric, where) -> None:
    waiting = compared(metric, 20.0, "slower"), compared(OF_CPU[metric], 1.0, "not resolved")
    assert told(*waiting) == [
        f"array, {where}: slower by the clock (+20 [19, 21] us a step), not resolved in CPU time (+1 [0, 2] us): "
        "the rest is waiting, for other threads, processes or a device"
    ]
    assert len(told(compared(metric, -20.0, "faster"), waiting[1])) == 1
    assert told(compared(metric, 20.0, "withheld"), waiting[1]) == []
    assert told(compared(metric, 2.0, "slower"), waiting[1]) == []
    assert told(waiting[0]) == []


def test_an_arm_with_more_outlying_steps_is_a_note() -> None:
    baseline = RareCosts("list", 1.0, 2.0, 3.0, 800, 2, 0.4, None, "")
    more = RareCosts("array", 1.0, 2.0, 3.0, 400, 52, 123.4, 0.001, "more often")
    note = (
        "array has outlying steps more often than list: 13 % against 0.25 % of its steps, with 120 us a step above the "
        "usual"
    )
    assert told(rare=(baseline, more)) == [note]
    fewer = dataclasses.replace(more, verdict="less often")
    assert told(rare=(baseline, fewer)) == [note.replace("more often", "less often")]
    assert told(rare=(baseline, dataclasses.replace(more, verdict="not resolved"))) == []
