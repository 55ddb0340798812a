"""Requests: drawn from a seed, or of the lengths that a trace file records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.config.experiment import Length, SyntheticWorkload, TraceWorkload
from harness.config.numbers import LONGEST
from harness.config.serving import GREEDY
from harness.workload.ids import draw_ids
from harness.workload.trace import read_lengths

if TYPE_CHECKING:
    from pathlib import Path

    from harness.config.serving import Sampling

__all__ = ["Adapter", "Request", "Work", "build"]


class Adapter(NamedTuple):
    """A LoRA adapter: its number, from 1 on, and its rank. Its weights are drawn from both."""

    number: int
    rank: int


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        prompt_token_ids: its prompt.
        output_tokens: how many tokens are generated; end-of-sequence is ignored.
        sampling: how they are chosen.
        seed: of the drawing; None where nothing is drawn.
        adapter: the LoRA adapter that it is served with.
    """

    prompt_token_ids: list[int]
    output_tokens: int
    sampling: Sampling = GREEDY
    seed: int | None = None
    adapter: Adapter | None = None


@dataclass(frozen=True)
class Work:
    """All requests of a pass, in the order in which they are handed over, and how many had to be clipped."""

    requests: list[Request]
    clipped: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens of all requests."""
        return sum(len(request.prompt_token_ids) for request in self.requests)

    @property
    def output_tokens(self) -> int:
        """Tokens generated for all requests."""
        return sum(request.output_tokens for request in self.requests)


def build(workload: SyntheticWorkload | TraceWorkload, folder: Path, vocab_size: int, max_model_len: int) -> Work:
    """Make the requests of one pass.

    A request that exceeds the model's length loses prompt first (one token of it is kept), then output.

    Args:
        workload: the config's section.
        folder: where a relative trace file starts from.
        vocab_size: token ids are drawn from [0, vocab_size).
        max_model_len: prompt and output together must not exceed this.

    Raises:
        ConfigError: the trace file is not there, or not in a known format.
    """
    rng = np.random.default_rng(workload.seed)
    if isinstance(workload, TraceWorkload):
        lengths = read_lengths(workload, folder)
    else:
        prompts = _draw(workload.prompt_tokens, workload.requests, rng)
        outputs = _draw(workload.output_tokens, workload.requests, rng)
        lengths = list(zip(prompts, outputs, strict=True))
    fitting, clipped = [], 0
    for prompt, output in lengths:
        fitting_output = min(output, max_model_len - 1)
        fitting_prompt = min(prompt, max_model_len - fitting_output)
        clipped += (fitting_prompt, fitting_output) != (prompt, output)
        fitting.append((fitting_prompt, fitting_output))
    sampling = workload.sampling
    # All at once: a call of the generator for each request would take longer than the drawing.
    tokens = draw_ids(workload.ids, vocab_size, sum(prompt for prompt, _ in fitting), rng)
    ends = np.cumsum([prompt for prompt, _ in fitting])
    # After all others, which are the same with and without it.
    shared = draw_ids(workload.ids, vocab_size, min(workload.shared_prefix, max_model_len), rng)
    for end, (prompt, _) in zip(ends.tolist() if len(shared) else (), fitting, strict=False):
        begin, length = end - prompt, min(prompt, len(shared))
        tokens[begin : begin + length] = shared[:length]
    lora = workload.lora
    return Work(
        [
            Request(
                tokens[end - prompt : end].tolist(),
                output,
                sampling,
                _seed_of(sampling, index),
                None if lora is None else Adapter(index % lora.adapters + 1, lora.rank),
            )
            for index, (end, (prompt, output)) in enumerate(zip(ends.tolist(), fitting, strict=True))
        ],
        clipped,
    )


def _seed_of(sampling: Sampling, index: int) -> int | None:
    return None if sampling.seed is None else sampling.seed + index


def _draw(length: Length, count: int, rng: np.random.Generator) -> list[int]:
    if length.uniform is not None:
        drawn = rng.integers(length.uniform.low, length.uniform.high, count, endpoint=True)
    elif length.lognormal is not None:
        values = rng.lognormal(np.log(length.lognormal.median), length.lognormal.sigma, count)
        drawn = np.clip(np.rint(values), 1, LONGEST).astype(np.int64)
    else:
        drawn = np.full(count, length.constant)
    return [int(value) for value in drawn]
