"""The phases of a turn of the engine core, by the functions of vLLM that they are, and which one a call lies in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from harness.changes.code import plain_function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, FrameType, FunctionType

__all__ = ["PHASES", "Phases"]

PHASES: Final = (
    "vllm.v1.core.sched.scheduler.Scheduler.schedule",
    "vllm.v1.core.sched.scheduler.Scheduler.get_grammar_bitmask",
    "vllm.v1.worker.gpu_model_runner.GPUModelRunner._update_states",
    "vllm.v1.worker.gpu_model_runner.GPUModelRunner._prepare_inputs",
    "vllm.v1.worker.gpu_model_runner.GPUModelRunner._build_attention_metadata",
    "vllm.v1.worker.gpu_model_runner.GPUModelRunner._model_forward",
    "vllm.v1.worker.gpu_model_runner.GPUModelRunner._sample",
    "vllm.v1.worker.gpu_model_runner.GPUModelRunner._bookkeeping_sync",
    "vllm.v1.worker.gpu.model_runner.GPUModelRunner.finish_requests",
    "vllm.v1.worker.gpu.model_runner.GPUModelRunner.add_requests",
    "vllm.v1.worker.gpu.model_runner.GPUModelRunner.update_requests",
    "vllm.v1.worker.gpu.model_runner.GPUModelRunner.prepare_inputs",
    "vllm.v1.worker.gpu.model_runner.GPUModelRunner.prepare_attn",
    "vllm.v1.worker.gpu.model_runner.GPUModelRunner.sample",
    "vllm.v1.worker.gpu.model_runner.GPUModelRunner.postprocess_sampled",
    "vllm.v1.core.sched.scheduler.Scheduler.update_from_output",
    "vllm.v1.engine.output_processor.OutputProcessor.process_outputs",
    "vllm.v1.engine.llm_engine.LLMEngine.add_request",
    "vllm.v1.engine.core.EngineCore.add_request",
)
"""In the order of a turn. Names that a release of vLLM does not have are passed over."""


class Phases:
    """Tells in which phase a call lies, by the frames that called it.

    Args:
        codes: gives all that a function may run while arms are switched.
    """

    def __init__(self, codes: Callable[[FunctionType], Iterable[CodeType]]) -> None:
        self._of: dict[CodeType, str] = {}
        for name in PHASES:
            function = _live(name)
            if function is not None:
                self._of |= dict.fromkeys(codes(function), name)

    def of(self, frame: FrameType | None) -> str:
        """The innermost phase that a frame is in; empty where it is in none."""
        while frame is not None:
            if found := self._of.get(frame.f_code):
                return found
            frame = frame.f_back
        return ""


def _live(name: str) -> FunctionType | None:
    """A function of a module that has been imported."""
    path = name.split(".")
    held: Any = sys.modules.get(".".join(path[:-2]))
    for part in path[-2:]:
        held = vars(held).get(part) if held is not None else None
    return plain_function(held)
