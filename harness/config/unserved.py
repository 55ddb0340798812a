"""Why requests cannot be served as a config says: what workload, host and engine say only together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.config.serving import GREEDY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.config.host import Host
    from harness.config.workload import SyntheticWorkload, TraceWorkload

__all__ = ["why_not_served"]

MOST_LOGPROBS: Final = 20
"""vLLM's default of `max_logprobs` (vllm/config/model.py)."""


def why_not_served(workload: SyntheticWorkload | TraceWorkload, host: Host, engine: Mapping[str, Any]) -> str:
    """Why requests cannot be served as the config says, beginning with the key; empty where they can."""
    if host.kind == "vllm_v0" and workload.sampling != GREEDY:
        return "workload.sampling: vllm_v0 takes the likeliest token and gives nothing else; leave it out"
    if host.kind == "vllm_v0" and engine.get("enable_prefix_caching"):
        return "engine.enable_prefix_caching: the cache of vllm_v0 cannot be reset between passes; leave it out"
    asked, most = workload.sampling.logprobs or 0, engine.get("max_logprobs", MOST_LOGPROBS)
    if isinstance(most, int) and 0 <= most < asked:
        return f"workload.sampling.logprobs: the engine gives at most {most}: set engine.max_logprobs: {asked}"
    return ""
