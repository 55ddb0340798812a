"""What a config may say of how its requests are served, beside their lengths: how tokens are drawn.

All requests of a pass are served alike. What is drawn is drawn from a seed, so that each pass does the same work.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from harness.config.numbers import NUMBER, Seed
from harness.config.strict import Strict

__all__ = ["GREEDY", "Lora", "Sampling"]


class Sampling(Strict):
    """How a token is chosen: vLLM's `SamplingParams`, as far as passes with them repeat (vllm/sampling_params.py).

    Attributes:
        temperature: 0 takes the likeliest token; above, a token is drawn.
        seed: of the drawing; a request draws from this plus its place in the pass, so no two draw alike.
        top_k: the drawing is among so many of the likeliest.
        top_p: the drawing is among the likeliest that have this probability together.
        detokenize: whether texts are made of the tokens.
        json_schema: texts keep to it; a request whose text is complete goes on with any tokens.
        logprobs: of each generated token so many of the likeliest come with their log probabilities, beside its own.
    """

    temperature: Annotated[float, Field(ge=0, le=100), NUMBER] = 0.0
    seed: Seed | None = None
    top_k: Annotated[int, Field(ge=1, le=10_000_000), NUMBER] | None = None
    top_p: Annotated[float, Field(gt=0, le=1), NUMBER] | None = None
    detokenize: bool = False
    json_schema: dict[str, Any] | None = None
    logprobs: Annotated[int, Field(ge=0, le=10_000_000), NUMBER] | None = None

    @property
    def needs_tokenizer(self) -> bool:
        """Whether the engine must know what its tokens read as."""
        return self.detokenize or self.json_schema is not None

    @model_validator(mode="after")
    def _repeats(self) -> Sampling:
        if self.temperature > 0 and self.seed is None:
            raise ValueError(
                f"temperature {self.temperature:g} draws tokens, and without a seed no two passes draw alike: give a "
                "seed, as in {temperature: 0.8, seed: 0}"
            )
        drawing = [name for name in ("seed", "top_k", "top_p") if getattr(self, name) is not None]
        if self.temperature == 0 and drawing:
            raise ValueError(
                f"{drawing[0]} is of drawing, and nothing is drawn at temperature 0: give a temperature, or leave it"
            )
        return self


class Lora(Strict):
    """LoRA adapters with random weights; request i has adapter i modulo their number, so neighbours have others.

    Attributes:
        adapters: how many; all of them are loaded before the first pass, and stay.
        rank: of each (vllm/config/lora.py says which there are).
    """

    adapters: Annotated[int, Field(ge=1, le=1_000), NUMBER] = 1
    rank: Literal[8, 16, 32, 64, 128, 256] = 8


GREEDY: Final = Sampling()
"""The likeliest token, and nothing else asked for."""
