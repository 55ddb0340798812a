"""Instruments in processes of an engine that hold no model runner, and which of them an engine has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.hosts import process_instrument, vllm_core
from harness.hosts.elsewhere import Elsewhere
from harness.hosts.process_instrument import ProcessInstrument
from harness.instrument.anatomy import ARRIVAL, FRONT, OUTPUT, TURN, Phase, phases_of, whole

HERE = __name__
STEPS = 4


class Request(SimpleNamespace):
    """`num_computed_tokens` after it was scheduled."""


class Scheduler:
    def __init__(self) -> None:
        self.requests = {"long": Request(num_computed_tokens=0, num_prompt_tokens=10)}

    def schedule(self) -> Any:
        self.requests["long"].num_computed_tokens += 5
        return SimpleNamespace(num_scheduled_tokens={"long": 5, "gone": 1}, total_num_scheduled_tokens=6)


class Executor:
    def execute_model(self, work: Any, non_block: bool = False) -> None:
        self.wait()

    def sample_tokens(self, grammar: Any) -> str:
        return "sampled"

    def wait(self) -> None: ...


class Core:
    """As vLLM's EngineCore, whose workers are elsewhere."""

    def __init__(self) -> None:
        self.scheduler, self.model_executor = Scheduler(), Executor()
        self.step_fn = self.step

    def add_request(self, request: Any) -> None: ...

    def step(self) -> str:
        self.model_executor.execute_model(self.scheduler.schedule(), non_block=True)
        return self.model_executor.sample_tokens(None)


class Processor:
    def process_outputs(self, outputs: Any) -> None:
        for _ in outputs:
            self.detokenise()

    def detokenise(self) -> None: ...


class Front:
    """As vLLM's LLMEngine, whose core is elsewhere."""

    def __init__(self, client: Any = None) -> None:
        self.output_processor, self.engine_core = Processor(), client

    def add_request(self) -> None: ...


PHASES = [
    Phase("rest of arrival", ARRIVAL, f"{HERE}.Front.add_request"),
    Phase("request queued", ARRIVAL, f"{HERE}.Core.add_request"),
    Phase("rest of the turn", TURN, f"{HERE}.Core.step"),
    Phase("schedule", TURN, f"{HERE}.Scheduler.schedule"),
    Phase("wait for workers", TURN, f"{HERE}.Executor.wait"),
    Phase("rest of output", OUTPUT, f"{HERE}.Processor.process_outputs"),
    Phase("detokenising", OUTPUT, f"{HERE}.Processor.detokenise"),
    Phase("missing", OUTPUT, f"{HERE}.Processor.missing"),
]


def held(turn: str, generation: str, front_apart: bool) -> tuple[str, ...]:
    if generation == FRONT:
        return (f"{HERE}.Front.add_request", f"{HERE}.Processor.process_outputs")
    return (f"{HERE}.Core.add_request", f"{HERE}.Core.step")


def there(turn: str, generation: str) -> list[Phase]:
    of_core = ("Core", "Scheduler", "Executor")
    return [phase for phase in PHASES if (phase.name.split(".")[-2] in of_core) is (generation != FRONT)]


@pytest.fixture(autouse=True)
def phases(monkeypatch):
    monkeypatch.setattr(process_instrument, "whole", held)
    monkeypatch.setattr(process_instrument, "phases_of", there)


def attributes(*kinds: type) -> list[Any]:
    return [(name, value, getattr(value, "__code__", None)) for kind in kinds for name, value in vars(kind).items()]


def test_an_engine_core_whose_workers_are_elsewhere_is_timed_turn_by_turn() -> None:
    before, core = attributes(Core, Scheduler, Executor), Core()
    instrument = ProcessInstrument.of_core(core, front_apart=True)
    assert instrument.turn == f"{HERE}.Core.step"
    instrument.begin()
    core.add_request(None)
    for _ in range(STEPS):
        assert core.step_fn() == "sampled"
    columns = instrument.end()
    assert columns["step"] == list(range(STEPS))
    assert columns["num_reqs"] == [2] * STEPS
    assert columns["num_tokens"] == [6] * STEPS
    assert columns["num_prefills"] == [1, 1, 0, 0]  # ten tokens of prompt, five a turn
    for name in ("Core.step", "Scheduler.schedule", "Executor.wait"):
        assert columns[f"{HERE}.{name}.calls"] == [1] * STEPS
        assert all(ns > 0 for ns in columns[f"{HERE}.{name}.self_ns"])
    assert columns[f"{HERE}.Core.add_request.calls"] == [1, 0, 0, 0]  # what arrives belongs to the first turn
    assert columns[f"{HERE}.Core.step.nested_calls"] == [2] * STEPS
    assert all(turn > 0 for turn in columns["turn_ns"])
    instrument.remove()
    assert attributes(Core, Scheduler, Executor) == before


