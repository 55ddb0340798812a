"""Where an answer turns along an axis, on differences that are known; and a sweep's records made into numbers."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.intervals import Interval
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.sweep import Place, crossovers_along, is_wide, summarise_sweep, values_told
from harness.records.folder import Records
from harness.records.sweep import SweepRecords
from tests.analysis.test_summarise import make_frame, make_run

AXIS = "workload.requests"


def place(value: float, estimate: float, half: float = 1.0) -> Place:
    return Place(value, Interval(estimate, estimate - half, estimate + half))


def test_a_crossover_lies_where_the_line_crosses_and_its_limits_where_the_band_does() -> None:
    ((estimate, low, high, below),) = crossovers_along([place(0, 4), place(1, -4)])
    assert (estimate, low, high, below) == pytest.approx((0.5, 0.375, 0.625, "slower"))
    ((estimate, low, high, below),) = crossovers_along([place(1, -4), place(2, 4, 2.0)])
    assert below == "faster"
    assert low == pytest.approx(1 + 3 / 9)  # the upper limit, from -3 to 6
    assert high == pytest.approx(1 + 5 / 7)  # the lower limit, from -5 to 2
    assert estimate == pytest.approx(1.5)


def test_a_wide_axis_is_gone_along_by_its_logarithm() -> None:
    ((estimate, *_),) = crossovers_along([place(1, 4), place(64, -4)])
    assert estimate == pytest.approx(8)
    ((estimate, *_),) = crossovers_along([place(0, 4), place(64, -4)])  # no logarithm of 0
    assert estimate == pytest.approx(32)
    assert not is_wide([16, 32])
    assert is_wide([1, 64])


@pytest.mark.parametrize("limits", [(-2, -4, 0), (2, 0, 4)])
def test_a_difference_whose_limit_is_zero_is_not_resolved(limits) -> None:
    assert not list(crossovers_along([place(0, 4), Place(1, Interval(*limits))]))
    assert not list(crossovers_along([place(0, -4), Place(1, Interval(*limits))]))


@pytest.mark.parametrize(
    "estimates",
    [[4, 5, 6], [-4, -5], [4, 0.5], [0.5, -0.5], [], [4], [4, 0.2, 5]],
)
def test_no_crossover_without_two_resolved_signs(estimates) -> None:
    assert not list(crossovers_along([place(index, value) for index, value in enumerate(estimates)]))


def test_points_between_at_which_nothing_is_resolved_are_inside_the_interval() -> None:
    ((estimate, low, high, _),) = crossovers_along([place(0, 4), place(1, 0.5), place(2, -0.5), place(3, -4)])
    assert low < 1 < 2 < high
    assert estimate == pytest.approx(1.5)


@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(0.1, 20)), min_size=2, max_size=8),
    st.booleans(),
)
def test_every_crossover_lies_between_resolved_points_of_opposite_sign(drawn, from_one) -> None:
    places = [place(index + from_one, estimate, half) for index, (estimate, half) in enumerate(drawn)]
    resolved = [each for each in places if each.percent.low > 0 or each.percent.high < 0]
    turns = [(a, b) for a, b in pairwise(resolved) if (a.percent.estimate > 0) != (b.percent.estimate > 0)]
    found = list(crossovers_along(places))
    assert len(found) == len(turns)
    for (before, after), (estimate, low, high, below) in zip(turns, found, strict=True):
        assert before.value <= low <= high <= after.value
        assert low - 1e-9 <= estimate <= high + 1e-9
        assert below == ("slower" if before.percent.estimate > 0 else "faster")


def make_sweep(*shifts_us: float) -> SweepRecords:
    """A point for each: there `array` takes so much longer in the scope than `list`, and as much in the step."""
    run = make_run()
    values = [2**index for index in range(len(shifts_us))]
    run["config"]["sweep"] = {AXIS: values}
    run["points"] = [{"number": n, "values": {AXIS: value}} for n, value in enumerate(values, start=1)]
    points = {}
    for number, shift_us in enumerate(shifts_us, start=1):
        frame = make_frame()
        of_array = frame["arm"] == "array"
        for column, of in (("scope.total_ns", of_array), ("compute_slot_mapping.self_ns", of_array)):
            frame.loc[of & frame["probed"], column] += int((shift_us + 10) * 1e3) - 2_000
        frame.loc[of_array, "execute_ns"] += int((shift_us + 8) * 1e3)
        own = copy.deepcopy(make_run())
        points[number] = Records(own, {name: frame[name].to_numpy() for name in frame})
    return SweepRecords(run, points)


def test_each_point_is_summarised_and_the_crossover_is_found() -> None:
    whole = summarise_sweep(make_sweep(20, 8, -8, -20))
    assert [point.values[AXIS] for point in whole.points] == [1, 2, 4, 8]
    for point, shift_us in zip(whole.points, (20, 8, -8, -20), strict=True):
        found = point.difference("array", STEP)
        assert found is not None
        assert found.per_step_us.estimate == pytest.approx(shift_us, abs=0.2)
    (in_step,) = [found for found in whole.crossovers if (found.arm, found.metric) == ("array", STEP)]
    assert (in_step.below, in_step.above, in_step.axis) == ("slower", "faster", AXIS)
    assert in_step.estimate == pytest.approx(math.sqrt(8), rel=0.02)
    assert not whole.notes


def test_the_intervals_of_all_points_hold_together() -> None:
    one, four = (summarise_sweep(make_sweep(*[5] * count)).points[0].summary for count in (1, 4))
    assert 1 - four.confidence_each == pytest.approx((1 - one.confidence_each) / 4, rel=0.05)


def test_what_was_not_run_or_not_read_is_noted() -> None:
    records = make_sweep(20, 8, -8)
    del records.points[2]
    records.unreadable[2] = "its config has other arms"
    del records.points[3]
    whole = summarise_sweep(records)
    assert whole.notes == [f"{AXIS}=2: its config has other arms", f"{AXIS}=4: was not run"]
    assert whole.points[1].summary is None
    assert whole.as_json()["points"][1]["differences"] == []


def test_what_is_written_of_a_sweep_is_what_was_found() -> None:
    whole = summarise_sweep(make_sweep(20, 8, -8, -20))
    told = whole.as_json()
    json.dumps(told, allow_nan=False)
    assert (told["schema"], told["kind"], told["status"], told["baseline"]) == (1, "sweep", "complete", "list")
    assert (told["axes"], told["notes"]) == ({AXIS: [1, 2, 4, 8]}, [])
    assert [(point["number"], point["values"]) for point in told["points"]] == [
        (number, {AXIS: 2 ** (number - 1)}) for number in (1, 2, 3, 4)
    ]
    for point, shift_us in zip(told["points"], (20, 8, -8, -20), strict=True):
        assert point["baseline_us"] == {"scope": pytest.approx(140, abs=0.1), "step": pytest.approx(520, abs=0.1)}
        found = {(each["arm"], each["metric"]): each for each in point["differences"]}
        assert set(found) == {(arm, metric) for arm in ("array", "A/A") for metric in ("scope", "step")}
        assert found["array", "step"]["per_step_us"]["estimate"] == pytest.approx(shift_us, abs=0.2)
    in_step = next(each for each in told["crossovers"] if (each["arm"], each["metric"]) == ("array", "step"))
    assert (in_step["axis"], in_step["fixed"], in_step["below"], in_step["above"]) == (AXIS, {}, "slower", "faster")
    assert 2 <= in_step["low"] <= in_step["estimate"] <= in_step["high"] <= 4


def test_a_difference_is_told_in_per_cent_of_the_baseline_of_its_own_metric() -> None:
    (point,) = summarise_sweep(make_sweep(20)).points
    assert point.percent("array", STEP).estimate == pytest.approx(20 / 520 * 100, abs=0.05)
    assert point.percent("array", SCOPE).estimate == pytest.approx(20 / 140 * 100, abs=0.1)
    assert point.percent("gone", STEP) is None
    assert point.difference("gone", STEP) is None


def test_a_point_of_too_few_groups_has_no_difference_that_can_be_told_or_written() -> None:
    """Its limits are infinite, which JSON does not have; and no crossover may lie at it."""
    records = make_sweep(20, -20)
    for number, point in records.points.items():
        kept = np.asarray(point.columns["group"]) == 0
        columns = {name: np.asarray(column)[kept] for name, column in point.columns.items()}
        records.points[number] = replace(point, columns=columns)
    whole = summarise_sweep(records)
    assert whole.points[0].summary.comparisons
    assert [point["differences"] for point in whole.as_json()["points"]] == [[], []]
    assert whole.crossovers == []


def test_a_run_without_any_figure_is_noted_with_its_message_or_its_status() -> None:
    records = make_sweep(20, 8, -8)
    for number, changes in ((1, {"message": "it ended", "status": "failed"}), (2, {"status": "interrupted"})):
        records.points[number] = replace(
            records.points[number], columns={}, run={**records.points[number].run, **changes}
        )
    whole = summarise_sweep(records)
    assert whole.notes == [
        f"{AXIS}=1: no difference was measured (it ended)",
        f"{AXIS}=2: no difference was measured (interrupted)",
    ]
    assert whole.points[0].baseline_us(STEP) is None
    assert whole.first is whole.points[2].summary
    assert whole.arms == ["array", "wrong"]


def test_along_one_of_two_keys_the_other_is_fixed_and_names_are_no_axis() -> None:
    """`array` turns from slower to faster along the first key where the second is 1, and not where it is 2."""
    records = make_sweep(20, -20, 20, 20)
    places = [(1, 1), (16, 1), (1, 2), (16, 2)]
    records.run["config"]["sweep"] = {"one": [1, 16], "two": [1, 2]}
    for entry, (one, two) in zip(records.run["points"], places, strict=True):
        entry["values"] = {"one": one, "two": two}
    found = [each for each in summarise_sweep(records).crossovers if (each.arm, each.metric) == ("array", STEP)]
    assert [(each.axis, each.fixed, each.below) for each in found] == [
        ("one", {"two": 1}, "slower"),
        ("two", {"one": 16}, "faster"),
    ]
    assert found[0].estimate == pytest.approx(4, rel=0.02)  # the middle of 1 and 16, by the logarithm
    assert found[1].estimate == pytest.approx(1.5, rel=0.02)
    for entry, (one, two) in zip(records.run["points"], places, strict=True):
        entry["values"] = {"one": f"{one} of them", "two": two == 2}
    assert summarise_sweep(records).crossovers == []


def test_a_level_shift_at_a_point_is_told_beside_it(monkeypatch) -> None:
    monkeypatch.setattr("harness.analysis.summary.Summary.withheld", True)
    whole = summarise_sweep(make_sweep(20))
    assert whole.notes == [f"{AXIS}=1: a level shift withholds its verdicts; see the point's own report"]


def test_where_a_point_lies_is_told_by_all_of_its_keys() -> None:
    assert values_told({"workload.requests": 8, "engine.block_size": 16}) == "workload.requests=8, engine.block_size=16"


def test_an_axis_is_wide_from_four_times_its_smallest_value_on() -> None:
    assert [is_wide(values) for values in ([1, 4], [1, 3.9], [0, 4], [-1, 4], [0.5, 2], [])] == [
        True, False, False, False, True, False,
    ]  # fmt: skip
