"""The engine core is put in its first state before each pass, wherever it is: in this process or in one of its own."""

from __future__ import annotations

import pickle
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config.experiment import Host as HostConfig
from harness.hosts import vllm_core
from harness.hosts.vllm import VllmHost
from harness.hosts.vllm_core import RESET, resettable
from harness.instrument.pristine import OUT_OF_REACH
from tests.cli.test_cli import worker
from tests.fakes_core import EngineCore


def order(core: EngineCore) -> list[int]:
    return [block.block_id for block in core.scheduler.kv_cache_manager.block_pool.free_block_queue.blocks]


@pytest.fixture
def vllms(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """vLLM's module, as far as it is touched; `ran` has the arguments that its own function was given."""

    class Core(EngineCore):
        pass

    class EngineCoreProc(Core):
        @staticmethod
        def run_engine_core(*args: Any, **kwargs: Any) -> None:
            module.ran.append((args, kwargs))

    module = SimpleNamespace(EngineCore=Core, EngineCoreProc=EngineCoreProc, ran=[])
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.core", module)
    return module


def test_a_process_that_begins_with_harness_goes_on_as_vllms_own(vllms: SimpleNamespace) -> None:
    own = vars(vllms.EngineCoreProc)["run_engine_core"]
    with resettable():
        target = vllms.EngineCoreProc.run_engine_core
        assert pickle.loads(pickle.dumps(target)) is vllm_core.run_engine_core, "so a spawned process finds it"
        target(1, dp_rank=0)  # as in a forked process, where it is still in vLLM's place
    assert vars(vllms.EngineCoreProc)["run_engine_core"] is own
    target(2)  # as in a spawned one
    assert vllms.ran == [((1,), {"dp_rank": 0}), ((2,), {})]
    core = vllms.EngineCoreProc()
    first = order(core)
    core.serve("a", [3, 1, 2, 1])
    assert order(core) != first
    assert getattr(core, RESET)(False) == ""
    assert order(core) == first
    assert getattr(core, RESET)(True) == ""
    assert order(core) == first[::-1]


def test_vllms_own_is_put_back_where_the_engine_does_not_start(vllms: SimpleNamespace) -> None:
    own = vars(vllms.EngineCoreProc)["run_engine_core"]
    with pytest.raises(ValueError, match="no"), resettable():
        raise ValueError("no")
    assert vars(vllms.EngineCoreProc)["run_engine_core"] is own


@pytest.mark.parametrize("lacks", ["run_engine_core", "EngineCoreProc"])
def test_a_vllm_that_starts_engines_in_another_way_is_left_alone(vllms: SimpleNamespace, lacks: str) -> None:
    if lacks == "EngineCoreProc":
        del vllms.EngineCoreProc
    else:
        del vllms.EngineCoreProc.run_engine_core
    with resettable():
        assert not hasattr(getattr(vllms, "EngineCoreProc", None), "run_engine_core")


def host(client: Any, process: Any, *answers: dict[str, Any]) -> VllmHost:
    made = VllmHost(HostConfig(process=process, device="cpu"), {"model": "none", "dtype": "float32"})
    rpc = lambda method, args=(): [{"value": answer} for answer in answers]  # noqa: E731
    made._llm = SimpleNamespace(llm_engine=SimpleNamespace(engine_core=client), collective_rpc=rpc)
    made._core_apart = True
    return made


def test_a_core_in_this_process_is_reset_though_its_workers_are_elsewhere() -> None:
    core = EngineCore()
    first = order(core)
    core.serve("a", [3, 1, 2, 1])
    of_this_process = host(SimpleNamespace(engine_core=core), "in_process")
    assert of_this_process._reset_core(backwards=False) == ""
    assert order(core) == first
    assert of_this_process._reset_core(backwards=True) == ""
    assert order(core) == first[::-1]
    assert host(SimpleNamespace(engine_core=object()), "in_process")._reset_core(backwards=False) == OUT_OF_REACH


def test_a_core_in_a_process_of_its_own_is_asked_to_reset_itself() -> None:
    asked: list[tuple[str, bool]] = []

    def call_utility(method: str, backwards: bool) -> str:
        asked.append((method, backwards))
        return "" if len(asked) == 1 else "the engine core still has requests"

    of_its_own = host(SimpleNamespace(call_utility=call_utility), "subprocess")
    assert [of_its_own._reset_core(backwards=False), of_its_own._reset_core(backwards=True)] == [
        "",
        "the engine core still has requests",
    ]
    assert asked == [(RESET, False), (RESET, True)]


def test_a_core_without_the_method_is_out_of_reach() -> None:
    def call_utility(method: str, backwards: bool) -> str:
        raise Exception(f"Call to {method} method failed: no attribute {method}")

    assert host(SimpleNamespace(call_utility=call_utility), "subprocess")._reset_core(backwards=False) == OUT_OF_REACH
    assert host(SimpleNamespace(), "subprocess")._reset_core(backwards=False) == OUT_OF_REACH


def test_what_any_worker_does_not_repeat_is_told_and_why_the_core_was_not_reset() -> None:
    facts = {"leaves": 9, "ignored": [], "not_repeated": ["b"], "not_reset": OUT_OF_REACH}
    apart = host(SimpleNamespace(), "in_process", facts, {**facts, "not_repeated": ["a", "b"]})
    assert apart.checked() == {**facts, "not_repeated": ["a", "b"], "not_reset": ""}, "the host itself reset it"
    apart._not_reset = "the engine core still holds blocks"
    assert apart.checked()["not_reset"] == "the engine core still holds blocks"
    rows = host(SimpleNamespace(), "in_process", facts, {**facts, "not_reset": "the model runner still has requests"})
    assert rows.checked()["not_reset"] == "the model runner still has requests"
    apart._core_apart, apart._not_reset = False, ""
    assert apart.checked()["not_reset"] == OUT_OF_REACH, "as the worker says"
    assert host(SimpleNamespace(), "in_process", {}).checked() == {}


@pytest.mark.parametrize(("kind", "said"), [("check", "the engine core still holds blocks"), ("bare", "")])
def test_whether_a_core_can_be_reset_is_asked_after_a_checking_pass_too(monkeypatch, kind: Any, said: str) -> None:
    """No worker can tell of it where it is apart."""
    core = EngineCore()

    def generate(prompts: Any, params: Any, use_tqdm: bool) -> list[Any]:
        core.scheduler.kv_cache_manager.block_pool.free_block_queue.blocks.pop()  # as an arm may
        return []

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=SimpleNamespace))
    of_this_process = host(SimpleNamespace(engine_core=core), "in_process", worker(not_reset=OUT_OF_REACH))
    of_this_process._llm.generate = generate
    result = of_this_process.run_pass(kind, [0], [])
    assert result.not_reset == (said or OUT_OF_REACH)
    assert of_this_process._not_reset == "", "it was in its first state before"
