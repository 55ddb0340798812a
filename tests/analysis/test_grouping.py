"""Groups of rows: the same as pandas says."""

from __future__ import annotations

import numpy as np
import pandas as pd

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
