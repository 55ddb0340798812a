"""The program that measures the switch: its steps are what it says, and its intervals hold."""

from __future__ import annotations

import random
import statistics

import pytest

from tests.instrument.switch_costs import FUNCTIONS, MECHANISMS, Shape, case, cell, interval, timed


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("functions", FUNCTIONS)
def test_a_step_makes_as_many_calls_as_it_says_under_every_mechanism_and_all_is_put_back(mechanism, functions) -> None:
    made = case(mechanism, Shape(64, functions))
    codes = {name: held.__code__ for name, held in vars(type(made.runner)).items() if name.startswith("m")}
    calls = []
    for arm in (0, 1, 1):
        made.put(arm)
        counting = Counting(made.runner)
        made.own(counting)
        calls.append(counting.calls)
        assert made.runner.m0(1) == 2
    assert calls == [64, 64, 64]
    assert len(timed(made, made.other, [0, 1]).step_ns) == 2
    made.end()
    assert vars(made.runner) == {}
    assert not any(name.startswith("_harness") for name in made.own.__globals__)
    left = {name: held.__code__ for name, held in vars(type(made.runner)).items() if name.startswith("m")}
    assert all(left[name] is code for name, code in codes.items())


class Counting:
    """Counts the methods that are asked for."""

    def __init__(self, runner) -> None:
        self.runner, self.calls = runner, 0

    def __getattr__(self, name):
        self.calls += 1
        return getattr(self.runner, name)


def test_intervals_of_the_median_hold_what_they_should() -> None:
    drawn = random.Random(0)
    held = 0
    for _ in range(400):
        middle, low, high = interval([drawn.gauss(3, 1) for _ in range(41)])
        assert low <= middle <= high
        held += low <= 3 <= high
    assert 0.93 <= held / 400 <= 0.99
    assert interval([1.0, 2.0, 4.0])[0] == statistics.median([1, 2, 4])
    assert cell([100.0, 120.0, 140.0]) == "120 [100, 140]"
