"""The kernels that stand in for FlashAttention's, against PyTorch's own attention; and what a step of 0.5.4 holds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from harness.hosts.v0.attention import flash_attn_varlen_func, flash_attn_with_kvcache, reshape_and_cache_flash
from harness.instrument.loops import Batch, V0Loop

HEADS, KV_HEADS, SIZE, BLOCK = 4, 2, 8, 4
LENGTHS = [5, 1, 9]
SCALE = SIZE**-0.5


def reference(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Of one sequence, [tokens, heads, size]: the last query sees every key."""
    visible = torch.ones(len(query), len(key), dtype=torch.bool).tril(len(key) - len(query))
    q, k, v = (tensor.transpose(0, 1)[None] for tensor in (query, key, value))
    return scaled_dot_product_attention(q, k, v, attn_mask=visible, enable_gqa=True)[0].transpose(0, 1)


@pytest.fixture
def drawn():
    torch.manual_seed(0)
    total = sum(LENGTHS)
    return torch.randn(total, HEADS, SIZE), torch.randn(total, KV_HEADS, SIZE), torch.randn(total, KV_HEADS, SIZE)


@pytest.fixture
def cache(drawn):
    """Keys and values of all sequences in blocks of a scattered table, with padding that must go nowhere."""
    _, keys, values = drawn
    table = torch.tensor([[7, 2, 5], [0, 0, 0], [3, 8, 1]], dtype=torch.int32)
    k_cache, v_cache = (torch.zeros(9, BLOCK, KV_HEADS, SIZE) for _ in range(2))
    slots = [int(table[i, p // BLOCK]) * BLOCK + p % BLOCK for i, length in enumerate(LENGTHS) for p in range(length)]
    padding = torch.full((2, KV_HEADS, SIZE), 7.0)
    with_padding = torch.tensor([*slots, -1, -1])
    reshape_and_cache_flash(
        torch.cat([keys, padding]), torch.cat([values, padding]), k_cache, v_cache, with_padding, "auto", 1.0, 1.0
    )
    assert not (k_cache == 7.0).any()
    assert not (v_cache == 7.0).any()
    return k_cache, v_cache, table


def starts(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


def test_whole_prompts(drawn) -> None:
    found = flash_attn_varlen_func(*drawn, starts(LENGTHS), starts(LENGTHS), SCALE, causal=True, window_size=(-1, -1))
    expected = [reference(*parts) for parts in zip(*(tensor.split(LENGTHS) for tensor in drawn), strict=True)]
    torch.testing.assert_close(found, torch.cat(expected))


def test_chunks_behind_what_is_in_the_cache(drawn, cache) -> None:
    chunks = [2, 1, 4]
    query, keys, values = drawn
    last = torch.cat([part[-chunk:] for part, chunk in zip(query.split(LENGTHS), chunks, strict=True)])
    k_cache, v_cache, table = cache
    found = flash_attn_varlen_func(last, k_cache, v_cache, starts(chunks), starts(LENGTHS), SCALE, block_table=table)
    expected = [
        reference(*parts) for parts in zip(last.split(chunks), keys.split(LENGTHS), values.split(LENGTHS), strict=True)
    ]
    torch.testing.assert_close(found, torch.cat(expected))


def test_decodes_see_their_own_sequence_and_no_more_however_wide_the_table(drawn, cache) -> None:
    _, keys, values = drawn
    query = torch.randn(3, 1, HEADS, SIZE)
    k_cache, v_cache, table = cache
    wide = torch.cat([table, torch.zeros(3, 4, dtype=torch.int32)], dim=1)  # as steps are padded for graphs
    found = flash_attn_with_kvcache(query, k_cache, v_cache, wide, torch.tensor(LENGTHS), SCALE, causal=True)
    expected = [reference(*parts) for parts in zip(query, keys.split(LENGTHS), values.split(LENGTHS), strict=True)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_a_step_is_what_the_scheduler_gave() -> None:
    def group(is_prompt: bool, tokens: int, sequences: int = 1) -> SimpleNamespace:
        return SimpleNamespace(is_prompt=is_prompt, token_chunk_size=tokens, seq_data=dict.fromkeys(range(sequences)))

    def work(*groups: SimpleNamespace) -> SimpleNamespace:
        return SimpleNamespace(seq_group_metadata_list=list(groups))

    worker = SimpleNamespace(model_runner=object())
    loop = V0Loop(worker)
    assert (loop.generation, loop.runner, loop.execute) == ("v0", worker.model_runner, (worker, "execute_model"))
    assert (loop.sample, loop.turn) == (None, None)
    engine = SimpleNamespace(step=list)
    assert V0Loop(worker, engine).turn == (engine, "step")
    assert loop.batch(work(group(True, 16), group(True, 3), group(False, 1))) == Batch(3, 20, 2)
    assert [loop.is_step(each) for each in (None, work(), work(group(False, 1)))] == [False, False, True]
