"""Times of one row, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["MeasuredRow", "Timing"]


@dataclass(frozen=True)
class Timing:
    """One cell: seconds a call, the median of each round, and how many calls were timed in all."""

    rounds_s: list[float]
    calls: int

    @property
    def median_s(self) -> float:
        """The median of the rounds."""
        return float(np.median(self.rounds_s))

    @property
    def spread_s(self) -> float:
        """Half the distance of the rounds' quartiles."""
        low, high = np.percentile(self.rounds_s, [25, 75])
        return float(high - low) / 2


@dataclass(frozen=True)
class MeasuredRow:
    """A row with its times; `unequal` says how a column's result differs, where it is not the first one's."""

    label: str
    size: int | None
    timings: dict[str, Timing]
    unequal: dict[str, str]
    note: str = ""

    def ratios(self, column: str, to: str = "") -> list[float]:
        """How many times as fast as the first column (or `to`), round by round: that one's time over this one's."""
        first = self.timings[to or next(iter(self.timings))]
        return [a / b for a, b in zip(first.rounds_s, self.timings[column].rounds_s, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """For micro.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> MeasuredRow:
        """From micro.json."""
        timings = {name: Timing(**timing) for name, timing in content["timings"].items()}
        return cls(**{**content, "timings": timings})
