"""Numbers that a config may hold, each with the bounds outside which a run makes no sense or does not fit a machine."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

__all__ = [
    "LONGEST",
    "MOST_ITEMS",
    "NUMBER",
    "Count",
    "Delay",
    "Groups",
    "Items",
    "Launches",
    "Micros",
    "Rate",
    "Requests",
    "Seconds",
    "Seed",
    "Threads",
    "Tokens",
]

LONGEST: Final = 10_000_000
"""Tokens of a request, prompt or output: longer than any model allows."""
MOST_ITEMS: Final = 100_000_000
"""Items of a container in a micro-benchmark."""
DAY: Final = 86_400
"""Seconds: the longest that anything is measured."""


def _no_truth_value(value: Any) -> Any:
    """Python takes true for 1, and a config that says so means something else."""
    if isinstance(value, bool):
        raise ValueError(f"write a number, not {str(value).lower()}")
    return value


NUMBER: Final = BeforeValidator(_no_truth_value)

Groups = Annotated[int, Field(ge=2, le=100_000), NUMBER]
Launches = Annotated[int, Field(gt=0, le=1_000), NUMBER]
Count = Annotated[int, Field(gt=0, le=1_000), NUMBER]
"""Of what a run does a few times, such as warm-up passes."""
Requests = Annotated[int, Field(gt=0, le=1_000_000), NUMBER]
Tokens = Annotated[int, Field(gt=0, le=LONGEST), NUMBER]
Items = Annotated[int, Field(gt=0, le=MOST_ITEMS), NUMBER]
Threads = Annotated[int, Field(gt=0, le=1_024), NUMBER]
Rate = Annotated[int, Field(gt=0, le=10_000), NUMBER]
"""Samples a second."""
Seed = Annotated[int, Field(ge=0, lt=2**32), NUMBER]
Seconds = Annotated[float, Field(gt=0, le=DAY, allow_inf_nan=False), NUMBER]
Micros = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False), NUMBER]
"""Microseconds."""
Delay = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False), NUMBER]
"""Microseconds of a busy wait, which holds up everything else for as long."""
