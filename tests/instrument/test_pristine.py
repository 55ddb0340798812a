"""The engine is put in its first state between passes, and the core is found from inside a worker's method."""

from __future__ import annotations

from multiprocessing import process
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.instrument.pristine import OUT_OF_REACH, core_of, reset
from tests.fakes_core import EngineCore


def order(core: EngineCore) -> list[int]:
    return [block.block_id for block in core.scheduler.kv_cache_manager.block_pool.free_block_queue.blocks]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_blocks_are_free_in_their_first_order_again(asynchronous: bool) -> None:
    core = EngineCore(asynchronous=asynchronous)
    first = order(core)
    core.serve("a", [3, 1, 2, 1])
    assert order(core) != first
    assert reset(core) == ""
    assert order(core) == first
    blocks = core.scheduler.kv_cache_manager.block_pool.blocks
    assert [block.next_free_block for block in blocks[1:]] == [*blocks[2:], None]


def test_the_last_blocks_come_first_where_everything_is_to_lie_elsewhere() -> None:
    core = EngineCore()
    first = order(core)
    assert reset(core, backwards=True) == ""
    assert order(core) == first[::-1]
    core.serve("a", [3, 1, 2, 1])
    assert reset(core) == ""
    assert order(core) == first


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_the_pass_before_left_to_tell_is_told(asynchronous: bool) -> None:
    core = EngineCore(asynchronous=asynchronous)
    core.serve("a", [1, 1])
    assert core.scheduler.finished_req_ids
    assert reset(core) == ""
    assert not core.scheduler.has_requests()
    assert core.runner.input_batch.req_ids == []
    turns = core.turns
    assert reset(core) == ""
    assert core.turns == turns  # nothing was left, so no turn was taken


def test_an_engine_at_work_is_left_alone() -> None:
    core = EngineCore()
    core.scheduler.add("a", 3)
    core.step_fn()
    before, turns = order(core), core.turns
    assert reset(core) == "the engine core still has requests"
    assert (order(core), core.turns) == (before, turns)


def test_blocks_that_are_held_are_told() -> None:
    core = EngineCore()
    core.scheduler.kv_cache_manager.block_pool.free_block_queue.blocks.pop()
    assert reset(core) == "the engine core still holds blocks"


@pytest.mark.parametrize("enabled", [False, True])
def test_the_prefix_cache_is_reset_where_there_is_one(enabled: bool) -> None:
    core = EngineCore(enable_caching=enabled)
    assert reset(core) == ""
    assert core.scheduler.cache_resets == enabled


def test_a_prefix_cache_that_cannot_be_reset_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    core = EngineCore(enable_caching=True)
    monkeypatch.setattr(core.scheduler, "reset_prefix_cache", lambda: False)
    assert reset(core) == "the engine core cannot reset its prefix cache"


@pytest.mark.parametrize(
    ("core", "why"),
    [
        (None, OUT_OF_REACH),
        (SimpleNamespace(scheduler=SimpleNamespace()), "the engine core has no pool of blocks that is known"),
    ],
)
def test_without_a_core_or_its_blocks_it_cannot_be_done(core: Any, why: str) -> None:
    assert reset(core) == why


def test_rows_of_a_v2_runner_are_handed_out_as_at_first() -> None:
    runner = SimpleNamespace(req_states=SimpleNamespace(req_id_to_index={}, free_indices=[2, 0, 3, 1]))
    assert reset(EngineCore(), runner) == ""
    assert runner.req_states.free_indices == [0, 1, 2, 3]
    runner.req_states.free_indices.reverse()
    assert reset(None, runner) == OUT_OF_REACH
    assert runner.req_states.free_indices == [0, 1, 2, 3], "what is in reach is reset"


def test_rows_that_are_held_are_told() -> None:
    runner = SimpleNamespace(req_states=SimpleNamespace(req_id_to_index={"a": 1}, free_indices=[2, 0]))
    assert reset(EngineCore(), runner) == "the model runner still has requests"
    assert runner.req_states.free_indices == [2, 0]


class Worker:
    def harness_method(self) -> Any:
        return core_of()


def test_the_core_is_found_from_a_workers_method() -> None:
    class EngineCoreProc(EngineCore):
        pass

    core = EngineCoreProc()
    assert core.collective_rpc(lambda: Worker().harness_method()) is core
    assert Worker().harness_method() is None


def test_a_forked_worker_does_not_find_the_copy_that_its_parent_was_in() -> None:
    class Forked(process.BaseProcess):
        def run(self) -> None:
            found.append(Worker().harness_method())

    found: list[Any] = []
    EngineCore().collective_rpc(lambda: Forked.run(Forked()))
    assert found.pop() is not None
    code = compile("def _bootstrap(run):\n    run()", process.__file__, "exec")
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    EngineCore().collective_rpc(lambda: namespace["_bootstrap"](lambda: Forked.run(Forked())))
    assert found == [None]


def test_grammars_are_compiled_before_a_pass_goes_on_where_the_core_makes_any() -> None:
    core = EngineCore()
    core.scheduler.structured_output_manager = SimpleNamespace(_use_async_grammar_compilation=True)
    assert reset(core) == ""
    assert core.scheduler.structured_output_manager._use_async_grammar_compilation is False
    core.scheduler.structured_output_manager = SimpleNamespace()
    assert reset(core) == ""
    assert vars(core.scheduler.structured_output_manager) == {}


def test_a_pass_maps_its_first_tokens_to_adapters_anew() -> None:
    manager = SimpleNamespace(_last_mapping="of the pass before", _last_slot_layout="too", kept=1)
    runner = SimpleNamespace(lora_manager=SimpleNamespace(_adapter_manager=manager))
    assert reset(EngineCore(), runner) == ""
    assert vars(manager) == {"_last_mapping": None, "_last_slot_layout": None, "kept": 1}


@pytest.mark.parametrize(("speculative", "running", "left"), [({}, 0, 0), (None, 0, 8), ({}, 1, 8)])
def test_wrong_guesses_do_not_stay_behind_a_requests_tokens(speculative, running: int, left: int) -> None:
    tokens = torch.ones(2, 4)
    batch = SimpleNamespace(token_ids_cpu_tensor=tokens, num_reqs=running)
    assert reset(EngineCore(), SimpleNamespace(speculative_config=speculative, input_batch=batch)) == ""
    assert tokens.sum() == left
