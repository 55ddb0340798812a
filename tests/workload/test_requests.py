from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config.experiment import SyntheticWorkload
from harness.workload.requests import build

HERE = Path()


def synthetic(**keys):
    return SyntheticWorkload.model_validate({"requests": 100, "prompt_tokens": 20, "output_tokens": 7, **keys})


def lengths(work) -> list[tuple[int, int]]:
    return [(len(request.prompt_token_ids), request.output_tokens) for request in work.requests]


def test_constant_lengths() -> None:
    work = build(synthetic(), HERE, vocab_size=50, max_model_len=64)
    assert lengths(work) == [(20, 7)] * 100
    assert (work.prompt_tokens, work.output_tokens, work.clipped) == (2000, 700, 0)


def test_uniform_covers_both_ends() -> None:
    work = build(synthetic(requests=500, output_tokens={"uniform": {"low": 2, "high": 5}}), HERE, 50, 64)
    assert {output for _, output in lengths(work)} == {2, 3, 4, 5}


def test_lognormal_has_its_median_and_spread() -> None:
    keys = {"requests": 4000, "prompt_tokens": {"lognormal": {"median": 200, "sigma": 0.5}}}
    work = build(synthetic(**keys), HERE, 50, 100_000)
    prompts = np.array([prompt for prompt, _ in lengths(work)])
    assert np.median(prompts) == pytest.approx(200, rel=0.05)
    assert np.log(prompts).std() == pytest.approx(0.5, rel=0.1)


@given(st.integers(0, 2**31), st.integers(2, 5000))
def test_the_seed_decides_and_ids_are_in_the_vocabulary(seed: int, vocabulary: int) -> None:
    work, again = (build(synthetic(requests=3, seed=seed), HERE, vocabulary, 64) for _ in range(2))
    assert work == again
    assert all(0 <= token < vocabulary for request in work.requests for token in request.prompt_token_ids)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(2, 200))
def test_clipping_keeps_the_models_length_and_loses_prompt_first(prompt: int, output: int, longest: int) -> None:
    work = build(synthetic(requests=1, prompt_tokens=prompt, output_tokens=output), HERE, 9, longest)
    ((kept_prompt, kept_output),) = lengths(work)
    assert kept_prompt + kept_output == min(prompt + output, longest)
    assert kept_prompt >= 1
    assert kept_output == min(output, longest - 1)
    assert work.clipped == (prompt + output > longest)


def test_a_lognormal_draws_nothing_beyond_the_longest_request() -> None:
    keys = {"requests": 2000, "prompt_tokens": {"lognormal": {"median": 10_000_000, "sigma": 10}}}
    work = build(synthetic(**keys), HERE, 50, max_model_len=16)
    assert {prompt + output for prompt, output in lengths(work)} <= set(range(8, 17))


def test_drawing_all_prompts_at_once_gives_what_one_after_the_other_gave() -> None:
    """A seed gives the same tokens as ever."""
    keys = {"requests": 50, "prompt_tokens": {"uniform": {"low": 1, "high": 9}}, "seed": 3}
    work = build(synthetic(**keys), HERE, 32_000, 64)
    rng = np.random.default_rng(3)
    prompts = rng.integers(1, 9, 50, endpoint=True)
    assert [request.prompt_token_ids for request in work.requests] == [
        rng.integers(0, 32_000, int(prompt)).tolist() for prompt in prompts
    ]


def test_each_request_draws_its_tokens_from_a_seed_of_its_own() -> None:
    drawing = {"temperature": 0.5, "seed": 7}
    requests = build(synthetic(requests=3, sampling=drawing), HERE, 50, 64).requests
    assert [request.seed for request in requests] == [7, 8, 9]
    assert {request.sampling.temperature for request in requests} == {0.5}
    assert {request.seed for request in build(synthetic(), HERE, 50, 64).requests} == {None}


def test_ids_recur_as_the_workload_says() -> None:
    keys = {"requests": 20, "prompt_tokens": 200}
    even, recurring = (
        {token for request in build(synthetic(**keys, ids=ids), HERE, 30_000, 512).requests
         for token in request.prompt_token_ids}
        for ids in ("uniform", {"zipf": {"exponent": 1.5}})
    )  # fmt: skip
    assert len(recurring) < len(even) / 4


def test_prompts_share_their_beginning_and_are_otherwise_as_without_it() -> None:
    keys = {"requests": 30, "prompt_tokens": {"uniform": {"low": 5, "high": 40}}}
    alone, shared = (
        [
            request.prompt_token_ids
            for request in build(synthetic(**keys, shared_prefix=count), HERE, 30_000, 64).requests
        ]
        for count in (0, 16)
    )
    longest = max(shared, key=len)
    assert len(longest) > 16 > min(map(len, shared))
    assert all(ids[:16] == longest[: min(len(ids), 16)] for ids in shared)
    assert [ids[16:] for ids in shared] == [ids[16:] for ids in alone]
    assert len({tuple(ids[:5]) for ids in alone}) == 30
    assert len(build(synthetic(prompt_tokens=9, shared_prefix=10_000_000), HERE, 9, 64).requests) == 100


def test_neighbours_have_different_adapters() -> None:
    lora = {"adapters": 3, "rank": 16}
    requests = build(synthetic(requests=5, lora=lora), HERE, 50, 64).requests
    assert [request.adapter for request in requests] == [(1, 16), (2, 16), (3, 16), (1, 16), (2, 16)]
    assert {request.adapter for request in build(synthetic(), HERE, 50, 64).requests} == {None}
