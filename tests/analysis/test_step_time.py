"""What a step is: the core's turn, the model runner's part, or, where compared engines differ, the loop's turn."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.step_time import is_of_thread, step_ns, step_of

ROWS = {
    # Two passes of three steps, in no order; the second begins after the first on a clock of its own.
    "pass": np.array([1, 0, 0, 1, 0, 1]),
    "step": np.array([0, 0, 2, 2, 1, 1]),
    "begin_ns": np.array([0, 0, 210, 190, 100, 90]),
    "execute_ns": np.array([50, 60, 70, 51, 61, 71]),
    "sample_ns": np.array([5, 6, 7, 8, 9, 4]),
    "bookkeeping_ns": np.array([3, 2, 9, 9, 10, 1]),
}
TURNS = np.array([80, 81, 82, 83, 84, 85])


@pytest.mark.parametrize(
    ("timed", "step"),
    [([True, True], "turn"), ([False], "runner"), ([True, False, True], "loop"), ([], "runner")],
)
def test_what_a_step_is_depends_on_all_launches(timed, step) -> None:
    assert step_of(timed) == step


def test_the_loops_turn_goes_from_beginning_to_beginning_without_the_instruments_own() -> None:
    loop = [90 - 0 - 3, 100 - 0 - 2, 70 + 7, 51 + 8, 210 - 100 - 10, 190 - 90 - 1]
    assert step_ns(ROWS, "loop").tolist() == loop, "a pass's last step is the model runner's part"
    assert step_ns({**ROWS, "turn_ns": TURNS}, "loop").tolist() == loop, "alike in an engine that times its turns"


def test_each_row_has_the_step_that_was_decided() -> None:
    assert step_ns(ROWS).tolist() == step_ns(ROWS, "runner").tolist() == [55, 66, 77, 59, 70, 75]
    assert step_ns({**ROWS, "turn_ns": TURNS}).tolist() == TURNS.tolist()
    old = {name: ROWS[name] for name in ROWS if name != "begin_ns"}
    assert step_ns(old, "loop").tolist() == [55, 66, 77, 59, 70, 75], "of a run that says not when steps began"


def test_cpu_time_is_given_for_what_it_was_taken_of() -> None:
    rows = {**ROWS, "cpu_ns": TURNS}
    turned = {**rows, "turn_ns": TURNS}
    assert [is_of_thread(rows, step) for step in ("runner", "turn", "loop")] == [True, False, False]
    assert [is_of_thread(turned, step) for step in ("runner", "turn", "loop")] == [False, True, False]
    assert not is_of_thread(ROWS, "runner")
