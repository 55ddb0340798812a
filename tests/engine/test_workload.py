"""What a config can ask of its requests, each in the real engine: native repeats itself, and a wrong arm is seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.config.experiment import Host as HostConfig
from harness.config.experiment import SyntheticWorkload
from harness.hosts.vllm import resolve_model
from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.running.equality import Equality
from harness.running.proving import Proving
from harness.workload.requests import Request, build
from tests.engine.conftest import CONFIG, ENGINE, SharedHost, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.hosts.vllm import VllmHost

pytestmark = pytest.mark.engine

SAMPLE = "vllm.v1.sample.ops.topk_topp_sampler.TopKTopPSampler.forward_cpu"
CACHE_BLOCKS = "vllm.v1.core.block_pool.BlockPool.cache_full_blocks"
UPDATE_LOGPROBS = "vllm.v1.engine.logprobs.LogprobsProcessor._update_sample_logprobs"


@pytest.fixture(scope="module")
def whole() -> Iterator[SharedHost]:
    """Prompts in one piece, which drawing by seed needs on a CPU."""
    model = resolve_model("models/one-layer-llama", CONFIG.parent)
    more = {"enable_chunked_prefill": False, "max_num_batched_tokens": 512, "enable_prefix_caching": True}
    shared = SharedHost(HostConfig(model_runner="v1"), {"model": model, **ENGINE, **more})
    shared.start()
    yield shared
    shared.stop_for_good()


def requests(**keys: Any) -> list[Request]:
    """More than run at once, of prompts in up to three chunks."""
    shape = {"requests": 10, "prompt_tokens": {"uniform": {"low": 20, "high": 150}}, "output_tokens": 12}
    return build(SyntheticWorkload.model_validate({**shape, **keys}), Path(), 1024, 256).requests


def plain(host: VllmHost) -> None:
    host.install(Instrumentation("", [ArmSpec("native", "", None)], [], "execute_model"))


def served(host: VllmHost, work: list[Request]) -> Any:
    return host.run_pass("bare", [0], work)


def proven(host: VllmHost, work: list[Request], swap: str, file: Path, text: str) -> tuple[dict[str, str], Proving]:
    """Hold the functions of a file against vLLM's: which are not equal and why, and by what that was shown."""
    file.write_text(text)
    names = [line.removeprefix("def ").partition("(")[0] for line in text.splitlines() if line.startswith("def ")]
    arms = [ArmSpec("native", "", None), *(ArmSpec(name, f"{file}:{name}", None) for name in names)]
    host.install(Instrumentation("", arms, [], "auto", swap=swap))
    struck, facts = dict[str, str](), dict[str, Any]()
    labels = [arm.name for arm in arms]

    def restart() -> None:
        pytest.fail("the engine did not serve as before")

    proving = Proving(host, Silent(), Equality(labels, Silent(), struck, facts), labels, work, 0, restart, facts)
    proving.prove("the tests' own")
    assert facts["calls"]["native"][swap] > 0
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
    assert drawn == proving.reference.tokens
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
    """An arm that leaves tokens alone and changes a number behind the sampler is struck by what was answered."""
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
    assert result.answers == proving.reference
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
