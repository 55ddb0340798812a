"""Intervals between launches: which estimate is taken, and that it misses as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.analysis.between import PAIRED_FROM, Side, beside_others, between, is_paired
from harness.analysis.intervals import Interval, mean_interval
from harness.analysis.statistics import welch
from tests.analysis import launch_noise
from tests.analysis.launch_coverage import row


def side(figures, blocks) -> Side:
    return Side(np.array(figures, dtype=float), np.array(blocks))


@pytest.mark.parametrize("blocks", [5, 10, 20])
@pytest.mark.parametrize("common", [0.0, 3.0])
def test_what_is_taken_misses_no_more_than_it_says(blocks: int, common: float) -> None:
    """1,000 runs at 5 %: at most 71 misses, which 5 % keeps to in 998 of 1,000 tries, and 10 % in none."""
    found = row(blocks, common, seed=1, runs=1000)
    assert found.taken[0] <= 7.1
    if is_paired(blocks):  # exact, not only conservative: 3.1 % is reached likewise
        assert found.taken[0] >= 3.1


def test_pairing_takes_away_what_a_block_has_in_common() -> None:
    """Three times as much in common as of its own: the paired interval is less than half as wide."""
    found = row(20, 3.0, seed=2, runs=300)
    assert found.taken[1] < found.welch[1] / 2


def test_with_few_blocks_it_is_welch_and_from_ten_on_it_is_paired() -> None:
    rng = np.random.default_rng(0)
    for count in (PAIRED_FROM - 1, PAIRED_FROM):
        arm, native, numbers = rng.normal(1, 1, count), rng.normal(0, 1, count), np.arange(1, count + 1)
        found = between(Side(arm, numbers), Side(native, numbers), 0.95)
        wanted = mean_interval(arm - native, 0.95) if count == PAIRED_FROM else welch(arm, native, 0.95)
        assert found == wanted


def test_the_paired_interval_is_that_of_student() -> None:
    differences = np.array([1.0, 2.0, 4.0, 8.0])
    found = mean_interval(differences, 0.9)
    low, high = stats.t.interval(0.9, 3, differences.mean(), stats.sem(differences))
    assert (found.estimate, found.low, found.high) == pytest.approx((3.75, low, high))
    assert mean_interval(np.array([2.0, 2.0]), 0.9) == Interval(2.0, 2.0, 2.0)


def test_blocks_on_several_machines_are_paired_however_few_there_are() -> None:
    arm, native = side([101, 201, 302], [1, 2, 3]), side([200, 100, 300], [2, 1, 3])
    found = between(arm, native, 0.95, in_common=True)
    assert found == mean_interval(np.array([1.0, 1.0, 2.0]), 0.95)
    assert between(arm, native, 0.95) == welch(arm.figures, native.figures, 0.95)


def test_a_block_that_one_arm_lacks_is_left_out_of_pairs() -> None:
    numbers = np.arange(1, 12)
    arm = Side(numbers + 1.0, numbers)
    native = Side(numbers[1:].astype(float), numbers[1:])
    found = between(arm, native, 0.95)
    assert found == Interval(1.0, 1.0, 1.0)


def test_launches_without_blocks_are_never_paired() -> None:
    rng = np.random.default_rng(1)
    arm, native = (Side(rng.normal(0, 1, 20), np.zeros(20, dtype=np.int64)) for _ in range(2))
    assert between(arm, native, 0.95) == welch(arm.figures, native.figures, 0.95)


def test_without_a_spread_there_is_no_interval_and_without_launches_no_difference() -> None:
    one = between(side([3.0], [1]), side([1.0, 2.0], [1, 2]), 0.95)
    assert one is not None
    assert (one.estimate, one.low, one.high) == (1.5, -np.inf, np.inf)
    assert between(side([], []), side([1.0], [1]), 0.95) is None


def test_launches_that_are_alike_are_found_to_differ_at_the_stated_rate() -> None:
    """`launch_noise`, on played launches that have much in common within a block.

    Of 1,000 draws at 5 % there are 27 to 73 in 99.8 % of all cases, were they independent. They share their 20 blocks,
    so the limits are wider.
    """
    rng = np.random.default_rng(5)
    figures = 100 + rng.normal(0, 3, (20, 1)) + rng.normal(0, 1, (20, 3))
    found = launch_noise.row(figures, 20, seed=0, runs=1000)
    assert 2 <= found.found[0.0] <= 8
    assert found.found[0.05] == 100
    assert found.half_width == pytest.approx(0.65, abs=0.15)


def test_native_is_held_against_itself_beside_the_other_arms_of_its_block() -> None:
    """What a block has in common cancels, and what arms cost as well."""
    native, blocks = side([10.0, 20.0, 30.5], [3, 1, 2]), [1, 2, 3]
    found = beside_others(native, [side([21.0, 31.0, 11.0], blocks), side([25.0, 35.0, 15.0], blocks)])
    assert found.figures.tolist() == [-3.0, -3.0, -2.5]
    assert found.blocks.tolist() == [3, 1, 2]
    assert beside_others(native, [side([21.0, 31.0], [1, 2])]) == native, "an arm that lacks a block says nothing"
    assert beside_others(native, []) == native
