"""Why requests cannot be served as a config says: what workload, host and engine say only together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.config.serving import GREEDY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.config.host import Host
    from harness.config.serving import Lora
    from harness.config.workload import SyntheticWorkload, TraceWorkload

__all__ = ["why_not_served"]

MOST_LOGPROBS: Final = 20
"""vLLM's default of `max_logprobs` (vllm/config/model.py)."""


def why_not_served(workload: SyntheticWorkload | TraceWorkload, host: Host, engine: Mapping[str, Any]) -> str:
    """Why requests cannot be served as the config says, beginning with the key; empty where they can."""
    if host.kind == "vllm_v0" and workload.sampling != GREEDY:
        return "workload.sampling: vllm_v0 takes the likeliest token and gives nothing else; leave it out"
    asked_for = "json_schema" if workload.sampling.json_schema is not None else "detokenize"
    if workload.sampling.needs_tokenizer and engine.get("skip_tokenizer_init"):
        return f"engine.skip_tokenizer_init: workload.sampling.{asked_for} needs a tokenizer; leave one of them out"
    if workload.lora is not None and (why := _why_no_adapters(workload.lora, host, engine)):
        return why
    if host.kind == "vllm_v0" and engine.get("speculative_config"):
        return "engine.speculative_config: vllm_v0 generates one token a step; leave it out"
    if host.kind == "vllm_v0" and engine.get("enable_prefix_caching"):
        return "engine.enable_prefix_caching: the cache of vllm_v0 cannot be reset between passes; leave it out"
    asked, most = workload.sampling.logprobs or 0, engine.get("max_logprobs", MOST_LOGPROBS)
    if isinstance(most, int) and 0 <= most < asked:
        return f"workload.sampling.logprobs: the engine gives at most {most}: set engine.max_logprobs: {asked}"
    return ""


def _why_no_adapters(lora: Lora, host: Host, engine: Mapping[str, Any]) -> str:
    if host.kind == "vllm_v0":
        return "workload.lora: vllm_v0 is started without adapters; leave it out"
    for parallel in ("tensor_parallel_size", "pipeline_parallel_size"):
        if engine.get(parallel, 1) != 1:
            return f"workload.lora: its adapters are made in one worker, whole: leave engine.{parallel} at 1"
    for argument, least in (("enable_lora", True), ("max_loras", lora.adapters), ("max_lora_rank", lora.rank)):
        given = engine.get(argument, least)
        if not isinstance(given, int) or given < least:
            return f"engine.{argument}: workload.lora needs {str(least).lower()} at least; leave it out"
    return ""
