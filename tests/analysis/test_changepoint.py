"""The change-point test: how often it errs, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.changepoint import MIN_LENGTH, level_shift


def wandering(rng, length: int, alike: float) -> np.ndarray:
    """Values of which neighbours correlate by `alike`."""
    noise = rng.normal(size=length + 50)
    values = np.empty_like(noise)
    values[0] = noise[0]
    for i in range(1, len(noise)):
        values[i] = alike * values[i - 1] + noise[i]
    return values[50:]


@pytest.mark.parametrize(("alike", "length"), [(0.0, 24), (0.0, 100), (0.5, 280)])
def test_a_level_that_does_not_shift_is_left_alone_even_if_it_wanders(alike, length) -> None:
    """At 5 % error. Dividing by the values' own deviation instead would find a shift in most wandering series."""
    rng = np.random.default_rng(0)
    found = [level_shift(wandering(rng, length, alike)).found for _ in range(200)]
    assert np.mean(found) <= 0.09


@pytest.mark.parametrize("place", [20, 50, 80])
def test_a_shift_is_found_where_it_is_and_as_large_as_it_is(place) -> None:
    rng = np.random.default_rng(place)
    series = wandering(rng, 100, 0.3)
    series[place:] -= 6
    shift = level_shift(series)
    assert shift.found
    assert abs(shift.place - place) <= 2
    assert shift.size == pytest.approx(-6, abs=1)


def test_without_noise_there_is_nothing_to_doubt() -> None:
    shift = level_shift(np.r_[np.zeros(8), np.ones(12)])
    assert (shift.place, shift.size, shift.statistic) == (8, 1.0, np.inf)


def test_of_short_and_constant_series_nothing_is_said() -> None:
    assert level_shift(np.arange(MIN_LENGTH - 1.0)) is None
    assert level_shift(np.ones(100)) is None
