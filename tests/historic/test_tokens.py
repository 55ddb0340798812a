"""Its kernels replaced, vLLM 0.5.4 generates token for token what a Hugging Face Llama of the same weights does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from harness.hosts.v0 import attention
from tests.historic.conftest import MODEL, requests, started

REQUESTS = requests(32, output_tokens=32, prompt_tokens=40)
ENGINES: dict[str, dict[str, Any]] = {
    "padded as for graphs": {},
    "eager": {"enforce_eager": True},
    "chunked prefill": {"enable_chunked_prefill": True, "max_num_batched_tokens": 48},
    "block pressure": {"num_gpu_blocks_override": 40},
    "second block manager": {"use_v2_block_manager": True},
}


def serve(host) -> list[list[int]]:
    return host._serve(REQUESTS)


def state_dict(model: Any) -> dict[str, torch.Tensor]:
    """vLLM's weights under Hugging Face's names: what it has fused is taken apart, what it has padded is cut."""
    config = model.config
    heads = [config.num_attention_heads, config.num_key_value_heads, config.num_key_value_heads]
    weights: dict[str, torch.Tensor] = {}
    for name, weight in model.state_dict().items():
        if "qkv_proj" in name:
            for part, of in zip("qkv", weight.split([count * config.head_dim for count in heads]), strict=True):
                weights[name.replace("qkv_proj", f"{part}_proj")] = of
        elif "gate_up_proj" in name:
            for part, of in zip(("gate", "up"), weight.chunk(2), strict=True):
                weights[name.replace("gate_up_proj", f"{part}_proj")] = of
        else:
            weights[name] = weight[: config.vocab_size] if "embed" in name or "lm_head" in name else weight
    return weights


@pytest.fixture(scope="module")
def expected() -> list[list[int]]:
    with started(dtype="float32") as host:
        weights = state_dict(host._worker.model_runner.model)
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(MODEL)).float().eval()
    left = model.load_state_dict(weights, strict=False)
    assert left.missing_keys == []
    tokens = []
    with torch.inference_mode():
        for request in REQUESTS:
            ids, cache, made = torch.tensor([request.prompt_token_ids]), None, []
            for _ in range(request.output_tokens):
                output = model(ids, past_key_values=cache, use_cache=True)
                cache = output.past_key_values
                made.append(int(output.logits[0, -1].argmax()))
                ids = torch.tensor([made[-1:]])
            tokens.append(made)
    return tokens


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_tokens_are_those_of_transformers(engine, expected) -> None:
    with started(dtype="float32", **engine) as host:
        assert serve(host) == expected
        scheduler = host._engine.scheduler[0]
        if "num_gpu_blocks_override" in engine:
            assert scheduler.num_cumulative_preemption > 0, "blocks were scarce"


def test_a_wrong_slot_changes_tokens(expected, monkeypatch) -> None:
    """Else tokens would show nothing of the slot mapping."""
    write = attention.reshape_and_cache_flash

    def shifted(key: Any, value: Any, key_cache: Any, value_cache: Any, slots: Any, *rest: Any) -> None:
        wrong = slots.clone()
        if len(wrong) == 32:  # decodes; one token in each block goes to its neighbour's slot
            wrong[wrong % 16 == 8] += 1
        write(key, value, key_cache, value_cache, wrong, *rest)

    from vllm import _custom_ops

    monkeypatch.setattr(_custom_ops, "reshape_and_cache_flash", shifted)
    with started(dtype="float32") as host:
        assert serve(host) != expected
