"""Fingerprints of passes on an engine that is none: each thing seen stands in its own step, and nothing stays bound."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from harness.instrument import pristine
from harness.instrument.bindings import Bindings
from harness.instrument.fingerprint import Fingerprint, first_difference, not_repeated
from harness.instrument.loops import V1Loop, V2Loop
from harness.instrument.recorder import Recorder
from tests import fakes
from tests.fakes_core import EngineCore, Model, Runner

LENGTHS = [3, 1, 2, 4, 1]


def recorded(core: EngineCore, prefix: str, reach: bool = True, calls: Any = None, **arguments: Any) -> Fingerprint:
    """One pass; `calls(recorder)` may replace functions of the engine that call the recorder."""
    pristine.reset(core)
    core.runner.input_batch.done.zero_()
    bindings, recorder = Bindings(), Recorder(V1Loop(core.runner), core if reach else None, **arguments)
    recorder.begin(bindings)
    if calls is not None:
        calls(recorder, bindings)
    try:
        core.serve(prefix, LENGTHS)
    finally:
        assert bindings.restore() == []
    return recorder.end()


@pytest.fixture(params=[False, True], ids=["synchronous", "asynchronous"])
def core(request: pytest.FixtureRequest) -> EngineCore:
    return EngineCore(asynchronous=request.param)


def test_passes_repeat_whatever_their_requests_are_called(core: EngineCore) -> None:
    passes = [recorded(core, f"pass{index}-") for index in range(3)]
    assert len(passes[0].steps) == 5
    assert not_repeated(passes) == frozenset()
    assert first_difference(passes[0], passes[2]) is None


def test_every_step_has_what_it_was_given_and_what_it_gave(core: EngineCore) -> None:
    for step in recorded(core, "a").steps:
        scheduled = step["scheduler_output.num_scheduled_tokens.keys"]
        assert isinstance(scheduled, tuple)
        count = len(scheduled)
        given, positions, logits = step["model[input_ids]"], step["model[positions]"], step["logits"]
        for tensor in (given, positions, logits, step["sampled"], step["model_output.tokens"]):
            assert isinstance(tensor, torch.Tensor)
            assert tensor.shape == (count,)
        assert isinstance(given, torch.Tensor)
        assert isinstance(positions, torch.Tensor)
        assert isinstance(logits, torch.Tensor)
        assert torch.equal(given + positions, logits)
        assert step["outputs[0].tokens"] == tuple(logits.tolist())  # of this step, however late it was told
        assert step["sampling.all_greedy"] is True
        rows = step["state.input_batch.req_ids"]
        assert isinstance(rows, tuple)
        assert set(scheduled) <= set(rows)
        assert not [path for path in step if "time" in path]


def test_steps_follow_the_order_of_the_schedule() -> None:
    synchronous, asynchronous = recorded(EngineCore(), "a"), recorded(EngineCore(asynchronous=True), "a")
    keys = "scheduler_output.num_scheduled_tokens.keys"
    assert [step[keys] for step in synchronous.steps][:2] == [step[keys] for step in asynchronous.steps][:2]
    assert synchronous.steps[0][keys] == ("req#0", "req#1")


def test_a_turn_without_work_is_no_step(core: EngineCore) -> None:
    bindings, recorder = Bindings(), Recorder(V1Loop(core.runner), core)
    recorder.begin(bindings)
    core.serve("a", [1])
    core.step_fn()
    core.step_fn()
    bindings.restore()
    assert len(recorder.end().steps) == 1


def test_without_the_core_there_is_what_the_worker_sees(core: EngineCore) -> None:
    with_core, alone = recorded(core, "a"), recorded(core, "b", reach=False)
    outputs = {path for step in with_core.steps for path in step if path.startswith(("model_output", "outputs"))}
    assert outputs
    assert first_difference(with_core, alone, outputs) is None


def test_a_core_alone_is_recorded_where_its_workers_are_other_processes(core: EngineCore) -> None:
    both = recorded(core, "a")
    pristine.reset(core)
    core.runner.input_batch.done.zero_()
    bindings, recorder = Bindings(), Recorder(None, core)
    recorder.begin(bindings)
    core.serve("b", LENGTHS)
    assert bindings.restore() == []
    alone = recorder.end()
    stages = ("scheduler_output", "model_output", "outputs")
    seen = [{path: leaf for path, leaf in step.items() if path.startswith(stages)} for step in both.steps]
    assert first_difference(Fingerprint(seen), alone) is None


def test_a_wrong_input_is_struck_where_it_enters(core: EngineCore) -> None:
    native = recorded(core, "a")

    def wrong(inputs: torch.Tensor) -> None:
        inputs[1] += int(core.runner.input_batch.done[1] == 2)

    core.runner.wrong = wrong
    difference = first_difference(native, recorded(core, "b"))
    assert difference is not None
    assert (difference.step, difference.field, difference.index) == (1, "model[input_ids]", [1])


def test_a_wrong_choice_of_the_scheduler_is_struck_there(core: EngineCore) -> None:
    native = recorded(core, "a")
    core.scheduler.picks = lambda names: core.scheduler.running.reverse() if "b2" in names else None
    difference = first_difference(native, recorded(core, "b"))
    assert difference is not None
    assert difference.field.startswith("scheduler_output.")


def test_everything_is_put_back(core: EngineCore) -> None:
    objects = [core.scheduler, core.runner, core.runner.model]
    before = [dict(vars(each)) for each in objects]
    bindings, recorder = Bindings(), Recorder(V1Loop(core.runner), core)
    recorder.begin(bindings)
    assert "schedule" in vars(core.scheduler)
    assert bindings.restore() == []
    recorder.end()
    after = [vars(each) for each in objects]
    assert [list(each) for each in before] == [list(each) for each in after]
    assert all(one[key] is other[key] for one, other in zip(before, after, strict=True) for key in one)


def test_a_step_that_raises_leaves_the_next_pass_as_it_was(core: EngineCore) -> None:
    native = recorded(core, "a")

    def raises(inputs: torch.Tensor) -> None:
        raise RuntimeError("wrong")

    core.runner.wrong = raises
    with pytest.raises(RuntimeError, match="wrong"):
        recorded(core, "b")
    fresh = EngineCore(asynchronous=core.batch_queue is not None)
    assert first_difference(native, recorded(fresh, "c")) is None


def test_state_can_be_left_out(core: EngineCore) -> None:
    step = recorded(core, "a", state=False).steps[0]
    assert not [path for path in step if path.startswith("state")]


def test_huge_tensors_are_kept_by_rows(core: EngineCore) -> None:
    step = recorded(core, "a", rows_from=1).steps[0]
    assert type(step["logits"]).__name__ == "Rows"


def test_recording_says_how_long_it_took(core: EngineCore) -> None:
    bindings, recorder = Bindings(), Recorder(V1Loop(core.runner), core)
    recorder.begin(bindings)
    core.serve("a", [1])
    bindings.restore()
    assert recorder.took_ns > 0


class Table:
    """Something with a method that is swapped."""

    def __init__(self) -> None:
        self.rows = torch.zeros(4)
        self.runner: Any = None

    def append(self, row: int, *, value: int = 1) -> int:
        self.rows[row] += value
        return row


def test_calls_are_in_the_step_that_they_were_made_for(core: EngineCore) -> None:
    table = Table()

    def calls(recorder: Recorder, bindings: Bindings) -> None:
        def noted(name: str) -> Any:
            def picks(names: list[str]) -> None:
                result = table.append(0, value=len(names))
                recorder.call(f"block_table.Table.{name}", (table, 0), {"value": len(names)}, result)

            return picks

        bindings.bind(core.scheduler, "picks", noted("append"))
        bindings.bind(core.runner, "wrong", lambda inputs: noted("append")([]))

    steps = recorded(core, "a", calls=calls).steps
    for number, step in enumerate(steps):
        base = "calls.block_table.Table.append"
        own = {path.removeprefix(base): leaf for path, leaf in step.items() if path.startswith("calls")}
        assert [path for path in own if not path.endswith("rows")] == [
            f"[{call}]{part}" for call in (0, 1) for part in (".self.runner", ".args[0]", ".value", ".result")
        ]
        assert (own["[0].args[0]"], own["[0].result"], own["[1].value"]) == (0, 0, 0)
        rows = own["[0].self.rows"]
        assert isinstance(rows, torch.Tensor)
        assert own["[0].value"] != 0
        if number == 0:
            assert rows.tolist() == [2, 0, 0, 0]


def test_a_function_has_no_self_and_arguments_are_as_they_are_after_the_call() -> None:
    bindings, recorder = Bindings(), Recorder(None, EngineCore())
    recorder.begin(bindings)
    core = EngineCore()
    recorder = Recorder(V1Loop(core.runner), core)
    recorder.begin(bindings)
    numbers = [3, 1, 2]
    numbers.sort()
    recorder.call("module.order", (numbers,), {}, None)
    core.serve("a", [1])
    bindings.restore()
    step = recorder.end().steps[0]
    assert step["calls.module.order[0].args[0]"] == (1, 2, 3)
    assert step["calls.module.order[0].result"] is None


def test_self_is_not_walked_far() -> None:
    core = EngineCore()
    bindings, recorder = Bindings(), Recorder(V1Loop(core.runner), core)
    recorder.begin(bindings)
    table = Table()
    table.runner = SimpleNamespace(near=1, far=SimpleNamespace(further=SimpleNamespace(furthest=1)))
    recorder.call("Table.append", (table, 0), {}, 0)
    core.serve("a", [1])
    bindings.restore()
    own = [path for path in recorder.end().steps[0] if ".self." in path]
    base = "calls.Table.append[0].self"
    assert own == [f"{base}.rows", f"{base}.runner.near", f"{base}.runner.far.cut"]


class V2(Runner):
    """V2's names: a model that is called, or a graph that is replayed."""

    def __init__(self, graph: bool) -> None:
        super().__init__()
        self.req_states = SimpleNamespace(rows=self.input_batch.done)
        self.model.compute_logits = lambda hidden: hidden * 2
        self.cudagraph_manager = SimpleNamespace(run_fullgraph=lambda desc: Model().forward(**self._inputs))
        self._graph = graph

    def prepare_inputs(self, work: Any) -> Any:
        return SimpleNamespace(count=work.total_num_scheduled_tokens)

    def prepare_attn(self, batch: Any) -> Any:
        return (torch.arange(batch.count),), torch.arange(batch.count)

    def _model_forward(self, **inputs: Any) -> torch.Tensor:
        work = SimpleNamespace(total_num_scheduled_tokens=len(inputs["positions"]))
        self.prepare_attn(self.prepare_inputs(work))
        self._inputs = inputs
        result: torch.Tensor = self.cudagraph_manager.run_fullgraph("desc") if self._graph else self.model(**inputs)
        return result

    def sample_tokens(self, grammar: Any = None) -> SimpleNamespace:
        return SimpleNamespace(tokens=self.sample(self._left, None, grammar)[0])

    def sample(self, hidden: Any, batch: Any, grammar: Any) -> tuple[torch.Tensor, int]:
        return self.model.compute_logits(hidden).long(), 1


