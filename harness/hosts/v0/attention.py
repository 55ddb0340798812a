"""FlashAttention's two functions and the cache write, as vLLM 0.5.4 calls them, in plain PyTorch.

They are correct and slow, and lie outside everything that is measured: only the model's forward pass calls them.
Scores and probabilities are in float32, as in FlashAttention (Dao et al. 2022).
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["flash_attn_varlen_func", "flash_attn_with_kvcache", "reshape_and_cache_flash"]


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, visible: torch.Tensor
) -> torch.Tensor:
    """Softmax attention of one sequence, or of several of one length.

    Args:
        query: [.., queries, heads, head_size].
        key: [.., keys, kv_heads, head_size]; each of its heads serves heads / kv_heads of the query's.
        value: as `key`.
        scale: of the scores.
        visible: bool, broadcast to [.., heads, queries, keys].

    Returns:
        [.., queries, heads, head_size], of the query's type.
    """
    groups = query.shape[-2] // key.shape[-2]
    by_head = [tensor.float().movedim(-2, -3) for tensor in (query, key, value)]
    q, k, v = by_head[0], *(tensor.repeat_interleave(groups, dim=-3) for tensor in by_head[1:])
    scores = torch.matmul(q, k.mT) * scale
    probabilities = torch.softmax(scores.masked_fill(~visible, -torch.inf), dim=-1)
    return torch.matmul(probabilities, v).movedim(-3, -2).to(query.dtype)


def flash_attn_varlen_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    softmax_scale: float,
    causal: bool = True,
    block_table: torch.Tensor | None = None,
    **_limits: Any,
) -> torch.Tensor:
    """Sequences of different lengths one behind the other: prefills, with or without something in the cache before.

    Args:
        q: [tokens, heads, head_size].
        k: likewise; or, with a block table, the whole cache: [blocks, block_size, kv_heads, head_size].
        v: as `k`.
        cu_seqlens_q: where each sequence begins in `q`, and where the last one ends.
        cu_seqlens_k: the same for keys, those in the cache included.
        softmax_scale: of the scores.
        causal: the last query sees all keys, each one before it one less.
        block_table: [sequences, blocks].
        _limits: arguments that change nothing here: longest lengths, no window, no ALiBi slopes, no soft cap.
    """
    output = torch.empty_like(q)
    starts_q, starts_k = cu_seqlens_q.tolist(), cu_seqlens_k.tolist()
    for sequence in range(len(starts_q) - 1):
        queries = slice(starts_q[sequence], starts_q[sequence + 1])
        count_q, count_k = queries.stop - queries.start, starts_k[sequence + 1] - starts_k[sequence]
        if block_table is None:
            keys, values = (tensor[starts_k[sequence] : starts_k[sequence + 1]] for tensor in (k, v))
        else:
            blocks = block_table[sequence].long()
            keys, values = (cache[blocks].flatten(0, 1)[:count_k] for cache in (k, v))
        visible = torch.ones(count_q, count_k, dtype=torch.bool, device=q.device)
        if causal:
            visible = visible.tril(diagonal=count_k - count_q)
        output[queries] = attend(q[queries], keys, values, softmax_scale, visible)
    return output


def flash_attn_with_kvcache(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    block_table: torch.Tensor,
    cache_seqlens: torch.Tensor,
    softmax_scale: float,
    **_limits: Any,
) -> torch.Tensor:
    """Decodes: one query a sequence, all of its keys in the cache.

    Args:
        q: [sequences, 1, heads, head_size].
        k_cache: [blocks, block_size, kv_heads, head_size].
        v_cache: as `k_cache`.
        block_table: [sequences, blocks]; wider than needed where steps are padded for CUDA graphs.
        cache_seqlens: tokens of each sequence, [sequences].
        softmax_scale: of the scores.
        _limits: as in `flash_attn_varlen_func`.
    """
    used = -(-int(cache_seqlens.max()) // k_cache.shape[1])
    blocks = block_table[:, :used].long()
    keys, values = (cache[blocks].flatten(1, 2) for cache in (k_cache, v_cache))
    positions = torch.arange(keys.shape[1], device=q.device)
    visible = positions < cache_seqlens[:, None]
    return attend(q, keys, values, softmax_scale, visible[:, None, None, :])


def reshape_and_cache_flash(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    slot_mapping: torch.Tensor,
    *_type_and_scales: Any,
) -> None:
    """Write each token's key and value to its slot; those with a negative slot (padding) are dropped.

    Args:
        key: [tokens, kv_heads, head_size].
        value: as `key`.
        key_cache: [blocks, block_size, kv_heads, head_size], written in place.
        value_cache: as `key_cache`.
        slot_mapping: [tokens].
        _type_and_scales: of a quantised cache, which this is not.
    """
    real = slot_mapping >= 0
    slots = slot_mapping[real]
    for cache, written in ((key_cache, key), (value_cache, value)):
        cache.view(-1, *cache.shape[2:])[slots] = written[real]
