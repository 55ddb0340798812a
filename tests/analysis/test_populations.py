"""Two kinds of steps, told apart by calls, and how far they are apart."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.intervals import Interval
from harness.analysis.populations import find_populations

RUN = {
    "config": {"probes": ["v.f"], "arms": [{"name": "native"}, {"name": "mine"}]},
    "switch": {"arms": {"mine": {"swapped": ["v.f"]}}},
}


def values(calls: list[int]) -> dict[str, dict[str, np.ndarray]]:
    each = {"scope": np.full((4, len(calls)), 1e5), "v.f.calls": np.tile(np.array(calls, dtype=float), (4, 1))}
    return {"native": each, "mine": each}


def found(calls: list[int]):
    """With -8 [-9, -7] us in the first steps of a kind, and 2 [-1, 5] in the others."""
    first: list[tuple[int, ...]] = []

    def in_steps(_: str, steps: np.ndarray) -> Interval:
        first.append(tuple(steps))
        return Interval(-8.0, -9.0, -7.0) if len(first) == 1 else Interval(2.0, -1.0, 5.0)

    (population,) = find_populations(RUN, values(calls), "native", in_steps, 0.01)
    return population, first


def test_the_difference_of_two_kinds_has_the_root_of_both_squares_as_its_half_width() -> None:
    population, steps = found([1, 0, 0, 1, 0, 0])
    assert steps == [(0, 3), (1, 2, 4, 5)]
    assert [(kind.kind, kind.steps, kind.calls) for kind in population.kinds] == [
        ("its functions are called", 2, 1.0),
        ("they are not called", 4, 0.0),
    ]
    apart = population.apart_us
    assert apart.estimate == pytest.approx(-10)
    assert apart.high - apart.estimate == pytest.approx(np.hypot(1, 3))
    assert apart.estimate - apart.low == pytest.approx(np.hypot(1, 3))
    assert population.apart


def test_where_all_steps_call_them_the_usual_number_of_calls_tells_kinds_apart() -> None:
    population, steps = found([1, 1, 9, 1, 9, 1])
    assert steps == [(2, 4), (0, 1, 3, 5)]
    assert [(kind.kind, kind.calls) for kind in population.kinds] == [
        ("more calls than usual", 9.0),
        ("no more calls than usual", 1.0),
    ]


def test_steps_of_one_kind_are_none() -> None:
    population, _ = found([1, 1, 1, 1])
    assert (population.kinds, population.apart_us, population.apart) == ([], None, False)
