from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.running.schedule import complete_blocks, drawn_checks

sizes = {
    "arms": st.integers(1, 7),
    "steps": st.integers(1, 40),
    "groups": st.integers(1, 6),
    "seed": st.integers(0, 99),
}


@pytest.mark.parametrize("order", ["random", "rotate"])
@pytest.mark.parametrize("grain", ["step", "pass"])
@given(**sizes)
def test_in_every_group_each_step_meets_each_arm_once(order, grain, arms, steps, groups, seed) -> None:
    schedule = complete_blocks(arms, steps, groups, seed, order, grain)
    assert schedule.shape == (groups, arms, steps)
    assert (np.sort(schedule, axis=1) == np.arange(arms)[None, :, None]).all()


@given(**sizes)
def test_with_grain_pass_an_arm_holds_for_the_whole_pass(arms, steps, groups, seed) -> None:
    schedule = complete_blocks(arms, steps, groups, seed, "random", "pass")
    assert (schedule == schedule[:, :, :1]).all()


def test_the_seed_decides() -> None:
    first, again, other = (complete_blocks(4, 50, 5, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_random_order_is_drawn_anew_for_each_step() -> None:
    schedule = complete_blocks(3, 3000, 1, seed=0)
    first = np.bincount(schedule[0, 0], minlength=3) / 3000
    assert np.abs(first - 1 / 3).max() < 0.05  # each arm comes first equally often
    following = np.mean(schedule[0, 0, 1:] == schedule[0, 0, :-1])
    assert abs(following - 1 / 3) < 0.05  # and the step before tells nothing


def test_checks_are_drawn_between_groups_and_the_same_again() -> None:
    assert drawn_checks(4, 0) == []
    for groups in (5, 12, 20, 400):
        drawn = drawn_checks(groups, 3)
        assert drawn == drawn_checks(groups, 3) == sorted(set(drawn))
        assert len(drawn) == min(groups // 5, 3)
        assert all(1 <= group < groups for group in drawn)
    assert len({tuple(drawn_checks(100, seed)) for seed in range(20)}) == 20
