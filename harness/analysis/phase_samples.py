"""The phases' shares once more, by py-spy's samples: by another instrument, in passes without a probe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import special

from harness.analysis.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.sampling.stacks import Frame, Stacks

__all__ = ["SampledPhase", "sampled_phases"]

OWN: Final = "harness/instrument/"
"""Where harness's own frames are from."""
AROUND: Final = {"timed_execute_model": ".execute_model", "timed_sample_tokens": ".sample_tokens"}
"""By harness's function around it, the end of the name of what is called in it."""


@dataclass(frozen=True)
class SampledPhase:
    """A phase's share of all turns with their output, by probes and by samples.

    `samples` are those that lay in it, and in none of the phases that it calls.
    """

    label: str
    by_probes: float
    by_samples: Interval
    samples: int

    @property
    def agrees(self) -> bool:
        """Whether the probes' share lies in the interval of the samples'."""
        return self.by_samples.low <= self.by_probes <= self.by_samples.high


def sampled_phases(
    stacks: Stacks, labels: Mapping[str, str], by_probes: Mapping[str, float], confidence: float
) -> list[SampledPhase]:
    """Each phase's share of the samples that lie in any phase, in the order of the shares by probes.

    A sample belongs to the innermost phase on its stack; one in harness's own work around the model's execution, which
    no phase has by probes either, belongs to none. The interval is Clopper and Pearson's (1934): it takes the samples
    as independent, which they are where a turn is short against the time between two of them.

    Args:
        stacks: how often each was seen.
        labels: of the functions that count, by full name.
        by_probes: by label the share of all turns with their output; phases that are not here are left out.
        confidence: of each interval.
    """
    seen: Counter[str] = Counter()
    for stack, count in stacks.items():
        if (label := _innermost(stack, labels)) in by_probes:
            seen[label] += count
    total = seen.total()
    if not total:
        return []
    found = []
    for label in sorted(by_probes, key=lambda each: -by_probes[each]):
        low, high = _clopper_pearson(seen[label], total, confidence)
        share = seen[label] / total
        found.append(SampledPhase(label, by_probes[label], Interval(share, low, high), seen[label]))
    return found


def _innermost(stack: Iterable[Frame], labels: Mapping[str, str]) -> str:
    """The label of the last frame that is a phase; empty where none is, or where harness itself was at work."""
    below: Frame | None = None
    for frame in reversed(tuple(stack)):
        name = f"{frame.file.removesuffix('.py').replace('/', '.')}.{frame.name}"
        if name in labels:
            return labels[name]
        if frame.file.startswith(OWN):
            around = AROUND.get(frame.name.rpartition(".")[2])
            if around is None or below is None or below.file.startswith(OWN):
                return ""
            # What stands between is a decorator of that function, whose time its probe has too.
            return next((label for function, label in labels.items() if function.endswith(around)), "")
        below = frame
    return ""


def _clopper_pearson(count: int, of: int, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(special.betaincinv(count, of - count + 1, tail))
    high = 1.0 if count == of else float(special.betaincinv(count + 1, of - count, 1 - tail))
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))
