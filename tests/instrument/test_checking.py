"""What checking passes hold against each other, what they leave out, and what they see of calls."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch

from harness.instrument.checking import NATIVE_PASSES, Checks, of_faults
from harness.instrument.fingerprint import Fingerprint
from harness.instrument.leaves import Walk
from harness.instrument.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable


def served(*steps: Any, **changed: Any) -> Fingerprint:
    """A pass of these steps, each of one slot and of what is uninitialised."""
    return Fingerprint([{"context.slot": value, **changed} for value in steps])


def with_native(*passes: Fingerprint, ignored: tuple[str, ...] = ()) -> Checks:
    checks = Checks(ignored)
    for each in passes:
        assert checks.take(each, ["native"] * len(each.steps), "native") is None
    return checks


def test_a_pass_that_does_as_native_is_equal() -> None:
    checks = with_native(*[served(1, 2, 3)] * NATIVE_PASSES)
    assert checks.facts == {"leaves": 3, "not_repeated": [], "ignored": [], "cut": []}
    assert checks.take(served(1, 2, 3), ["a"] * 3, "native") is None
    assert checks.take(served(1, 2, 3), ["native"] * 3, "native") is None


def test_gaps_of_structs_that_are_alike_in_all_of_natives_passes_strike_no_arm() -> None:
    gaps = "context.attn_metadata[model.layers.0.self_attn.attn].scheduler_metadata"
    checks = with_native(*[served(1, **{gaps: 7})] * NATIVE_PASSES)
    assert checks.take(served(1, **{gaps: 8}), ["a"], "native") is None
    assert checks.facts["not_repeated"] == ["context.attn_metadata[model.layers.*.self_attn.attn].scheduler_metadata"]
    assert checks.take(served(2, **{gaps: 7}), ["a"], "native") is not None


def test_the_first_difference_is_put_on_the_arm_of_its_step() -> None:
    checks = with_native(*[served(1, 2, 3)] * NATIVE_PASSES)
    found = checks.take(served(1, 5, 6), ["a", "b", "a"], "native")
    assert found is not None
    assert (found.arm, found.step, found.field, found.raised) == ("b", 1, "context.slot", False)
    assert found.reason == "`context.slot`: expected 2, found 5"


def test_of_native_too_that_no_longer_does_what_it_did() -> None:
    checks = with_native(*[served(1, 2)] * NATIVE_PASSES)
    found = checks.take(served(1, 7), ["native"] * 2, "native")
    assert found is not None
    assert (found.arm, found.step) == ("native", 1)


@pytest.mark.parametrize(("steps", "step"), [((1,), 0), ((1, 2, 3), 2)])
def test_too_few_and_too_many_steps_are_a_difference_of_the_last_arm(steps, step) -> None:
    checks = with_native(*[served(1, 2)] * NATIVE_PASSES)
    found = checks.take(served(*steps), ["a"] * len(steps), "native")
    assert found is not None
    assert found.arm == "a"
    assert found.reason == f"`steps`: expected 2, found {len(steps)}"


def test_what_native_does_not_repeat_is_left_out_by_name_and_its_first_pass_does_not_count() -> None:
    passes = [served(1, 2, **{"state.rest": torch.full((2,), number)}) for number in range(NATIVE_PASSES)]
    passes[0].steps[0]["context.slot"] = 99  # what a first pass finds is not what the others find
    checks = with_native(*passes)
    assert checks.facts["not_repeated"] == ["state.rest"]
    assert checks.take(served(1, 2, **{"state.rest": torch.full((2,), 77)}), ["a"] * 2, "native") is None
    assert checks.take(served(9, 2, **{"state.rest": torch.zeros(2)}), ["a"] * 2, "native") is not None


def test_a_type_that_native_does_not_repeat_is_no_difference_and_the_rest_of_it_is_compared() -> None:
    def pass_of(value: Any) -> Fingerprint:
        return Fingerprint([Walk().leaves(value, "outputs")])

    checks = with_native(*[pass_of(kind([5, 6])) for kind in (list, tuple, list, tuple)])
    assert checks.facts["not_repeated"] == ["outputs.type"]
    assert checks.take(pass_of([5, 6]), ["a"], "native") is None
    assert checks.take(pass_of([5, 7]), ["a"], "native") is not None


def test_what_lies_too_deep_to_be_compared_is_named() -> None:
    deep = Fingerprint([Walk().leaves([[[1]], [[2]]], "outputs", depth=1)])
    assert with_native(*[deep] * NATIVE_PASSES).facts["cut"] == ["outputs[*].cut"]


def test_what_the_config_leaves_out_is_not_compared() -> None:
    checks = with_native(*[served(1, 2, logits=0.5)] * NATIVE_PASSES, ignored=("logits",))
    assert checks.facts["ignored"] == ["logits"]
    assert checks.take(served(1, 2, logits=0.25), ["a"] * 2, "native") is None


def test_without_natives_passes_there_is_nothing_to_compare_with() -> None:
    checks = with_native(*[served(1)] * (NATIVE_PASSES - 1))
    assert (checks.facts, checks.reference) == ({}, [])
    with pytest.raises(RuntimeError, match="native has not served"):
        checks.take(served(1), ["a"], "native")
    checks.take(served(1), ["native"], "native")
    assert checks.facts["leaves"] == 1
    assert [(row.step, row.field) for row in checks.reference] == [(0, "context.slot")]


def test_what_failed_when_it_was_loaded_has_no_step() -> None:
    assert of_faults({"mine": "raised ValueError: no (mine.py:3)"}) == [
        {"arm": "mine", "step": None, "reason": "raised ValueError: no (mine.py:3)", "raised": True, "field": ""}
    ]


# Calls.


def first(x: Any = None) -> Any:
    return x


def second(x: Any = None) -> Any:
    return x


@pytest.fixture
def watching() -> tuple[Watching, Callable[..., Any], Callable[..., Any], list[Any]]:
    told: list[Any] = []
    made = Watching({"m.first": first, "m.second": second}, lambda *call: told.append(call), [first])
    made.begin_step()
    made.take()  # as the instrument does it
    return made, made.around(first)(first), made.around(second)(second), told


def test_calls_are_counted_by_step_and_those_before_the_first_apart(watching) -> None:
    under_test, one, two, told = watching
    assert one(7) == 7
    for calls in (2, 0, 1):
        under_test.begin_step()
        for _ in range(calls):
            one(1)
        two(5)
    found = under_test.take(3)
    assert found["calls"] == {"m.first": [2, 0, 1], "m.second": [1, 1, 1]}
    assert found["calls_before"] == {"m.first": 1}
    assert found["on_other_threads"] == {}
    assert under_test.take(0)["calls"] == {"m.first": [], "m.second": []}
    # What a patch's own functions say to each other is not compared.
    assert told == [("m.first", (x,), {}, x) for x in (7, 1, 1, 1)]


def test_what_was_begun_beyond_the_last_step_belongs_to_it(watching) -> None:
    under_test, one, *_ = watching
    for _ in range(3):
        under_test.begin_step()
        one()
    assert under_test.take(2)["calls"]["m.first"] == [1, 2]


def test_calls_of_another_thread_are_told_and_not_compared(watching) -> None:
    under_test, one, _, told = watching
    under_test.begin_step()
    thread = threading.Thread(target=one)
    thread.start()
    thread.join()
    found = under_test.take(1)
    assert found["on_other_threads"] == {"m.first": 1}
    assert found["calls"]["m.first"] == [0]
    assert told == []


def test_the_phase_that_a_call_lies_in_is_told(watching) -> None:
    class Where:
        def of(self, frame: Any) -> str:
            return frame.f_code.co_name

    under_test, one, *_ = watching
    under_test.where = Where()

    def schedule() -> None:
        one()

    def update() -> None:
        one()
        one()

    under_test.begin_step()
    schedule()
    update()
    assert under_test.take(1)["phases"] == {"m.first": {"schedule": 1, "update": 2}}
