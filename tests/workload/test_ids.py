from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config.workload import Ids
from harness.workload.ids import draw_ids


def drawn(exponent: float, vocabulary: int, count: int, seed: int = 0):
    ids = Ids.model_validate({"zipf": {"exponent": exponent}})
    return draw_ids(ids, vocabulary, count, np.random.default_rng(seed))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_an_id_is_as_frequent_as_zipfs_law_says(exponent: float) -> None:
    found = np.bincount(drawn(exponent, 50, 200_000), minlength=50) / 200_000
    expected = np.arange(1, 51) ** -exponent
    assert found == pytest.approx(expected / expected.sum(), abs=0.004)


@given(st.floats(1e-3, 10), st.integers(1, 300), st.integers(0, 2**31))
def test_ids_are_in_the_vocabulary_and_the_seed_decides(exponent: float, vocabulary: int, seed: int) -> None:
    found = drawn(exponent, vocabulary, 100, seed)
    assert (found == drawn(exponent, vocabulary, 100, seed)).all()
    assert 0 <= found.min() <= found.max() < vocabulary
