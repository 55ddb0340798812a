from __future__ import annotations

import pytest

from harness.digits import duration, significant


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(401.0, 2, "400"), (25_450.4, 4, "25,450"), (99.6, 2, "100"), (7.13, 2, "7.1"), (0.0371, 2, "0.037"), (0, 2, "0"),
     (1107.9, 4, "1108"), (950.44, 4, "950.4"), (-401, 2, "-400")],
)  # fmt: skip
def test_figures_are_written_out(value, digits, text) -> None:
    assert significant(value, digits) == text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (8.4, "8 s"), (45, "45 s"), (99, "99 s"), (118, "2 min"), (150, "2.5 min"), (5000, "83 min"),
     (7200, "2 h"), (40_000, "11 h")],
)  # fmt: skip
def test_a_length_of_time_is_told_as_one_says_it(seconds, said) -> None:
    assert duration(seconds) == said
