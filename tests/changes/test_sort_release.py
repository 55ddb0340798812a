"""How the program that sorts a release puts files into its tables."""

from __future__ import annotations

import pytest

from tests.changes.sort_release import Row


@pytest.mark.parametrize(
    ("row", "sort"),
    [
        (Row(switched=2, functions=2, called=1), "step grain"),
        (Row(switched=2, functions=2), "never called"),
        (Row(switched=1, read=True), "step grain"),
        (Row(reasons=["`A.x`: a field of a dataclass"], read=True), "launch grain"),
        (Row(functions=1, reasons=["`f`: a Triton kernel"]), "never called"),
        (Row(functions=1, called=1, switched=1, reasons=["`g`: a Triton kernel"]), "launch grain"),
        (Row(absent="not imported by this engine"), "never called"),
        (Row(absent="gone: stays for the other arm"), "nothing to switch"),
        (Row(added=3), "nothing to switch"),
    ],
)
def test_where_a_file_belongs(row, sort) -> None:
    assert row.sort == sort


def test_a_row_tells_two_reasons_and_how_many_more() -> None:
    assert Row(reasons=["`f`: a | b", "`g`: c", "`h`: d"]).told() == "`f`: a \\| b; `g`: c; and 1 more"
