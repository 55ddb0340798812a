"""What an engine must have to serve a workload, as arguments of `vllm.LLM`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.config.workload import SyntheticWorkload, TraceWorkload

__all__ = ["needed_arguments"]


def needed_arguments(workload: SyntheticWorkload | TraceWorkload) -> dict[str, Any]:
    """Engine arguments that a workload needs; what a config says of the engine itself stands above them."""
    needed: dict[str, Any] = {"skip_tokenizer_init": False} if workload.sampling.needs_tokenizer else {}
    if (lora := workload.lora) is not None:
        needed |= {"enable_lora": True, "max_loras": lora.adapters, "max_lora_rank": lora.rank}
    return needed
