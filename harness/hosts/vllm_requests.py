"""A request of ours as vLLM takes it (vllm/sampling_params.py), and what vLLM answers as it is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.workload.requests import Request

__all__ = ["adapters_of", "answers_of", "sampling_params"]


def sampling_params(request: Request) -> Any:
    """A request's `SamplingParams`; anew for each pass, since vLLM writes into them."""
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    sampling = request.sampling
    schema = sampling.json_schema
    return SamplingParams(
        temperature=sampling.temperature,
        seed=request.seed,
        top_k=0 if sampling.top_k is None else sampling.top_k,  # 0 is all of the vocabulary
        top_p=1.0 if sampling.top_p is None else sampling.top_p,
        logprobs=sampling.logprobs,
        max_tokens=request.output_tokens,
        ignore_eos=True,
        detokenize=sampling.detokenize,
        structured_outputs=None if schema is None else StructuredOutputsParams(json=schema),
    )


def adapters_of(requests: Sequence[Request]) -> dict[str, Any]:
    """The argument by which vLLM is told each request's adapter (vllm/lora/request.py); nothing where none has one."""
    if all(request.adapter is None for request in requests):
        return {}
    from vllm.lora.request import LoRARequest

    named = [None if request.adapter is None else request.adapter.number for request in requests]
    # Loaded before, so nothing is looked for at that path.
    return {"lora_request": [number and LoRARequest(f"adapter-{number}", number, "made-here") for number in named]}


def answers_of(requests: Sequence[Request], outputs: Sequence[Any]) -> dict[str, Any]:
    """What vLLM's `RequestOutput`s hold (vllm/outputs.py), as the fields of a `PassResult`."""
    answered = [output.outputs[0] for output in outputs]
    return {
        "tokens": [list(each.token_ids) for each in answered],
        "texts": [each.text for each, asked in zip(answered, requests, strict=True) if asked.sampling.detokenize],
        "cached_tokens": sum(output.num_cached_tokens or 0 for output in outputs),
        "logprobs": [_logprobs(each.logprobs) for each in answered if each.logprobs is not None],
    }


def _logprobs(of_tokens: Sequence[dict[int, Any]]) -> list[Any]:
    """Of each token the candidates in vLLM's order (vllm/logprobs.py): id, rank, log probability, text.

    The number is written as Python writes it, which loses no bit and can be compared whatever it is.
    """
    return [
        [[token, each.rank, repr(float(each.logprob)), each.decoded_token] for token, each in candidates.items()]
        for candidates in of_tokens
    ]
