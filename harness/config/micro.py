"""What a config of kind `micro` may say."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, RootModel, model_validator

from harness.config.numbers import Items, Seconds, Seed
from harness.config.strict import Strict

__all__ = ["Benchmark", "Concat", "Include", "Micro", "Operations", "Sizes"]


class _Micro(Strict):
    """What all of them have.

    Attributes:
        title: over the report.
        seconds: about how long each cell of the table is measured.
        seed: of the order in which the columns of a row take their turns.
    """

    kind: Literal["micro"]
    title: str = Field(default="", max_length=500)
    seconds: Seconds = 0.3
    seed: Seed = 0


class Sizes(_Micro):
    """A sweep over the number of items.

    Attributes:
        benchmark: `to_cpu`: a container to a CPU tensor; `to_gpu`: to a tensor on the device, synchronised;
            `copy_to_gpu`: a copy from host memory to a GPU, not waited for; `incremental`: a tensor after each append.
        sizes: numbers of items.
        device: of `to_gpu`: auto takes a GPU where PyTorch has one, and the CPU otherwise. `copy_to_gpu` needs a GPU.
    """

    benchmark: Literal["to_cpu", "to_gpu", "copy_to_gpu", "incremental"]
    sizes: Annotated[list[Items], Field(min_length=1, max_length=100)]
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @property
    def held_items(self) -> int:
        """Items that are held at once, of every kind of container."""
        return sum(self.sizes)

    @model_validator(mode="after")
    def _ascending(self) -> Sizes:
        if any(first >= second for first, second in itertools.pairwise(self.sizes)):
            raise ValueError("sizes: write each once, from the smallest to the largest")
        return self


class Operations(_Micro):
    """Operations of containers.

    Attributes:
        items: how many a container holds.
        added: how many are taken, appended or added by an operation that does so.
    """

    benchmark: Literal["operations"]
    items: Items = 10_000
    added: Items = 1_000

    @property
    def held_items(self) -> int:
        """Items that are held at once, of every kind of container."""
        return self.items + self.added

    @model_validator(mode="after")
    def _fewer_are_added(self) -> Operations:
        if self.added > self.items:
            raise ValueError(f"added: {self.added} are more than the {self.items} items that there are; take fewer")
        return self


class Concat(_Micro):
    """Pieces, one a sequence, to one tensor.

    Attributes:
        pieces: how many.
        lengths: items of each.
    """

    benchmark: Literal["concat"]
    pieces: Annotated[list[Items], Field(min_length=1, max_length=100)]
    lengths: Annotated[list[Items], Field(min_length=1, max_length=100)]

    @property
    def held_items(self) -> int:
        """Items that are held at once, of every kind of container."""
        return sum(self.pieces) * sum(self.lengths)


class Include(_Micro):
    """Several micro configs, one after the other; paths from this file's folder. `seconds` and `seed` are for all."""

    include: Annotated[list[Path], Field(min_length=1, max_length=100)]
    seconds: Seconds | None = None  # type: ignore[assignment]
    seed: Seed | None = None  # type: ignore[assignment]


Benchmark = Annotated[Sizes | Operations | Concat, Field(discriminator="benchmark")]


class Micro(RootModel[Benchmark]):
    """One micro config that measures something."""
