"""What each loop is told by: the calls that are a step, the turn around them, and what was in the step's batch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.errors import SeamError
from harness.instrument.loops import Batch, CoreLoop, FrontLoop, V0Loop, V1Loop, V2Loop, loop_of


def work(**tokens: int) -> Any:
    """What vLLM's scheduler gives for a step: so many tokens of each request."""
    return SimpleNamespace(num_scheduled_tokens=tokens, total_num_scheduled_tokens=sum(tokens.values()))


class Runner(SimpleNamespace):
    def execute_model(self, of: Any) -> None: ...


class Sampling(Runner):
    def sample_tokens(self) -> None: ...


class Core(SimpleNamespace):
    def step_fn(self) -> None: ...


def v1_runner(kind: type[Runner] = Runner) -> Any:
    batch = SimpleNamespace(
        num_reqs=3, num_computed_tokens_cpu=np.array([5, 7, 2, 0]), num_prompt_tokens=np.array([6, 7, 9, 1])
    )
    return kind(input_batch=batch)


def v2_runner(kind: type[Runner] = Runner) -> Any:
    states = SimpleNamespace(
        req_id_to_index={"a": 2, "b": 0, "elsewhere": 1}, num_computed_prefill_tokens=np.array([4, 0, 3]),
        prefill_len=SimpleNamespace(np=np.array([4, 8, 6])),
    )  # fmt: skip
    return kind(req_states=states)


def test_a_v1_batch_is_its_rows_up_to_the_number_of_requests() -> None:
    """The rows behind them are of requests that have gone: the fourth here would be a prefill."""
    assert V1Loop(v1_runner()).batch(work(a=1, b=1, c=7)) == Batch(3, 9, 2)


def test_a_v2_batch_is_told_by_the_rows_of_its_requests() -> None:
    assert V2Loop(v2_runner()).batch(work(a=3, b=1)) == Batch(2, 4, 1)


@pytest.mark.parametrize(
    ("kind", "runner", "generation"), [(V1Loop, v1_runner, "v1"), (V2Loop, v2_runner, "v2")]
)  # fmt: skip
def test_a_runners_loop_is_told_by_where_it_keeps_its_requests(kind, runner, generation) -> None:
    core, made = Core(), runner(Sampling)
    loop = loop_of(made, core)
    assert type(loop) is kind
    assert loop.generation == generation
    assert (loop.runner, loop.core, loop.turn) == (made, core, (core, "step_fn"))
    assert (loop.execute, loop.sample) == ((made, "execute_model"), (made, "sample_tokens"))
    assert [loop.is_step(work()), loop.is_step(work(a=1))] == [False, True]


@pytest.mark.parametrize("runner", [v1_runner, v2_runner])
def test_without_a_core_there_is_no_turn_and_older_runners_sample_where_they_execute(runner) -> None:
    for core in (None, SimpleNamespace(), SimpleNamespace(step_fn="not a function")):
        loop = loop_of(runner(), core)
        assert (loop.core, loop.turn, loop.sample) == (core, None, None)


def test_what_is_no_runner_of_vllm_is_refused_by_its_full_name() -> None:
    with pytest.raises(SeamError, match=rf"^{__name__}\.Core is neither a V1 nor a V2 model runner of vLLM$"):
        loop_of(Core())


@pytest.mark.parametrize("sampling", [False, True])
def test_a_core_without_a_runner_in_reach_is_told_by_its_scheduler(sampling) -> None:
    """The scheduler has moved its requests on already: before this step `a` had 6 of 8 tokens of its prompt."""
    requests = {
        "a": SimpleNamespace(num_computed_tokens=8, num_prompt_tokens=8),
        "b": SimpleNamespace(num_computed_tokens=9, num_prompt_tokens=8),
        "c": SimpleNamespace(num_computed_tokens=4, num_prompt_tokens=8),
    }
    executor = (Sampling if sampling else Runner)()
    core = Core(model_executor=executor, scheduler=SimpleNamespace(requests=requests))
    loop = CoreLoop(core)
    assert loop.batch(work(a=2, b=1, c=4, gone=1)) == Batch(4, 8, 2)
    assert (loop.generation, loop.core, loop.runner, loop.turn) == ("core", core, executor, (core, "step_fn"))
    assert loop.execute == (executor, "execute_model")
    assert loop.sample == ((executor, "sample_tokens") if sampling else None)
    assert [loop.is_step(work()), loop.is_step(work(a=1))] == [False, True]


def test_a_front_ends_step_is_what_comes_out_of_one_turn() -> None:
    processor = SimpleNamespace()
    loop = FrontLoop(SimpleNamespace(output_processor=processor))
    outputs = [SimpleNamespace(new_token_ids=[4, 5]), SimpleNamespace(new_token_ids=[6])]
    assert loop.batch(outputs) == Batch(2, 3, 0)
    assert (loop.generation, loop.runner, loop.execute) == ("front", processor, (processor, "process_outputs"))
    assert (loop.core, loop.turn, loop.sample) == (None, None, None)
    assert [loop.is_step([]), loop.is_step(outputs)] == [False, True]


def test_a_v0_workers_call_prepares_and_executes_and_a_group_has_one_sequence_or_several() -> None:
    worker, engine = SimpleNamespace(model_runner=Runner()), SimpleNamespace()
    loop = V0Loop(worker, engine)
    groups = [
        SimpleNamespace(seq_data={1: None}, is_prompt=True, token_chunk_size=7),
        SimpleNamespace(seq_data={2: None, 3: None}, is_prompt=False, token_chunk_size=1),
    ]
    asked = SimpleNamespace(seq_group_metadata_list=groups)
    assert loop.batch(asked) == Batch(3, 8, 1)
    assert (loop.generation, loop.runner) == ("v0", worker.model_runner)
    assert (loop.execute, loop.turn, loop.sample) == ((worker, "execute_model"), (engine, "step"), None)
    assert V0Loop(worker).turn is None
    ended = SimpleNamespace(seq_group_metadata_list=[])
    assert [loop.is_step(each) for each in (asked, ended, None)] == [True, False, False]
