"""Functions that vLLM has compiled or captured are told, so that nobody switches code which no step runs."""

from __future__ import annotations

from types import FunctionType, SimpleNamespace
from typing import Any

import pytest

from harness.instrument.compiled import why_not_run

FORWARD = "vllm.v1.worker.gpu_model_runner.GPUModelRunner._model_forward"
NAME = "vllm.model_executor.layers.rotary_embedding.base.RotaryEmbedding.forward"
COMPILED = "lies in what vLLM compiles, and no step calls it; set engine.enforce_eager: true"


def function_in(module: str, file: str = "somewhere.py") -> FunctionType:
    space: dict[str, Any] = {"__name__": module}
    exec(compile("def forward(): ...", file, "exec"), space)
    return space["forward"]


def runner(mode: int = 0, full: bool = False, traced: tuple[str, ...] = ()) -> Any:
    graphs = SimpleNamespace(has_full_cudagraphs=lambda: full)
    config = SimpleNamespace(mode=mode, cudagraph_mode=graphs, traced_files=set(traced))
    return SimpleNamespace(vllm_config=SimpleNamespace(compilation_config=config))


@pytest.mark.parametrize(
    ("host", "module", "file", "calls", "phases", "why"),
    [
        (runner(3), "vllm.model_executor.layers.x", "a.py", [0, 0], {}, COMPILED),
        (runner(3, traced=("a.py",)), "vllm.platforms.interface", "a.py", [0, 0], {}, COMPILED),
        (runner(3), "vllm.platforms.interface", "a.py", [0, 0], {}, ""),
        (runner(3), "vllm.model_executor.layers.x", "a.py", [0, 1], {FORWARD: 1}, ""),
        (runner(0), "vllm.model_executor.layers.x", "a.py", [0, 0], {}, ""),
        (
            runner(0, full=True),
            "vllm.model_executor.layers.x",
            "a.py",
            [0, 0],
            {},
            "lies in what vLLM captures in a CUDA graph, and no step calls it; set engine.enforce_eager: true",
        ),
        (
            runner(0, full=True),
            "vllm.v1.attention.backends.x",
            "a.py",
            [3, 0],
            {FORWARD: 3},
            "is captured in a CUDA graph, which replays without it; set engine.enforce_eager: true",
        ),
        (runner(0, full=True), "vllm.v1.worker.block_table", "a.py", [3, 3], {"": 6}, ""),
        (SimpleNamespace(), "vllm.model_executor.layers.x", "a.py", [0, 0], {}, ""),
    ],
)
def test_what_a_step_does_not_run_is_told(host, module, file, calls, phases, why) -> None:
    told = why_not_run(host, {NAME: function_in(module, file)}, {NAME: calls}, {NAME: phases})
    assert told == ({NAME: why} if why else {})
