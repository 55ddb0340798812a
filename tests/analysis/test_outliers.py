"""Outlying steps, and what they are put down to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.analysis.outliers import Cause, Outliers, find_outliers, find_outlying

PASSES, STEPS = 40, 25


def outliers_of(frame: pd.DataFrame) -> Outliers | None:
    rows = {name: frame[name].to_numpy() for name in frame}
    found = find_outlying(rows)
    return None if found is None else find_outliers(rows, found)


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(PASSES), range(STEPS)], names=["pass", "step"])
    frame = index.to_frame(index=False)
    usual_ns = 1_000_000 + 10_000 * frame["step"]
    frame["execute_ns"] = (usual_ns * rng.lognormal(0, 0.01, len(frame))).astype(int)
    return frame.assign(sample_ns=0, arm="list", probed=True, gc_collections=0, page_faults=3, involuntary_switches=0)


def disturb(frame: pd.DataFrame, row: int, column: str | None, events: int = 1) -> None:
    frame.loc[row, "execute_ns"] *= 3
    if column:
        frame.loc[row, column] += events


def test_outlying_steps_are_put_down_to_what_happened_in_them(frame) -> None:
    for row, column in (
        (30, "involuntary_switches"),
        (99, "involuntary_switches"),
        (333, "gc_collections"),
        (500, None),
    ):
        disturb(frame, row, column)
    disturb(frame, 640, "page_faults", 50)
    frame.loc[700, "involuntary_switches"] += 1  # and this one took no longer for it
    found = outliers_of(frame)
    assert (found.steps, found.outlying, found.unexplained) == (PASSES * STEPS, 5, 1)
    counted = {cause.event: cause.steps for cause in found.causes}
    assert counted == {"involuntary_switches": 2, "gc_collections": 1, "page_faults": 1}
    switches = found.causes[0]
    assert switches.outlying_share == pytest.approx(2 / 5)
    assert switches.ordinary_share == pytest.approx(1 / (PASSES * STEPS - 5))
    assert found.excess_share == pytest.approx(5 * 2 / (PASSES * STEPS), rel=0.2)


def test_page_faults_that_a_step_always_has_explain_nothing(frame) -> None:
    disturb(frame, 30, None)
    assert [cause.steps for cause in outliers_of(frame).causes] == [0, 0, 0]


def test_a_slow_stretch_is_drift_and_not_outlying_steps(frame) -> None:
    frame.loc[frame["pass"] >= PASSES - 5, "execute_ns"] *= 2
    assert outliers_of(frame).outlying == 0


def test_a_large_step_is_no_outlier(frame) -> None:
    frame.loc[frame["step"] == 0, "execute_ns"] *= 20
    assert outliers_of(frame).outlying == 0


def test_without_any_spread_nothing_is_said(frame) -> None:
    assert outliers_of(frame.assign(execute_ns=1000)) is None
    assert outliers_of(frame.assign(execute_ns=0)) is None


def test_launches_are_taken_together(frame) -> None:
    disturb(frame, 30, "gc_collections")
    disturb(frame, 31, None)
    found = outliers_of(frame)
    both = found.joined(found)
    assert (both.steps, both.outlying, both.unexplained) == (2 * found.steps, 4, 2)
    assert [cause.steps for cause in both.causes] == [0, 2, 0]
    assert both.causes[1].outlying_share == pytest.approx(0.5)
    assert both.excess_share == pytest.approx(found.excess_share)


def test_shares_of_launches_are_weighted_by_the_steps_that_they_are_of() -> None:
    few = Outliers(10, 2, 0.1, 1, [Cause("gc_collections", "Python collected garbage", 1, 0.5, 0.25)])
    many = Outliers(30, 6, 0.3, 0, [Cause("gc_collections", "Python collected garbage", 6, 1.0, 0.0)])
    whole = few.joined(many)
    assert (whole.steps, whole.outlying, whole.unexplained) == (40, 8, 1)
    assert whole.excess_share == pytest.approx((0.1 * 10 + 0.3 * 30) / 40)
    (cause,) = whole.causes
    assert (cause.event, cause.meaning, cause.steps) == ("gc_collections", "Python collected garbage", 7)
    assert cause.outlying_share == pytest.approx((0.5 * 2 + 1.0 * 6) / 8)
    assert cause.ordinary_share == pytest.approx(0.25 * 8 / 32)
    without = Outliers(0, 0, 0.0, 0, [Cause("gc_collections", "Python collected garbage", 0, 0.0, 0.0)])
    assert without.joined(without) == without