def test_a_front_end_is_timed_by_what_comes_out_of_each_turn() -> None:
    front = Front()
    instrument = ProcessInstrument.of_front(front)
    assert instrument.turn == ""
    instrument.begin()
    front.add_request()
    for _ in range(STEPS):
        front.output_processor.process_outputs([])  # nothing came, which is no step
        front.output_processor.process_outputs([SimpleNamespace(new_token_ids=[1, 2])] * 3)
    columns = instrument.end()
    assert columns["num_reqs"] == [3] * STEPS
    assert columns["num_tokens"] == [6] * STEPS
    assert columns[f"{HERE}.Processor.detokenise.calls"] == [3] * STEPS
    assert columns[f"{HERE}.Front.add_request.calls"] == [1, 0, 0, 0]
    assert {about["label"] for about in instrument.describe()["phases"].values()} == {
        "rest of arrival", "rest of output", "detokenising",
    }  # fmt: skip


def test_what_a_pass_that_was_cut_short_left_is_put_back() -> None:
    before, core = attributes(Core, Scheduler, Executor), Core()
    instrument = ProcessInstrument.of_core(core, front_apart=True)
    instrument.begin()
    core.step_fn()
    instrument.remove()
    assert attributes(Core, Scheduler, Executor) == before
    assert core.step_fn.__func__ is Core.step


class Client:
    """A client of a core in another process, played here."""

    def __init__(self, core: Core) -> None:
        self.core = core
        for name, method in vllm_core.METHODS.items():
            setattr(Core, name, method)

    def call_utility(self, method: str, *args: Any) -> Any:
        return getattr(self.core, method)(*args)


class Processes:
    def call(self, function: Any, *args: Any) -> Any:
        return function(*args)


@pytest.fixture
def cored():
    yield
    for name in vllm_core.METHODS:
        if name in vars(Core):
            delattr(Core, name)


def test_a_core_in_a_process_of_its_own_is_timed_there_and_the_front_end_here(cored) -> None:
    core = Core()
    front = Front(Client(core))
    elsewhere = Elsewhere(front, Processes(), core_apart=True)
    described = elsewhere.describe()
    assert list(described) == ["front end", "engine core"]
    assert described["engine core"]["turn"] == f"{HERE}.Core.step"
    assert described["front end"]["calibration"]["inside_ns"] > 0
    elsewhere.begin()
    core.step_fn()
    front.output_processor.process_outputs([SimpleNamespace(new_token_ids=[1])])
    columns = elsewhere.end()
    assert columns["engine core"][f"{HERE}.Scheduler.schedule.calls"] == [1]
    assert columns["front end"][f"{HERE}.Processor.process_outputs.calls"] == [1]
    elsewhere.begin()
    elsewhere.remove()
    assert core.step_fn.__func__ is Core.step


def test_a_core_in_this_process_with_workers_elsewhere_is_timed_with_the_front_end() -> None:
    elsewhere = Elsewhere(Front(SimpleNamespace(engine_core=Core())), None, core_apart=True)
    assert list(elsewhere.describe()) == ["front end and engine core"]


def test_an_engine_with_its_workers_in_its_own_process_has_the_front_end_beside_it_at_most() -> None:
    assert list(Elsewhere(Front(), Processes(), core_apart=False).describe()) == ["front end"]
    alone = Elsewhere(Front(), None, core_apart=False)
    assert alone.describe() == {}
    alone.begin()
    assert alone.end() == {}
    alone.remove()


def test_each_process_has_the_phases_that_can_be_in_it() -> None:
    assert {phase.section for phase in phases_of("", FRONT)} == {ARRIVAL, OUTPUT}
    assert "vllm.v1.engine.llm_engine.LLMEngine.add_request" in whole("", FRONT)
    of_core = phases_of("vllm.v1.engine.core.EngineCore.step", "core")
    assert {"wait for workers", "schedule"} <= {phase.label for phase in of_core}
    assert not {"forward", "prepare inputs"}.intersection(phase.label for phase in of_core)
    assert whole("turn", "core", front_apart=True) == ("vllm.v1.engine.core.EngineCore.add_request", "turn")
    assert len(whole("turn", "core", front_apart=False)) == 4
