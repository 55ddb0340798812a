"""A step is a turn of the engine core where that is in reach: no turn runs under two arms, and all of it is timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.changes.code import frozen
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import Instrumentation
from harness.instrument.loops import V1Loop
from harness.instrument.steps import TURN_NS
from tests import fakes_core
from tests.fakes import VirtualClock, checked
from tests.fakes_core import EngineCore, Scheduler

SCHEDULE = "tests.fakes_core.Scheduler.schedule"
UPDATE = "tests.fakes_core.Scheduler.update_from_output"
LENGTHS = [4, 2, 1]
STEPS = 4
told: list[tuple[str, int]] = []
"""What the arms below say: which one ran, and in which turn."""


class Runner(fakes_core.Runner):
    """With what a step's signature is read from; `clock` goes on as the model runs."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.clock = clock
        self.input_batch.num_computed_tokens_cpu = self.input_batch.num_prompt_tokens = np.zeros(8)

    def execute_model(self, work: Any) -> Any:
        self.input_batch.num_reqs = len(work.num_scheduled_tokens)
        self.clock.advance(1000)
        return super().execute_model(work)


class Core(EngineCore):
    """Its scheduler tells in which turn it is called, and takes 100 ns to schedule and 10 to update."""

    def __init__(self, asynchronous: bool) -> None:
        self.clock = VirtualClock()
        super().__init__(Runner(self.clock), asynchronous)
        self.scheduler.core = self
        self.scheduler.picks = lambda names: self.clock.advance(100)


def native_update(self, work, output):
    self.core.clock.advance(10)
    told.append(("native", self.core.turns))
    return _update(self, work, output)


def updates_slowly(self, work, output):
    self.core.clock.advance(500)
    told.append(("slow", self.core.turns))
    return _update(self, work, output)


_update = Scheduler.update_from_output


def instrument(core: Core, swap: str = "", probes: tuple[str, ...] = (), **arms: Any) -> Instrument:
    scope = SCHEDULE if swap == SCHEDULE else UPDATE
    chosen = [("native", "", None), *((name, f"{__name__}:{arm.__name__}", None) for name, arm in arms.items())]
    described = Instrumentation("", chosen, probes, scope, swap=swap)
    return Instrument(core.runner, described, core.clock, V1Loop(core.runner, core), cpu_clock=core.clock)


@pytest.fixture
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Core:
    told.clear()
    monkeypatch.setattr(Scheduler, "update_from_output", native_update)
    return Core(request.param)


both = pytest.mark.parametrize("core", [False, True], indirect=True, ids=["synchronous", "asynchronous"])


@both
def test_a_turn_runs_under_one_arm_from_its_first_call_to_its_last(core) -> None:
    under_test = instrument(core, swap=UPDATE, slow=updates_slowly)
    schedule = [0, 1, 1, 0]
    under_test.begin("bare", schedule)
    core.serve("a", LENGTHS)
    columns = under_test.end()["columns"]
    assert columns["arm"] == schedule
    names = ["native", "slow"]
    by_turn = {turn: name for name, turn in told}
    assert len(by_turn) == len(told) == STEPS
    expected = {turn: names[schedule[min(turn - 1, STEPS - 1)]] for turn in by_turn}
    assert by_turn == expected
    assert min(by_turn) == (2 if core.batch_queue is not None else 1), "a queued step is updated a turn later"


@pytest.mark.parametrize("core", [False], indirect=True)
def test_all_that_happens_in_a_turn_is_its_time(core) -> None:
    under_test = instrument(core, swap=UPDATE, slow=updates_slowly)
    under_test.begin("bare", [0, 1, 0, 0])
    core.serve("a", LENGTHS)
    columns = under_test.end()["columns"]
    assert columns["execute_ns"] == [1000] * STEPS
    assert columns[TURN_NS] == [1110, 1600, 1110, 1110]
    assert columns["cpu_ns"] == columns[TURN_NS]
    assert columns["begin_ns"] == [0, 1110, 2710, 3820]


@pytest.mark.parametrize("core", [True], indirect=True)
def test_a_turn_that_executes_nothing_is_part_of_the_step_before(core) -> None:
    under_test = instrument(core, swap=UPDATE, slow=updates_slowly)
    under_test.begin("bare", [0])
    core.serve("a", LENGTHS)
    columns = under_test.end()["columns"]
    assert len(columns["step"]) == STEPS
    assert sum(columns[TURN_NS]) == core.clock.now_ns
    assert core.turns > STEPS


@both
def test_a_scope_in_the_scheduler_is_timed_in_its_turn(core) -> None:
    under_test = instrument(core, swap=UPDATE, probes=(UPDATE,), slow=updates_slowly)
    under_test.begin("probed", [0, 1, 1, 0])
    core.serve("a", LENGTHS)
    columns = under_test.end()["columns"]
    late = core.batch_queue is not None
    assert columns["scope.calls"] == columns[f"{UPDATE}.calls"] == ([0, 1, 1, 2] if late else [1] * STEPS)
    assert columns["scope.total_ns"] == ([0, 500, 500, 20] if late else [10, 500, 500, 10])


@both
@pytest.mark.parametrize("kind", ["check", "count"])
def test_what_is_counted_has_one_entry_a_step(core, kind) -> None:
    under_test = instrument(core, swap=SCHEDULE)
    if kind == "check":
        (result,) = checked(under_test, lambda: core.serve("a", LENGTHS), [0])
        assert result["mismatches"] == []
        # A turn without a step comes last, and its call belongs to the step before it.
        assert result["watched"]["calls"] == {SCHEDULE: [1] * (STEPS - 1) + [1 + (core.batch_queue is not None)]}
        assert result["watched"]["calls_before"] == {}
    else:
        under_test.begin(kind, [0])
        core.serve("a", LENGTHS)
        columns = under_test.end()["columns"]
        assert {len(values) for values in columns.values()} == {STEPS}
        assert min(columns["step_aten_dispatches"]) > 0


def schedules_another_block(self):
    work = _schedule(self)
    for request in work.scheduled_new_reqs:
        request.blocks[0] += 1
    return work


_schedule = frozen(Scheduler.schedule)


@both
def test_a_wrong_block_is_told_where_the_scheduler_makes_it(core) -> None:
    under_test = instrument(core, swap=SCHEDULE, wrong=schedules_another_block)
    wrong, right = checked(under_test, lambda: core.serve("a", LENGTHS), [1], [0])
    (mismatch,) = wrong["mismatches"]
    assert (mismatch["arm"], mismatch["step"], mismatch["raised"]) == ("wrong", 0, False)
    assert mismatch["field"] == "scheduler_output.scheduled_new_reqs[0].blocks"
    assert mismatch["reason"] == f"`{mismatch['field']}[0]`: expected 1, found 2"
    assert right["mismatches"] == []
