"""What follows from times: ratios, claims, exponents, tables and plots."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.micro.claims import AS_PUBLISHED, claims
from harness.micro.plots import sweep_plot
from harness.micro.published import published_tables
from harness.micro.results import Results, growth_exponent
from harness.micro.tables import build_micro_table
from harness.micro.timing import MeasuredRow, Timing

# What follows from times: made up here, so that it can be told by hand.


def timing(*rounds_s: float) -> Timing:
    return Timing(list(rounds_s), 100)


def made(benchmark: str, *rows: MeasuredRow, device: str = "cpu", planned: int | None = None) -> Results:
    return Results(benchmark, "A title", device, False, len(rows) if planned is None else planned, list(rows))


def row_of(
    label: str, unequal: dict[str, str] | None = None, size: int | None = None, **columns: Timing
) -> MeasuredRow:
    return MeasuredRow(label, size, columns, unequal or {})


def test_a_ratio_is_of_the_same_round_and_struck_where_columns_are_unequal() -> None:
    row = row_of("100", {"b": "other values"}, list=timing(2, 4, 8), a=timing(1, 2, 4), b=timing(1, 1, 1))
    assert row.ratios("a") == [2, 2, 2]
    table = build_micro_table(made("to_cpu", row, row))
    cells = {(column.title, column.subtitle): column.cells[0] for column in table.columns}
    assert cells["list", "ms"] == "4,000 +-37.5 %"
    speeds = [column.cells[0] for column in table.columns if column.title == "speed"]
    assert speeds == ["2x", "unequal"]
    assert any("other values" in footnote for footnote in table.footnotes)


def test_a_slower_column_is_a_fraction() -> None:
    table = build_micro_table(made("to_cpu", row_of("7", list=timing(1, 1, 1), a=timing(16, 16, 16))))
    assert table.columns[2].cells == ["1/16x"]


def test_published_figures_stand_beside_ours_as_printed() -> None:
    for benchmark, label, column, printed in (
        ("to_gpu", "1,000,000", AS_PUBLISHED, "0.512"), ("to_cpu", "1,000,000", "list_with_array", "13.759"),
        ("to_cpu", "1,000,000", "array2", "16.863"), ("operations", "extend, as published", "array", "374.62"),
        ("operations", "extend, same type (1,000)", "array", "39.09"),
        ("operations", "to_torch (10)", "list", "1210.37"),
    ):  # fmt: skip
        row = MeasuredRow(label, None, {"list": timing(1, 1), column: timing(1, 1)}, {})
        table = build_micro_table(made(benchmark, row))
        published = [(found.title, *found.cells) for found in table.columns if found.subtitle.startswith("published")]
        assert (column, printed) in published
    assert published_tables("concat") == []


def test_published_tables_that_were_measured_apart_stay_apart() -> None:
    first, second = published_tables("to_cpu")
    assert (first["1,000"]["list"], second["1,000"]["list"]) == (0.030, 0.055)
    assert second["1,000"]["array2"] == second["1,000"]["list_with_array"] == 0.027
    (operations,) = published_tables("operations")
    assert len(operations) == 8
    columns = {name: timing(1, 1) for name in ("list", "list_with_array", "array", "array2", "numpy")}
    table = build_micro_table(made("to_cpu", MeasuredRow("1,000", 1000, columns, {})))
    assert [(c.title, c.cells) for c in table.columns if c.subtitle == "published later, ms"] == [
        ("list", ["0.055"]), ("list_with_array", ["0.027"]), ("array", ["0.002"]), ("array2", ["0.027"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("benchmark", "claim", "rounds", "verdict"),
    [
        ("to_gpu", "an array becomes a device tensor", (0.5, 0.6, 0.5), "holds"),
        ("to_gpu", "an array becomes a device tensor", (2, 2, 2), "does not hold"),
        ("to_gpu", "an array becomes a device tensor", (1, 1.01, 0.99), "does not hold"),  # neither is faster
        ("to_gpu", "an array becomes a device tensor", (0.5, 2, 1), "not resolved"),
        ("operations", "append is slower", (2, 2, 2), "holds"),
        ("operations", "append is slower", (1, 1, 1), "does not hold"),  # alike is not slower
        ("operations", "append is slower", (0.5, 0.5, 0.5), "does not hold"),
        ("operations", "append is slower", (1, 2, 0.5), "not resolved"),
    ],
)
def test_a_claim_holds_does_not_or_is_not_resolved(benchmark, claim, rounds, verdict) -> None:
    row = row_of("append (100 times)", list=timing(1, 1, 1), array=timing(*rounds))
    assert next(found.verdict for found in claims(made(benchmark, row)) if found.said.startswith(claim)) == verdict


def test_a_time_that_grows_with_the_size_is_no_constant_one() -> None:
    def verdict(*array_s: float) -> list[str]:
        rows = [
            row_of(str(i), list=timing(9, 9), list_with_array=timing(1, 1), array2=timing(1, 1), array=timing(t, t))
            for i, t in enumerate(array_s)
        ]
        return [found.verdict for found in claims(made("to_cpu", *rows)) if "whatever its size" in found.said]

    assert verdict(1, 1.2) == ["holds"]
    assert verdict(1, 2) == ["does not hold"]
    assert verdict(1) == []  # one size says nothing


def test_what_was_not_measured_on_a_gpu_is_said_with_the_reason() -> None:
    row = row_of("100", list=timing(1, 1), array=timing(1, 1))
    for has_gpu, why in ((False, "PyTorch has no GPU here"), (True, "the config asks for the CPU")):
        found = claims(replace(made("to_gpu", row), has_gpu=has_gpu))
        assert [claim.measured.startswith(why) for claim in found if claim.verdict == "not measured"] == [True]
    assert all(claim.verdict != "not measured" for claim in claims(replace(made("to_gpu", row), device="cuda")))


def test_no_figure_is_told_of_columns_that_are_unequal() -> None:
    row = MeasuredRow(
        "extend, as published", None, {"list": timing(1, 1), "array": timing(99, 99)}, {"array": "more"}, "why"
    )
    assert [(claim.verdict, claim.measured) for claim in claims(made("operations", row))] == [
        ("not like for like", "why")
    ]


def test_array2_gains_nothing_where_it_is_alike_or_slower() -> None:
    def verdict(*rounds: float) -> str:
        row = row_of("100", list=timing(4, 4), list_with_array=timing(1, 1), array=timing(1, 1), array2=timing(*rounds))
        return next(claim.verdict for claim in claims(made("to_cpu", row)) if claim.said.startswith("array2"))

    assert [verdict(1, 1.01), verdict(2, 2), verdict(0.5, 0.5), verdict(0.5, 2)] == [
        "holds", "holds", "does not hold", "not resolved",
    ]  # fmt: skip


@given(st.floats(0.5, 3), st.floats(1e-9, 1))
def test_the_exponent_of_a_power_is_that_power(power, factor) -> None:
    sizes = [10, 100, 1000, 10000, 100000]
    found = growth_exponent(sizes, [factor * size**power for size in sizes])
    assert found.value == pytest.approx(power, abs=1e-6)
    assert found.error < 1e-3


def test_growth_is_held_against_the_threads() -> None:
    sizes = [100, 200, 400, 800]

    def verdicts(of_list: float, of_array: float) -> list[str]:
        rows = [
            row_of(str(n), size=n, list=timing(n**of_list, n**of_list), array=timing(n**of_array, n**of_array))
            for n in sizes
        ]
        return [claim.verdict for claim in claims(made("incremental", *rows))]

    assert verdicts(2, 1) == ["holds", "holds"]
    assert verdicts(1, 2) == ["does not hold", "does not hold"]
    assert growth_exponent([1, 2], [1, 2]) is None


def test_a_sweep_is_drawn_and_what_is_none_is_not() -> None:
    rows = [row_of(f"{n:,}", size=n, list=timing(n, n), array=timing(1, 1)) for n in (100, 1000)]
    assert "list, published" in sweep_plot(made("to_cpu", *rows)).svg
    assert sweep_plot(made("to_cpu", rows[0])) is None
    assert sweep_plot(made("operations", row_of("init", list=timing(1, 1)))) is None
