"""What a config can ask of its requests, each in the real engine: native repeats itself, and a wrong arm is seen."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.config.experiment import Host as HostConfig
from harness.config.experiment import SyntheticWorkload
from harness.hosts.needs import needed_arguments
from harness.hosts.starting import resolve_model
from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.running.equality import Equality
from harness.running.proving import Proving
from harness.workload.requests import Adapter, Request, build
from tests.engine.conftest import CONFIG, ENGINE, SharedHost
from tests.engine.test_any_change import Nobody, changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.hosts.vllm import VllmHost

pytestmark = pytest.mark.engine

SAMPLE = "vllm.v1.sample.ops.topk_topp_sampler.TopKTopPSampler.forward_cpu"
CACHE_BLOCKS = "vllm.v1.core.block_pool.BlockPool.cache_full_blocks"
DETOKENIZE = "vllm.v1.engine.detokenizer.BaseIncrementalDetokenizer.update"
FILL_BITMASKS = "vllm.v1.structured_output.StructuredOutputManager._fill_bitmasks"
PROPOSE = "vllm.v1.spec_decode.ngram_proposer.NgramProposer.propose"
UPDATE_LOGPROBS = "vllm.v1.engine.logprobs.LogprobsProcessor._update_sample_logprobs"

SHAPE = {"requests": 10, "prompt_tokens": {"uniform": {"low": 20, "high": 150}}, "output_tokens": 12}
LORA = {"adapters": 4, "rank": 8}


@pytest.fixture(scope="module")
def whole() -> Iterator[SharedHost]:
    """Prompts in one piece, which drawing by seed needs on a CPU; a prefix cache; and a tokenizer."""
    model = resolve_model("models/one-layer-llama", CONFIG.parent)
    more = {
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": 512,
        "enable_prefix_caching": True,
        "skip_tokenizer_init": False,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    shared = SharedHost(HostConfig(model_runner="v1"), {"model": model, **ENGINE, **more})
    shared.start()
    yield shared
    shared.stop_for_good()


def requests(**keys: Any) -> list[Request]:
    """More than run at once, of prompts in up to three chunks."""
    return build(SyntheticWorkload.model_validate({**SHAPE, **keys}), Path(), 1024, 256).requests


def plain(host: VllmHost) -> None:
    host.install(Instrumentation("", [ArmSpec("native", "", None)], [], "execute_model"))


def served(host: VllmHost, work: list[Request]) -> Any:
    return host.run_pass("bare", [0], work)


def proven(host: VllmHost, work: list[Request], swap: str, file: Path, text: str) -> tuple[dict[str, str], Proving]:
    """Hold the functions of a file against vLLM's: which are not equal and why, and by what that was shown."""
    file.write_text(text)
    names = [line.removeprefix("def ").partition("(")[0] for line in text.splitlines() if line.startswith("def ")]
    struck, proving = held(host, work, [ArmSpec(name, f"{file}:{name}", None) for name in names], swap)
    assert proving.facts["calls"]["native"][swap] > 0
    return struck, proving


def held(host: VllmHost, work: list[Request], arms: list[ArmSpec], swap: str = "") -> tuple[dict[str, str], Proving]:
    """Hold arms against native."""
    arms = [ArmSpec("native", "", None), *arms]
    host.install(Instrumentation("", arms, [], "auto", swap=swap))
    labels, struck, facts = [arm.name for arm in arms], dict[str, str](), dict[str, Any]()

    def restart() -> None:
        pytest.fail(observer.notes[-1])

    observer = Nobody()
    proving = Proving(host, observer, Equality(labels, observer, struck, facts), labels, work, 0, restart, facts)
    proving.prove("the tests' own")
    return struck, proving


