"""How requests are served, as a config may say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.config.file import load
from harness.config.serving import GREEDY
from harness.errors import ConfigError
from harness.hosts.needs import needed_arguments
from tests.config.test_config import MINIMAL

if TYPE_CHECKING:
    from pathlib import Path

V0 = "host.kind=vllm_v0"


@pytest.fixture
def path(tmp_path) -> Path:
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL)
    return file


def refusal(path: Path, *options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, options)
    (line,) = str(caught.value).split("\n")
    return line


def test_by_default_the_likeliest_token_is_taken_and_nothing_else_is_asked_for(path) -> None:
    workload = load(path).experiment.workload
    assert workload.sampling == GREEDY
    assert (GREEDY.temperature, GREEDY.seed, GREEDY.logprobs) == (0, None, None)
    assert workload.ids.zipf is None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("sampling={temperature: 0.8}", "workload.sampling: temperature 0.8 draws tokens, and without a seed no two"),
        ("sampling={seed: 3}", "workload.sampling: seed is of drawing, and nothing is drawn at temperature 0"),
        ("sampling={top_k: 3}", "workload.sampling: top_k is of drawing"),
        ("sampling={temperature: -1}", "workload.sampling.temperature: input should be greater than or equal to 0"),
        ("sampling={temperature: true, seed: 1}", "workload.sampling.temperature: write a number, not true"),
        ("sampling={temperature: 1, seed: 1, top_p: 0}", "workload.sampling.top_p: input should be greater than 0"),
        ("sampling={temprature: 1}", "workload.sampling.temprature: unknown key; did you mean 'temperature'?"),
        ("sampling=greedy", "workload.sampling: input should be a valid dictionary"),
        ("sampling={logprobs: -1}", "workload.sampling.logprobs: input should be greater than or equal to 0"),
        ("sampling={logprobs: 21}", "the engine gives at most 20: set engine.max_logprobs: 21"),
        ("sampling={detokenize: 2}", "workload.sampling.detokenize: input should be a valid boolean"),
        ("sampling={json_schema: '{}'}", "workload.sampling.json_schema: input should be a valid dictionary"),
        ("lora={adapters: 0}", "workload.lora.adapters: input should be greater than or equal to 1"),
        ("lora={rank: 7}", "workload.lora.rank: input should be 8, 16, 32, 64, 128 or 256, not 7"),
        ("shared_prefix=-1", "workload.shared_prefix: input should be greater than or equal to 0"),
        ("ids=zipf", "workload.ids: write uniform, or {zipf: {exponent: 1.0}}, not"),
        ("ids={zipf: {exponent: 0}}", "workload.ids.zipf.exponent: input should be greater than 0"),
        ("ids={zip: {}}", "workload.ids.zip: unknown key; did you mean 'zipf'?"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_key_and_the_mend(path, option: str, message: str) -> None:
    line = refusal(path, f"workload.{option}")
    assert line.startswith(f"--set workload.{option.partition('=')[0]}=")
    assert message.removesuffix(", not") in line


def test_a_refusal_across_sections_names_the_file_and_the_keys_line(path) -> None:
    path.write_text(MINIMAL.replace("  requests: 4\n", "  requests: 4\n  sampling:\n    logprobs: 30\n"))
    assert refusal(path).startswith(f"{path}:6: workload.sampling.logprobs: the engine gives at most 20")
    load(path, ["engine.max_logprobs=30"])
    load(path, ["engine.max_logprobs=-1"])


@pytest.mark.parametrize(("asked", "key"), [("detokenize: true", "detokenize"), ("json_schema: {}", "json_schema")])
def test_texts_need_the_tokenizer_that_the_engine_is_told_to_leave_out(path, asked: str, key: str) -> None:
    line = refusal(path, f"workload.sampling={{{asked}}}", "engine.skip_tokenizer_init=true")
    assert f"engine.skip_tokenizer_init: workload.sampling.{key} needs a tokenizer; leave one of them out" in line
    workload = load(path, [f"workload.sampling={{{asked}}}"]).experiment.workload
    assert needed_arguments(workload) == {"skip_tokenizer_init": False}
    assert needed_arguments(load(path).experiment.workload) == {}


@pytest.mark.parametrize("sampling", ["{detokenize: true}", "{logprobs: 2}", "{temperature: 1, seed: 0}"])
def test_the_v0_engine_is_greedy(path, sampling: str) -> None:
    line = refusal(path, V0, f"workload.sampling={sampling}")
    assert "workload.sampling: vllm_v0 takes the likeliest token and gives nothing else; leave it out" in line
    line = refusal(path, V0, "engine.enable_prefix_caching=true")
    assert "engine.enable_prefix_caching: the cache of vllm_v0 cannot be reset between passes; leave it out" in line
    load(path, [V0, "workload.ids={zipf: {}}"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([V0], "workload.lora: vllm_v0 is started without adapters; leave it out"),
        (
            ["engine.tensor_parallel_size=2"],
            "workload.lora: its adapters are made in one worker, whole: leave engine.te",
        ),
        (["engine.enable_lora=false"], "engine.enable_lora: workload.lora needs true at least; leave it out"),
        (["engine.max_loras=3"], "engine.max_loras: workload.lora needs 4 at least; leave it out"),
        (["engine.max_lora_rank=8"], "engine.max_lora_rank: workload.lora needs 16 at least; leave it out"),
    ],
)
def test_adapters_need_an_engine_that_has_room_for_them(path, options, message) -> None:
    asked = "workload.lora={adapters: 4, rank: 16}"
    assert message in refusal(path, asked, *options)
    load(path, ["workload.lora={adapters: 4, rank: 8}", "engine.max_lora_rank=16"])
    needed = needed_arguments(load(path, [asked]).experiment.workload)
    assert needed == {"enable_lora": True, "max_loras": 4, "max_lora_rank": 16}


def test_the_v0_engine_does_not_speculate(path) -> None:
    line = refusal(path, V0, "engine.speculative_config={method: ngram}")
    assert "engine.speculative_config: vllm_v0 generates one token a step; leave it out" in line
