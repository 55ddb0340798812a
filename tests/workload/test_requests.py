from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config.experiment import SyntheticWorkload, TraceWorkload
from harness.errors import ConfigError
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


def trace(file: Path, **keys) -> TraceWorkload:
    return TraceWorkload.model_validate({"kind": "trace", "file": file, **keys})


CSV = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50,396,109\n"


def test_both_trace_formats_and_the_cap(tmp_path) -> None:
    csv, jsonl = tmp_path / "a.csv", tmp_path / "a.jsonl"
    csv.write_text(CSV)
    entries = [
        {"timestamp": 0, "input_length": 374, "output_length": 44},
        {"timestamp": 9, "input_length": 396, "output_length": 109, "hash_ids": [1]},
    ]
    jsonl.write_text("\n".join(map(json.dumps, entries)) + "\n\n")
    for file in (csv, jsonl):
        assert lengths(build(trace(file), HERE, 9, 1000)) == [(374, 44), (396, 109)]
        assert lengths(build(trace(file, requests=1), HERE, 9, 1000)) == [(374, 44)]
        assert build(trace(file), HERE, 9, 450).clipped == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "TIMESTAMP,ContextTokens\n1,2\n", r"a.csv:1: no column 'GeneratedTokens'"),
        ("a.csv", CSV + "x,many,3\n", r"a.csv:4: .*lengths are whole numbers"),
        ("a.csv", CSV + "x,0,3\n", r"a.csv:4: a request needs at least one token"),
        ("a.csv", CSV[:40], "holds no request"),
        ("a.jsonl", '{"input_length": 3}\n', r"a.jsonl:1: 'output_length'; each line is an object"),
        ("a.jsonl", "[1]\n", "a.jsonl:1: .*each line is an object"),
        ("a.jsonl", "{\n", "a.jsonl:1: .*each line is an object"),
    ],
)
def test_a_trace_that_cannot_be_read_is_named_with_its_line(tmp_path, name, text, message) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        build(trace(file), HERE, 9, 100)
