"""Calls of probed functions are counted by what is called, also where no name of it could be replaced."""

from __future__ import annotations

import functools
import json
import math
import sys

import pytest
import torch

from harness.instrument.every_call import EveryCall
from harness.report import write_reports
from tests.fakes import FakeHost, Runner


def counted(every_call: EveryCall, *steps) -> dict[str, list[int]]:
    for step in steps:
        every_call.begin_step()
        with every_call.watching():
            step()
    return every_call.take()


class Holder:
    """Holds functions where no name of a module or a class could be replaced."""

    table = {"dumps": json.dumps}  # noqa: RUF012

    def __init__(self) -> None:
        self.hypot = math.hypot

    def by_default(self, dumps=json.dumps) -> None:
        dumps([1])


def test_functions_are_counted_step_by_step_wherever_they_are_held() -> None:
    holder = Holder()
    found = counted(
        EveryCall({"json.dumps": json.dumps, "math.hypot": math.hypot, "torch.tensor": torch.tensor}),
        lambda: (holder.by_default(), holder.table["dumps"]([2]), holder.hypot(3, 4)),
        lambda: torch.tensor([1]),
        lambda: None,
    )
    assert found == {"json.dumps": [2, 0, 0], "math.hypot": [1, 0, 0], "torch.tensor": [0, 1, 0]}


def test_functions_made_by_one_decorator_are_told_apart_by_what_they_close_over() -> None:
    def decorated(function):
        @functools.wraps(function)
        def called(*args):
            return function(*args)

        return called

    one, other = decorated(len), decorated(sum)
    found = counted(EveryCall({"one": one, "other": other}), lambda: (one([]), other([]), other([])))
    assert found == {"one": [1], "other": [2]}


def test_functions_that_close_over_what_has_no_value_yet_are_told_by_the_rest() -> None:
    def made(number, empty):
        def called():
            return number if number else later

        if not empty:
            later = 0
        return called

    one, other = made(1, empty=True), made(2, empty=True)
    found = counted(EveryCall({"one": one, "other": other}), lambda: (one(), other(), other()))
    assert found == {"one": [1], "other": [2]}


def test_one_function_under_two_names_counts_under_both_and_steps_are_taken_once() -> None:
    def plain():
        return math.hypot(3, 4)

    every_call = EveryCall({"hypot": math.hypot, "one": plain, "again": plain})
    assert every_call.names == ["hypot", "one", "again"]
    with every_call.watching():
        plain()  # before any step
    assert counted(every_call, plain, lambda: None) == {"hypot": [1, 0], "one": [1, 0], "again": [1, 0]}
    assert every_call.take() == {"hypot": [], "one": [], "again": []}


def test_what_cannot_be_told_is_left_out_and_not_counted_as_0() -> None:
    cached = functools.lru_cache(lambda: 1)
    assert counted(EveryCall({"cached": cached, "json.dumps": json.dumps}), cached) == {"json.dumps": [0]}


def test_a_profiler_that_was_there_is_put_back_also_after_an_exception() -> None:
    def mine(frame, event, argument) -> None:
        return None

    sys.setprofile(mine)
    try:
        with pytest.raises(ZeroDivisionError):
            counted(EveryCall({"json.dumps": json.dumps}), lambda: 1 / 0)
        assert sys.getprofile() is mine
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(("held", "by_name"), [(2, 0), (1, 3)])
def test_a_run_says_which_calls_no_probe_saw(make_run_of_list, held, by_name) -> None:
    def work(kept=json.dumps) -> None:
        for _ in range(held):
            kept([1])
        for _ in range(by_name):
            json.dumps([2])

    host = FakeHost(runner=Runner(work=work))
    run = make_run_of_list(host, "protocol.counters=true", "probes=[json.dumps, json.loads, compute_slot_mapping]")
    assert run.execute().status == "complete"
    summary = write_reports(run.folder.path)
    assert summary.arms["list"].probes["json.dumps"].calls == by_name * 5
    (note,) = (note for note in summary.notes if "could be replaced" in note)
    assert note.startswith(
        f"json.dumps was called, but not through a name that could be replaced: {held} calls a step under list "
        f"({by_name} were timed)"
    )


def test_where_every_call_went_through_a_probe_nothing_is_said(make_run_of_list) -> None:
    host = FakeHost(runner=Runner(work=lambda: json.dumps([1])))
    run = make_run_of_list(host, "protocol.counters=true", "probes=[json.dumps, compute_slot_mapping]")
    assert run.execute().status == "complete"
    assert not [note for note in write_reports(run.folder.path).notes if "could be replaced" in note]
