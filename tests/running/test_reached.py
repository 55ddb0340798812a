"""What a workload reaches of a change, from what checking passes saw of each arm."""

from __future__ import annotations

from typing import Any

import pytest

from harness.hosts.base import PassResult
from harness.instrument.phases import PHASES
from harness.running.reached import Reached


def seen(**watched: Any) -> PassResult:
    return PassResult({}, None, None, [], [], watched=watched)


def test_calls_are_those_of_all_steps_and_before_the_first() -> None:
    reached = Reached({})
    reached.note("native", seen(calls={"a.f": [1, 2], "a.g": [0, 0]}, calls_before={"a.f": 4}))
    reached.note("mine", seen(calls={"a.f": [0, 1], "a.g": [0, 0]}))
    reached.note("none", seen())
    assert reached.facts == {"calls": {"native": {"a.f": 7, "a.g": 0}, "mine": {"a.f": 1, "a.g": 0}, "none": {}}}
    assert reached.calls is reached.facts["calls"]
    assert reached.native_steps == {"a.f": [1, 2], "a.g": [0, 0]}
    assert reached.called() == ["a.f"]


def test_a_name_whose_value_is_switched_is_no_function_that_was_called() -> None:
    facts = {"switch": {"arms": {"mine": {"values": ["a.renamed"]}, "other": {"values": []}}}}
    reached = Reached(facts)
    reached.note("mine", seen(calls={"a.renamed": [3], "a.z": [1], "a.b": [1]}))
    assert reached.values == {"a.renamed"}
    assert reached.called() == ["a.b", "a.z"]


def test_a_function_lies_where_it_was_called_under_the_first_arm_and_all_arms_calls_are_added_up() -> None:
    reached, (first, second, *_) = Reached({}), PHASES
    reached.note("native", seen(phases={"a.f": {second: 2, "": 1}, "a.g": {first: 1}}))
    reached.note("mine", seen(phases={"a.f": {first: 9}, "a.h": {"": 5}}))
    assert reached.facts["called_in"] == {"a.f": {second: 2, "": 1}, "a.g": {first: 1}, "a.h": {"": 5}}
    assert reached.phases == {second: 2, "a.f": 1, first: 10, "a.h": 5}
    assert reached.scope("auto") == " + ".join([first, second, "a.f", "a.h"]), "in the order of a turn"
    assert reached.scope("_prepare_inputs") == "_prepare_inputs"


@pytest.mark.parametrize(
    ("hits", "kept"), [({"mine: a.c": 3, "other: a.c": 2}, {"mine": {"mine: a.c": 3}}), ({}, None)]
)
def test_hits_of_an_arms_own_caches_are_kept_and_those_of_others_are_not_its(hits, kept) -> None:
    reached = Reached({})
    reached.note("mine", seen(cache_hits=hits))
    assert reached.facts.get("cache_hits") == kept
