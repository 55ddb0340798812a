"""At most how much could be won, on passes with known times."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.ceilings import find_ceilings

RUN = {
    "config": {
        "arms": [{"name": "native"}, {"name": "skip", "ceiling": True}, {"name": "stuck", "ceiling": True}],
        "baseline": "native", "protocol": {"confidence": 0.95},
    },
    "no_ceiling": {"stuck": "made other steps"},
}  # fmt: skip


def table(groups: int) -> dict[str, np.ndarray]:
    """`skip` takes 30 us of 100 from the scope and 20 of 1,000 from the step, and each group has a jitter."""
    rows = [
        (arm, group, 1e3 * (100 + group - saved), 1e3 * (1000 + group - saved * 2 / 3))
        for arm, saved in (("native", 0.0), ("skip", 30.0))
        for group in range(groups)
        for _ in range(4)
    ]
    names = ("arm", "group", "scope_ns", "step_ns")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def test_what_a_ceiling_saves_is_told_in_us_and_as_a_share_of_the_baseline() -> None:
    skip, stuck = find_ceilings(RUN, table(5))
    assert (skip.groups, skip.reason) == (5, "")
    assert skip.scope_us.estimate == pytest.approx(30)
    assert skip.step_us.estimate == pytest.approx(20)
    assert skip.scope_us.low <= 30 <= skip.scope_us.high
    assert skip.scope_of == pytest.approx(30 / 102)  # 100 us and the mean of the jitter
    assert skip.step_of == pytest.approx(20 / 1002)
    assert (stuck.reason, stuck.scope_us) == ("made other steps", None)


@pytest.mark.parametrize(("groups", "reason"), [(0, "was not measured"), (2, "too few groups")])
def test_without_enough_groups_there_are_no_figures(groups, reason) -> None:
    (skip, _) = find_ceilings(RUN, table(groups) if groups else {})
    assert (skip.reason, skip.scope_us) == (reason, None)


def test_a_config_without_a_ceiling_has_none() -> None:
    config = {**RUN["config"], "arms": [{"name": "native"}]}
    assert find_ceilings({**RUN, "config": config}, table(5)) == []


def test_the_intervals_of_all_ceilings_hold_together() -> None:
    """By hand: of groups that vary, Student's t at 95 % over two ceilings of two metrics each, so at 98.75 %."""
    rng = np.random.default_rng(0)
    rows = table(4)
    of_skip = rows["arm"] == "skip"
    shifts = rng.normal(0, 5e3, 4)
    rows["scope_ns"][of_skip] += shifts[rows["group"][of_skip].astype(int)]
    skip, _ = find_ceilings(RUN, rows)
    error = np.std(shifts / 1e3, ddof=1) / 2
    t_of_3 = 5.392  # the quantile of 1 - 0.0125 / 2
    assert skip.scope_us.high - skip.scope_us.estimate == pytest.approx(t_of_3 * error, rel=1e-3)
    assert skip.scope_us.estimate == pytest.approx(30 - shifts.mean() / 1e3)


def test_only_groups_in_which_both_have_a_pass_count_and_three_are_enough() -> None:
    rows = table(5)
    kept = ~((rows["arm"] == "skip") & (rows["group"] >= 4)) & ~((rows["arm"] == "native") & (rows["group"] < 1))
    skip, _ = find_ceilings(RUN, {name: column[kept] for name, column in rows.items()})
    assert (skip.groups, skip.reason) == (3, "")
    assert skip.scope_us.estimate == pytest.approx(30)
    (alone,) = find_ceilings(
        {"config": {**RUN["config"], "arms": [{"name": "native"}, {"name": "skip", "ceiling": True}]}}, rows
    )
    assert alone.groups == 5, "a run of which no ceiling failed"
