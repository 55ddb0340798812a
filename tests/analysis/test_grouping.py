"""Groups of rows: the same as pandas says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.analysis.grouping import Groups


def test_medians_and_sums_are_those_of_pandas() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"arm": rng.choice(["list", "numpy", "A/A"], 500), "step": rng.integers(0, 7, 500) * 3})
    frame["probed"], frame["ns"], frame["events"] = (
        rng.random(500) < 0.5,
        rng.lognormal(9, 2, 500),
        rng.integers(0, 3, 500),
    )
    columns = {name: frame[name].to_numpy(dtype=object if name == "arm" else None) for name in frame}
    groups = Groups(columns["arm"], columns["step"], columns["probed"])
    by = frame.groupby(["arm", "step", "probed"])
    assert sorted(groups.sizes) == sorted(by.size())
    for name in ("ns", "events"):
        assert groups.usual(columns[name]).tolist() == by[name].transform("median").tolist()
    of_step = Groups(columns["step"])
    assert of_step.medians(columns["ns"]).tolist() == frame.groupby("step")["ns"].median().tolist()
    assert of_step.sums(columns["events"]).tolist() == frame.groupby("step")["events"].sum().tolist()


def test_no_rows_are_no_groups() -> None:
    none = Groups(np.array([], dtype=object), np.array([], dtype=np.int64))
    assert len(none.sizes) == len(none.medians(np.array([]))) == len(none.usual(np.array([]))) == 0


@pytest.mark.parametrize(
    "numbers",
    [
        np.repeat([3, 0, 7], 4),  # of as many rows each, and small: what a whole run has
        np.repeat([3, 0, 7], [4, 5, 1]),
        np.array([-2, 5, -2, 5]),
        np.array([2**53, 0, 2**53, 7]),
        np.array([0.5, -1.0, 0.5, 0.25]),
        np.array([True, False, True, True]),
    ],
)
def test_numbers_of_any_kind_and_size_are_grouped_in_their_order(numbers) -> None:
    values = np.random.default_rng(1).lognormal(9, 2, len(numbers))
    frame = pd.DataFrame({"of": numbers, "ns": values})
    groups = Groups(numbers)
    assert groups.sizes.tolist() == frame.groupby("of").size().tolist()
    assert groups.of.tolist() == np.unique(numbers, return_inverse=True)[1].tolist()
    assert groups.medians(values).tolist() == frame.groupby("of")["ns"].median().tolist()
    assert groups.usual(values).tolist() == frame.groupby("of")["ns"].transform("median").tolist()
