"""Two kinds of steps, told apart by calls, and how far they are apart."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.intervals import Interval
from harness.analysis.populations import find_populations, intervals_of_populations

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


def test_each_kind_has_its_verdict_by_the_baselines_time_in_its_own_steps() -> None:
    """The scope takes 100 us: of it 1 % is 1 us, and 5 % are as much as the second kind's limit."""
    for margin, verdict in ((0.049, "not resolved"), (0.05, "equivalent")):
        (population,) = find_populations(RUN, values([1, 0, 0, 1]), "native", in_first_and_other_steps(), margin)
        assert [(kind.per_step_us.estimate, kind.verdict) for kind in population.kinds] == [
            (-8.0, "faster"),
            (2.0, verdict),
        ]
        assert population.arm == "mine"


def in_first_and_other_steps():
    return lambda _, steps: Interval(-8.0, -9.0, -7.0) if steps[0] == 0 else Interval(2.0, -1.0, 5.0)


@pytest.mark.parametrize(
    ("first", "other", "apart"),
    [((5.0, 4.0, 6.0), (2.0, 1.0, 3.0), True), ((3.0, 2.0, 4.0), (2.0, 1.0, 3.0), False),
     ((-5.0, -6.0, -4.0), (-2.0, -3.0, -1.0), True)],
)  # fmt: skip
def test_kinds_are_apart_where_the_interval_of_their_difference_is_without_zero(first, other, apart) -> None:
    """The half-width of each difference is the root of 1 + 1."""
    (population,) = find_populations(
        RUN, values([1, 0, 0, 1]), "native", lambda _, steps: Interval(*(first if steps[0] == 0 else other)), 0.01
    )
    assert population.apart is apart
    assert population.apart_us.high - population.apart_us.low == pytest.approx(2 * np.sqrt(2))


def test_a_step_counts_as_calling_where_either_of_both_arms_calls() -> None:
    """The baseline calls once in the first two steps; the arm twice in the second and once in the third."""
    native, mine = ({**values([0] * 6)["native"], "v.f.calls": np.tile(np.array(calls, dtype=float), (4, 1))}
                    for calls in ([1, 1, 0, 0, 0, 0], [0, 2, 1, 0, 0, 0]))  # fmt: skip
    found = find_populations(RUN, {"native": native, "mine": mine}, "native", in_first_and_other_steps(), 0.01)
    assert [(kind.steps, kind.calls) for kind in found[0].kinds] == [(3, pytest.approx(4 / 3)), (3, 0.0)]


@pytest.mark.parametrize(
    ("calls", "intervals"),
    [([1, 1, 0, 0], 3), ([1, 0, 0, 0], 0), ([1, 1, 1, 0], 0), ([2, 2, 1, 1, 1], 3), ([1] * 4, 0)],
)
def test_a_kind_has_two_steps_at_least_and_each_kind_and_their_difference_an_interval(calls, intervals) -> None:
    assert intervals_of_populations(RUN, values(calls), "native") == intervals


def test_only_arms_that_were_measured_and_whose_functions_are_probed_have_kinds() -> None:
    every = values([1, 1, 0, 0])
    assert intervals_of_populations(RUN, {"native": every["native"]}, "native") == 0
    assert intervals_of_populations(RUN, every, "mine") == 0
    unprobed = {**RUN, "config": {**RUN["config"], "probes": ["v.other"]}}
    assert find_populations(unprobed, every, "native", in_first_and_other_steps(), 0.01) == []