def test_tokens_drawn_by_seed_repeat_and_an_arm_that_draws_otherwise_is_struck(whole, tmp_path) -> None:
    sampling = {"temperature": 0.9, "seed": 5, "top_k": 200, "top_p": 0.95}
    work = requests(sampling=sampling)
    text = (
        "import torch\n"
        "from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p\n\n\n"
        "def same(self, logits, generators, k, p):\n"
        "    logits = apply_top_k_top_p(logits, k, p)\n"
        "    seeds = torch.randint(0, 2**31, (logits.shape[0],), dtype=torch.long)\n"
        "    for i, each in generators.items():\n"
        "        seeds[i] = torch.randint(0, 2**31, (1,), generator=each, dtype=torch.long)[0]\n"
        "    return torch.ops._C.fused_gumbel_argmax(logits.float(), seeds), None\n\n\n"
        "def forgets_the_seeds(self, logits, generators, k, p):\n"
        "    logits = apply_top_k_top_p(logits, k, p)\n"
        "    seeds = torch.arange(logits.shape[0], dtype=torch.long)\n"
        "    return torch.ops._C.fused_gumbel_argmax(logits.float(), seeds), None\n"
    )
    struck, proving = proven(whole, work, SAMPLE, tmp_path / "draws.py", text)
    assert set(struck) == {"forgets_the_seeds"}, struck
    plain(whole)
    drawn = served(whole, work).tokens
    assert drawn == proving.reference.answers.tokens
    assert served(whole, requests(sampling=sampling)).tokens == drawn
    assert served(whole, requests(sampling={**sampling, "seed": 6})).tokens != drawn
    assert served(whole, requests()).tokens != drawn
    same_prompts = [Request(work[0].prompt_token_ids, 12, request.sampling, request.seed) for request in work[:2]]
    first, second = served(whole, same_prompts).tokens
    assert first == drawn[0] != second


def test_native_repeats_all_of_a_step_that_draws(whole) -> None:
    plain(whole)
    work = requests(sampling={"temperature": 0.9, "seed": 5})
    for _ in range(NATIVE_PASSES):
        whole.run_pass("check", [0], work)
    assert not [field for field in whole.checked()["not_repeated"] if field.startswith("sampl")]


def test_log_probabilities_are_compared_beside_tokens(host, tmp_path) -> None:
    work = requests(sampling={"logprobs": 20})
    text = (
        "def same(self, logprobs_lists):\n"
        "    for ids, values, ranks in zip(logprobs_lists[0].tolist(), logprobs_lists[1].tolist(),\n"
        "                                  logprobs_lists[2].tolist()):\n"
        "        self.cumulative_logprob += values[0]\n"
        "        append_logprobs_for_next_position(self.logprobs, ids, values, NONES, ranks, self.num_logprobs)\n\n\n"
        "def one_off(self, logprobs_lists):\n"
        "    for ids, values, ranks in zip(logprobs_lists[0].tolist(), logprobs_lists[1].tolist(),\n"
        "                                  logprobs_lists[2].tolist()):\n"
        "        values[20] = 2 * values[20]\n"
        "        append_logprobs_for_next_position(self.logprobs, ids, values, NONES, ranks, self.num_logprobs)\n"
    )
    imports = "from vllm.v1.engine.logprobs import NONES, append_logprobs_for_next_position\n\n\n"
    struck, proving = proven(host, work, UPDATE_LOGPROBS, tmp_path / "logprobs.py", imports + text)
    assert set(struck) == {"one_off"}, struck
    plain(host)
    result = served(host, work)
    assert result.answers == proving.reference.answers
    assert {len(candidates) for tokens in result.logprobs for candidates in tokens} == {
        20
    }  # a greedy token is the likeliest
    assert [[candidates[0][0] for candidates in tokens] for tokens in result.logprobs] == result.tokens
    assert all(float(candidates[0][2]) < 0 for tokens in result.logprobs for candidates in tokens)


def test_ids_that_recur_are_served_as_any(host) -> None:
    work = requests(ids={"zipf": {"exponent": 1.3}})
    plain(host)
    assert served(host, work).tokens == served(host, work).tokens != served(host, requests()).tokens


