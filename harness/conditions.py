"""When vLLM calls functions that most workloads never reach, as its own source says (0.32.0).

Told beside "0 calls" and "never called", so that whoever reads it knows which workload or which setting would.
"""

from __future__ import annotations

from typing import Final

__all__ = ["condition_of", "with_condition"]

_GPU: Final = "on a GPU alone, not with the CPU's runner"
_LORA: Final = "with LoRA adapters alone (workload.lora)"
_GRAMMAR: Final = "where requests ask for structured output (workload.sampling.json_schema)"
_LOGPROBS: Final = "where requests ask for log probabilities (workload.sampling.logprobs)"
_PREFIX: Final = "with engine.enable_prefix_caching: true alone (and hits with workload.shared_prefix)"
_SPECULATION: Final = "with speculative decoding alone (engine.speculative_config)"
_TEXT: Final = "where texts are made of tokens (workload.sampling.detokenize)"

_CONDITIONS: Final = (
    ("v1.worker.gpu_input_batch.InputBatch.swap_states", "where the attention backend sorts decodes before prefills"),
    ("v1.attention.backends.utils.reorder_batch", "where the attention backend sorts decodes before prefills"),
    ("v1.core.block_pool.BlockPool.cache_full_blocks", _PREFIX),
    ("v1.core.block_pool.BlockPool.cache_partial_block", f"{_PREFIX}, and for blocks that are cached in part"),
    ("v1.core.block_pool.BlockPool.get_cached_block", _PREFIX),
    ("v1.core.block_pool.BlockPool.touch", f"{_PREFIX}, where a block is found there"),
    ("v1.core.block_pool.BlockPool._maybe_evict_cached_block", _PREFIX),
    ("v1.core.single_type_kv_cache_manager.FullAttentionManager.find_longest_cache_hit", _PREFIX),
    ("v1.core.sched.scheduler.Scheduler._preempt_request", "where the KV cache has no block left for a request"),
    ("v1.structured_output", _GRAMMAR),
    ("v1.engine.logprobs", _LOGPROBS),
    ("v1.sample.sampler.Sampler.gather_logprobs", _LOGPROBS),
    ("v1.sample.sampler.Sampler.compute_logprobs", _LOGPROBS),
    ("v1.sample.ops.logprobs", _LOGPROBS),
    ("v1.sample.ops.penalties", "where a request has a penalty for what it has said"),
    ("v1.sample.ops.topk_topp_sampler", "where tokens are drawn (workload.sampling.temperature above 0)"),
    ("v1.sample.ops.bad_words", "where a request has bad_words"),
    ("v1.sample.rejection_sampler", _SPECULATION),
    ("v1.sample.sampler.Sampler.greedy_sample", "where a request has temperature 0"),
    ("v1.spec_decode", _SPECULATION),
    ("v1.worker.gpu_model_runner.GPUModelRunner._calc_spec_decode_metadata", _SPECULATION),
    ("v1.worker.gpu_model_runner.GPUModelRunner.propose_draft_token_ids", _SPECULATION),
    ("v1.worker.lora_model_runner_mixin", _LORA),
    ("v1.engine.detokenizer", _TEXT),
    ("v1.engine.parallel_sampling", "where a request has n above 1"),
    ("v1.engine.async_llm", "by a server (vllm serve), not by LLM.generate"),
    ("v1.kv_offload", "with a connector that offloads the KV cache"),
    ("v1.worker.gpu.", "with model runner V2 alone"),
    ("v1.attention.backends.flash_attn", _GPU),
    ("v1.attention.backends.flashinfer", _GPU),
    ("v1.attention.backends.triton_attn", _GPU),
    ("v1.attention.backends.mla", "with a model that has multi-head latent attention"),
    ("v1.attention.backends.mamba", "with a model that has Mamba layers"),
    ("v1.worker.mamba_utils", "with a model that has Mamba layers"),
    ("lora.", _LORA),
    ("multimodal.", "where a request has an image, a video or sound"),
    ("distributed.kv_transfer", "with a KV connector (engine.kv_transfer_config)"),
    ("distributed.", "with several processes that share a model"),
)
"""Beginnings of full names without the package's, the narrower before the wider, and when vLLM calls them."""


def condition_of(function: str) -> str:
    """When vLLM calls a function, by its full name; empty where nothing is known of it.

    >>> condition_of("vllm.lora.punica_wrapper.utils.convert_mapping")
    'with LoRA adapters alone (workload.lora)'
    >>> condition_of("vllm.v1.core.sched.scheduler.Scheduler.schedule")
    ''
    """
    within = function.removeprefix("vllm.")
    return next((when for beginning, when in _CONDITIONS if within.startswith(beginning)), "")


def with_condition(function: str, told: str) -> str:
    """A function as it is told to people, with the condition behind it where one is known."""
    when = condition_of(function)
    return f"{told} (vLLM calls it {when})" if when else told
