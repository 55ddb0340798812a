"""Where an answer turns along an axis, on differences that are known; and a sweep's records made into numbers."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.intervals import Interval
from harness.analysis.metrics import STEP
from harness.analysis.sweep import Place, crossovers_along, is_wide, summarise_sweep
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