def test_the_prefix_cache_is_empty_when_a_pass_begins_and_hits_are_counted(whole, tmp_path) -> None:
    work = requests(prompt_tokens=100, shared_prefix=70)
    head = (
        "(self, request, blocks, num_cached_blocks, num_full_blocks, block_size, kv_cache_group_id, block_mask=None):"
    )
    text = (
        "from vllm.v1.core.kv_cache_utils import make_block_hash_with_group_id\n\n\n"
        f"def one_slice{head}\n"
        "    for at in range(num_cached_blocks, num_full_blocks):\n"
        "        key = make_block_hash_with_group_id(request.block_hashes[at], kv_cache_group_id)\n"
        "        self._insert_block_hash(key, blocks[at], num_tokens=(at + 1) * block_size)\n\n\n"
        f"def caches_nothing{head}\n"
        "    return None\n"
    )
    struck, _ = proven(whole, work, CACHE_BLOCKS, tmp_path / "caches.py", text)
    assert set(struck) == {"caches_nothing"}, struck
    plain(whole)
    first, second = (served(whole, work) for _ in range(2))
    assert (first.tokens, first.columns["num_tokens"]) == (second.tokens, second.columns["num_tokens"])
    assert first.cached_tokens == second.cached_tokens == 9 * 64  # two blocks of 32, of all but the first
    assert sum(first.columns["num_tokens"]) == 10 * (100 + 12 - 1) - 9 * 64
    assert served(whole, requests(prompt_tokens=100)).cached_tokens == 0


def test_texts_are_made_and_compared(whole, tmp_path) -> None:
    work = requests(sampling={"detokenize": True, "logprobs": 2})
    text = (
        "def same(self, new_token_ids, stop_terminated):\n"
        "    self.token_ids.extend(new_token_ids)\n"
        "    self.output_text += ''.join(map(self.decode_next, new_token_ids))\n\n\n"
        "def loses_a_letter(self, new_token_ids, stop_terminated):\n"
        "    self.token_ids.extend(new_token_ids)\n"
        "    said = ''.join(map(self.decode_next, new_token_ids))\n"
        "    self.output_text += said[: -1 if len(self.token_ids) == 12 else None]\n"
    )
    struck, proving = proven(whole, work, DETOKENIZE, tmp_path / "texts.py", text)
    assert set(struck) == {"loses_a_letter"}, struck
    plain(whole)
    result = served(whole, work)
    tokenizer, broken = whole._llm.get_tokenizer(), "\ufffd"  # of a letter whose last bytes are to come
    whole_texts = [tokenizer.decode(tokens) for tokens in result.tokens]
    assert [said.rstrip(broken) for said in result.texts] == [said.rstrip(broken) for said in whole_texts]
    assert result.answers == proving.reference.answers
    assert len(set("".join(result.texts))) > 30
    assert all(isinstance(candidates[0][3], str) for tokens in result.logprobs for candidates in tokens)
    assert whole.info.details["tokenizer"] == "of bytes, made for this run"
    assert served(whole, requests()).texts == []


def test_texts_keep_to_a_schema_and_every_request_begins_in_the_same_step_of_every_pass(whole, tmp_path) -> None:
    properties = {"name": {"type": "string", "maxLength": 6}, "count": {"type": "integer"}, "ok": {"type": "boolean"}}
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    work = requests(output_tokens=40, sampling={"detokenize": True, "json_schema": schema})
    text = (
        "def same(self, batch):\n"
        "    for grammar, index, constrained in batch:\n"
        "        self._grammar_bitmask[index].fill_(self._full_mask)\n"
        "        if constrained and not grammar.is_terminated():\n"
        "            grammar.fill_bitmask(self._grammar_bitmask, index)\n\n\n"
        "def allows_anything(self, batch):\n"
        "    self._grammar_bitmask.fill_(self._full_mask)\n"
    )
    struck, proving = proven(whole, work, FILL_BITMASKS, tmp_path / "masks.py", text)
    assert set(struck) == {"allows_anything"}, struck
    texts = proving.reference.answers.texts
    assert all(re.match(r'\{"name": ?"', said) for said in texts), texts
    plain(whole)
    assert served(whole, work).answers == proving.reference.answers
    assert not any(said.startswith("{") for said in served(whole, requests(sampling={"detokenize": True})).texts)


def test_what_no_step_shows_is_seen_in_the_answers(whole, tmp_path) -> None:
    """Texts, ranks and the numbers beside tokens are made behind the engine core, where no step ends."""
    work = requests(sampling={"detokenize": True, "logprobs": 2})
    places = {
        "texts": ("detokenizer.py", "self.output_text += self.decode_next(new_token_id)", "self.output_text += '?'"),
        "log probabilities": (
            "logprobs.py",
            "rank = rank_np.tolist()\n            logprobs = logprobs_np.tolist()",
            "rank = rank_np.tolist()\n            logprobs = (logprobs_np / 2).tolist()",
        ),
    }  # fmt: skip
    arms = [
        ArmSpec(what.split()[0], "", None, changed(tmp_path / what[:4], f"vllm/v1/engine/{file}", *texts))
        for what, (file, *texts) in places.items()
    ]
    struck, _ = held(whole, work, arms)
    assert struck["texts"].startswith("generates other texts: request 0 from its character 0 on")
    assert struck["log"].startswith("generates other log probabilities: request 0 from its token 0 on")