@pytest.mark.parametrize("graph", [False, True])
def test_a_v2_runner_is_recorded_with_and_without_graphs(graph: bool) -> None:
    core = EngineCore(V2(graph))
    bindings, recorder = Bindings(), Recorder(V2Loop(core.runner), core)
    recorder.begin(bindings)
    core.serve("a", LENGTHS)
    assert bindings.restore() == []
    fingerprint = recorder.end()
    assert not core.runner.model._forward_pre_hooks
    for step in fingerprint.steps:
        assert ("model[input_ids]" in step) is not graph
        assert ("model[arg0]" in step) is graph
        count = step["batch.count"]
        assert isinstance(step["batch.attention[1]"], torch.Tensor)
        assert len(step["batch.attention[1]"]) == count
        assert isinstance(step["logits"], torch.Tensor)
        assert isinstance(step["sampled[0]"], torch.Tensor)
        assert torch.equal(step["logits"].long(), step["sampled[0]"])
        assert "state.req_states.rows" in step


def test_a_v0_model_is_recorded_without_its_cache() -> None:
    class Model0(Model):
        def forward(self, input_ids: Any, positions: Any, kv_caches: Any) -> Any:
            return super().forward(input_ids, positions)

        def compute_logits(self, hidden: Any) -> Any:
            return hidden * 2

        def sample(self, logits: Any) -> Any:
            return logits.long()

    class Worker:
        model_runner = SimpleNamespace(model=Model0())

        def execute_model(self, work: Any) -> Any:
            model = self.model_runner.model
            numbers = torch.arange(len(work.seq_group_metadata_list))
            hidden = model(input_ids=numbers, positions=numbers, kv_caches=[torch.zeros(1000)])
            return [model.sample(model.compute_logits(hidden))]

    worker = Worker()
    loop = SimpleNamespace(
        generation="v0", runner=worker.model_runner, execute=(worker, "execute_model"), sample=None,
        is_step=lambda work: bool(work.seq_group_metadata_list),
    )  # fmt: skip
    bindings, recorder = Bindings(), Recorder(loop)  # type: ignore[arg-type]
    recorder.begin(bindings)
    for count in (2, 0, 3):
        worker.execute_model(SimpleNamespace(seq_group_metadata_list=list(range(count))))
    bindings.restore()
    fingerprint = recorder.end()
    assert [list(step) for step in fingerprint.steps] == [
        ["model.keys", "model[input_ids]", "model[positions]", "context", "sampling", "logits", "sampled"]
    ] * 2
    assert not worker.model_runner.model._forward_pre_hooks


def test_a_runner_without_a_model_is_recorded_as_far_as_it_goes() -> None:
    runner = fakes.Runner()
    bindings, recorder = Bindings(), Recorder(V1Loop(runner))
    passes = []
    for _ in range(2):
        recorder.begin(bindings)
        runner.serve([(5, 3), (3, 2)])
        assert bindings.restore() == []
        passes.append(recorder.end())
    assert len(passes[0].steps) == 3
    assert first_difference(*passes) is None
    rows = passes[0].steps[0]["state.input_batch.block_table.block_tables[0].slot_mapping.np"]
    assert isinstance(rows, torch.Tensor)
    assert np.count_nonzero(rows) > 0
