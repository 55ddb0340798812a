"""Steps by batch shape, and that the report says for which shapes a verdict holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.shapes import steps_by_shape
from harness.analysis.summarise import summarise
from harness.records.folder import Records
from harness.report.markdown import render_markdown
from tests.analysis.test_summarise import STEPS, make_frame, make_run


def test_kinds_and_sizes_are_told_apart() -> None:
    steps = {
        "num_reqs": [4, 4, 4, 4, 1],
        "num_tokens": [400, 67, 4, 3, 1],
        "num_prefills": [4, 1, 0, 0, 0],
    }
    found = {shape: members.tolist() for shape, members in steps_by_shape(steps).items()}
    assert found == {
        "prefill, 400 tokens": [0],
        "mixed, 67 tokens": [1],
        "decode, 3 to 4 tokens": [2, 3],
        "decode, 1 token": [4],
    }


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(1, 9000), st.integers(0, 64)), min_size=1, max_size=40))
def test_every_step_has_one_shape(rows) -> None:
    reqs, tokens, prefills = (list(column) for column in zip(*rows, strict=True))
    prefills = [min(pair) for pair in zip(reqs, prefills, strict=True)]
    shapes = steps_by_shape({"num_reqs": reqs, "num_tokens": tokens, "num_prefills": prefills})
    assert sorted(np.concatenate(list(shapes.values()))) == list(range(len(rows)))


def test_an_arm_that_wins_on_decode_and_loses_on_prefill_is_shown_so() -> None:
    frame = make_frame()
    prefill = frame["probed"] & (frame["arm"] == "array") & (frame["step"] == 0)
    frame.loc[prefill, "scope.self_ns"] += 50_000
    summary = summarise(Records(make_run(), frame))
    by_shape = {(found.shape, found.arm): found for found in summary.shapes}
    assert by_shape["prefill, 16 tokens", "array"].verdict == "slower"
    assert by_shape["prefill, 16 tokens", "array"].per_step_us.estimate == pytest.approx(42)
    decode = by_shape["decode, 3 tokens", "array"]
    assert (decode.verdict, decode.steps) == ("faster", STEPS - 1)
    text = render_markdown(summary)
    assert "+42.00 [42.00, 42.00] slower" in text
    assert "-8.00 [-8.00, -8.00] faster" in text


def test_steps_of_one_shape_are_not_split() -> None:
    run = make_run()
    run["steps"]["num_prefills"], run["steps"]["num_tokens"] = [0] * STEPS, [3] * STEPS
    summary = summarise(Records(run, make_frame()))
    assert summary.shapes == []
    assert "By the shape" not in render_markdown(summary)