@pytest.fixture(scope="module")
def adapting() -> Iterator[SharedHost]:
    """Room for adapters; before numba is imported, as for n-grams: vLLM 0.32 stumbles over its modules here."""
    model = resolve_model("models/one-layer-llama", CONFIG.parent)
    lora = needed_arguments(SyntheticWorkload.model_validate({**SHAPE, "lora": LORA}))
    shared = SharedHost(HostConfig(model_runner="v1"), {"model": model, **ENGINE, **lora})
    shared.start()
    yield shared
    shared.stop_for_good()


def test_requests_have_adapters_of_their_own_and_a_wrong_mapping_is_struck(adapting, tmp_path) -> None:
    work = requests(lora=LORA)
    mapping = changed(
        tmp_path / "first", "vllm/v1/worker/gpu_input_batch.py",
        "req_lora_mapping = self.request_lora_mapping[: self.num_reqs]",
        "req_lora_mapping = 0 * self.request_lora_mapping[: self.num_reqs] + 1",
    )  # fmt: skip
    struck, proving = held(adapting, work, [ArmSpec("first", "", None, mapping)])
    assert set(struck) == {"first"}, struck
    plain(adapting)
    assert served(adapting, work).answers == proving.reference.answers
    with_none = served(adapting, requests()).tokens
    assert all(one != other for one, other in zip(with_none, proving.reference.answers.tokens, strict=True))
    turned = [replace(each, adapter=Adapter(each.adapter.number % 4 + 1, 8)) for each in work]
    tokens = proving.reference.answers.tokens
    assert all(one != other for one, other in zip(served(adapting, turned).tokens, tokens, strict=True))
    assert served(adapting, work).answers == proving.reference.answers


@pytest.fixture(scope="module")
def guessing() -> Iterator[SharedHost]:
    """N-gram speculation."""
    model = resolve_model("models/one-layer-llama", CONFIG.parent)
    ngram = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_min": 1, "prompt_lookup_max": 3}
    shared = SharedHost(HostConfig(model_runner="v1"), {"model": model, **ENGINE, "speculative_config": ngram})
    shared.start()
    yield shared
    shared.stop_for_good()


def test_guesses_of_ngrams_repeat_and_a_wrong_one_is_seen(guessing, tmp_path) -> None:
    work = requests(output_tokens=30, ids={"zipf": {"exponent": 1.5}})
    head = "(self, num_speculative_tokens, sampled_token_ids, num_tokens_no_spec, token_ids_cpu, slot_mappings=None):"
    text = (
        f"def same{head}\n"
        "    asked = [i for i, ids in enumerate(sampled_token_ids) if ids and num_tokens_no_spec[i] < 256]\n"
        "    return self.batch_propose(len(sampled_token_ids), asked, num_tokens_no_spec, token_ids_cpu,\n"
        "                              num_speculative_tokens)\n\n\n"
        f"def never_guesses{head}\n"
        "    return [[] for _ in sampled_token_ids]\n"
    )
    struck, proving = proven(guessing, work, PROPOSE, tmp_path / "guesses.py", text)
    assert set(struck) == {"never_guesses"}, struck
    plain(guessing)
    first, second = (served(guessing, work) for _ in range(2))
    assert first.answers == second.answers == proving.reference.answers
    assert first.columns["num_tokens"] == second.columns["num_tokens"]
    alone = sum(len(request.prompt_token_ids) + request.output_tokens - 1 for request in work)
    assert sum(first.columns["num_tokens"]) > alone, "some guesses were wrong, and were computed for nothing"
    decodes = sum(a - b for a, b in zip(first.columns["num_reqs"], first.columns["num_prefills"], strict=True))
    assert decodes < 10 * 29, "some guesses were right, and saved steps"
