from __future__ import annotations

import pytest

from harness.digits import significant


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(401.0, 2, "400"), (25_450.4, 4, "25,450"), (99.6, 2, "100"), (7.13, 2, "7.1"), (0.0371, 2, "0.037"), (0, 2, "0"),
     (1107.9, 4, "1108"), (950.44, 4, "950.4"), (-401, 2, "-400")],
)  # fmt: skip
def test_figures_are_written_out(value, digits, text) -> None:
    assert significant(value, digits) == text
