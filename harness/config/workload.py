"""What a config may say of its workload: how many requests, how long, and how they are served."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from harness.config.numbers import LONGEST, NUMBER, Requests, Seed, Tokens
from harness.config.serving import GREEDY, Lora, Sampling
from harness.config.strict import Strict

__all__ = ["Ids", "Length", "Lognormal", "SyntheticWorkload", "TraceWorkload", "Uniform", "Workload"]


class Uniform(Strict):
    """Each whole number from `low` to `high`, both included, equally often."""

    low: Tokens
    high: Tokens

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not exceed high ({self.high})")
        return self


class Lognormal(Strict):
    """exp of a normal variable with the given median and standard deviation `sigma` of the logarithm.

    What is drawn beyond the bounds of a request's length is taken as the bound.
    """

    median: Annotated[float, Field(ge=1, le=LONGEST), NUMBER]
    sigma: Annotated[float, Field(gt=0, le=10), NUMBER]


class Length(Strict):
    """A number of tokens: a plain number, or one distribution."""

    constant: Tokens | None = None
    uniform: Uniform | None = None
    lognormal: Lognormal | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain_number(cls, value: Any) -> Any:
        return {"constant": value} if isinstance(value, int | float | str) else value

    @model_validator(mode="after")
    def _one_of_three(self) -> Length:
        if sum(part is not None for part in (self.constant, self.uniform, self.lognormal)) != 1:
            raise ValueError(
                "write a number, or {uniform: {low: .., high: ..}}, or {lognormal: {median: .., sigma: ..}}"
            )
        return self

    @property
    def mean(self) -> float:
        """About how many tokens are drawn in the mean."""
        if self.uniform is not None:
            return (self.uniform.low + self.uniform.high) / 2
        if self.lognormal is not None:
            return min(self.lognormal.median * math.exp(self.lognormal.sigma**2 / 2), LONGEST)
        return float(self.constant or 0)


class Zipf(Strict):
    """The token of rank r has a probability in proportion to 1 / r^exponent."""

    exponent: Annotated[float, Field(gt=0, le=10), NUMBER] = 1.0


class Ids(Strict):
    """How the ids of prompts are drawn: the word `uniform`, or one distribution."""

    zipf: Zipf | None = None

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        if value == "uniform":
            return {}
        if not isinstance(value, Ids | dict):
            raise ValueError("write uniform, or {zipf: {exponent: 1.0}}")
        return value


class Served(Strict):
    """What any workload may say of its requests.

    Attributes:
        seed: of all that is drawn but tokens' sampling.
        ids: how the token ids of prompts are drawn.
        shared_prefix: so many tokens at the beginning of all prompts are the same; shorter prompts lie within.
        sampling: how the engine chooses tokens, and what it gives beside them.
        lora: adapters of which each request has one.
    """

    seed: Seed = 0
    ids: Ids = Ids()
    shared_prefix: Annotated[int, Field(ge=0, le=LONGEST), NUMBER] = 0
    sampling: Sampling = GREEDY
    lora: Lora | None = None


class SyntheticWorkload(Served):
    """Requests drawn at random from a seed; all are there when a pass begins."""

    kind: Literal["synthetic"] = "synthetic"
    requests: Requests
    prompt_tokens: Length
    output_tokens: Length


class TraceWorkload(Served):
    """Request lengths from a file.

    CSV with TIMESTAMP,ContextTokens,GeneratedTokens, or JSONL with timestamp, input_length, output_length.

    `requests` caps how many are taken, from the first on. Timestamps are not replayed: all requests are
    there when a pass begins, so that step i is the same work in every pass.
    """

    kind: Literal["trace"]
    file: Path
    requests: Requests | None = None


Workload = Annotated[SyntheticWorkload | TraceWorkload, Field(discriminator="kind")]
