"""What happens in a step is counted there, and what happens between steps is not."""

from __future__ import annotations

import gc
import mmap
from types import SimpleNamespace

import pytest

from harness.instrument.events import EVENTS, read_events
from harness.instrument.spans import Spans
from tests.fakes import Runner
from tests.instrument.test_instrument import LENGTHS, instrument


class Collecting(dict):
    """A runner's requests, which are gone through between steps: a collection each time."""

    def items(self):
        gc.collect()
        return super().items()


class AtStep:
    """Does something in one step only."""

    def __init__(self, step: int, action) -> None:
        self.step, self.action = step, action

    def __call__(self) -> None:
        self.step -= 1
        if self.step == -1:
            self.action()


def collections_of(runner: Runner) -> list[int]:
    """How many each step of a pass had."""
    under_test = instrument(runner)
    under_test.begin("mixed", [0], [True, False])
    gc.disable()
    try:
        runner.serve(LENGTHS)
    finally:
        gc.enable()
    collections: list[int] = under_test.end()["columns"]["gc_collections"]
    return collections


@pytest.mark.parametrize("part", ["work", "forward"])
def test_a_collection_counts_in_the_step_that_it_happens_in(part) -> None:
    runner = Runner(**{part: AtStep(2, gc.collect)})
    runner.requests = Collecting()
    collections = collections_of(runner)
    assert collections[2] == 1
    assert sum(collections) == 1


def test_a_collection_while_sampling_counts_as_well() -> None:
    runner = Runner()
    sample = runner.sample_tokens
    collect = AtStep(1, gc.collect)
    runner.sample_tokens = lambda: (collect(), sample())[1]
    assert collections_of(runner)[:3] == [0, 1, 0]


def test_page_faults_are_read() -> None:
    """Each page of fresh memory faults when it is first touched."""
    pages = 50
    memory = mmap.mmap(-1, pages * mmap.PAGESIZE)
    before = read_events()
    for page in range(pages):
        memory[page * mmap.PAGESIZE] = 1
    after = read_events()
    memory.close()
    assert len(before) == len(EVENTS)
    assert after[EVENTS.index("page_faults")] - before[EVENTS.index("page_faults")] >= 1
    assert after[EVENTS.index("involuntary_switches")] >= before[EVENTS.index("involuntary_switches")]


def test_involuntary_switches_and_both_kinds_of_page_faults_are_those_of_the_system(monkeypatch) -> None:
    usage = SimpleNamespace(ru_minflt=5, ru_majflt=2, ru_nivcsw=11)
    monkeypatch.setattr("harness.instrument.events.resource.getrusage", lambda who: usage)
    assert read_events()[1:] == (7, 11)


def test_spans_have_the_step_under_way_and_collections_between_opening_and_closing(clock) -> None:
    spans = Spans(clock)
    spans.add("before", 1, 2)
    before = list(gc.callbacks)
    gc.disable()
    try:
        spans.open()
        assert spans.take() == []  # what was there before is of another pass
        spans.step = 3
        clock.advance(100)
        spans._on_collection("start", {"generation": 2})
        clock.advance(40)
        spans._on_collection("stop", {"generation": 2})
        spans.add("execute_model", 90, 150)
        spans.add_calls([[(1, 5, 6)], [], [(0, 7, 9), (1, 8, 9)]], ["scope", "torch.cat"])
        assert spans.take() == [
            [3, "garbage collection, generation 2", 100, 140],
            [3, "execute_model", 90, 150],
            [0, "torch.cat", 5, 6],
            [2, "scope", 7, 9],
            [2, "torch.cat", 8, 9],
        ]
        gc.collect(0)
        assert [name for _, name, *_ in spans.take()] == ["garbage collection, generation 0"]
        spans.close()
        spans.close()
        gc.collect(0)
        assert spans.take() == []
    finally:
        gc.enable()
        spans.close()
    assert gc.callbacks == before
