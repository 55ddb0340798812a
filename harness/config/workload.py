"""What a config may say of its workload, and the base of all its sections."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.config.numbers import LONGEST, NUMBER, Requests, Seed, Tokens

__all__ = ["Length", "Lognormal", "Strict", "SyntheticWorkload", "TraceWorkload", "Uniform", "Workload"]


class Strict(BaseModel):
    """Immutable, and refuses keys that it does not know.

    Built when the first config is validated: a report imports this, and validates none of it but the host.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, defer_build=True)


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


class SyntheticWorkload(Strict):
    """Requests drawn at random from a seed; all are there when a pass begins."""

    kind: Literal["synthetic"] = "synthetic"
    requests: Requests
    prompt_tokens: Length
    output_tokens: Length
    seed: Seed = 0


class TraceWorkload(Strict):
    """Request lengths from a file.

    CSV with TIMESTAMP,ContextTokens,GeneratedTokens, or JSONL with timestamp, input_length, output_length.

    `requests` caps how many are taken, from the first on. Timestamps are not replayed: all requests are
    there when a pass begins, so that step i is the same work in every pass.
    """

    kind: Literal["trace"]
    file: Path
    requests: Requests | None = None
    seed: Seed = 0


Workload = Annotated[SyntheticWorkload | TraceWorkload, Field(discriminator="kind")]
