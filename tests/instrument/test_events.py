"""What happens in a step is counted there, and what happens between steps is not."""

from __future__ import annotations

import gc
import mmap
from types import SimpleNamespace

import pytest

from harness.instrument.events import EVENTS, read_events
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
