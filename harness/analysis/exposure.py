"""How much of a host function's time shows up in the engine's loop, and how much hides behind the device.

The baseline is run with delays planted at the seam. A turn of the loop lasts from the beginning of a step to that of
the next one: the step, the scheduler and, on a GPU, the waiting for the device. The slope of the turns on the delay is
the share of the host's time that is exposed. On a CPU it is 1. Where the host would wait for the device anyway it is 0,
and only the loop can tell: the host's own time in the step grows by the delay there as well. After Curtsinger & Berger,
"Coz: finding code that counts with causal profiling" (SOSP 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy import special

from harness.analysis.grouping import Groups, grain_of
from harness.analysis.intervals import Interval
from harness.analysis.statistics import CLIP, total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.analysis.probe_cost import ProbeCost
    from harness.records.tables import Columns

__all__ = ["LAGS", "Exposure", "LaggedFit", "exposure", "lagged_fit", "planted_delays_us", "planted_name"]

DELAYS_US: Final = (5.0, 20.0)
"""What is planted where a config asks for no delays of its own."""
LAGS: Final = 3
"""In how many turns a delay is looked for: its own and those after it. vLLM's asynchronous scheduling has two steps
under way (`EngineCore.batch_queue`), so a turn that was longer can be made up for in the next one; one more to be sure.
"""
ROUNDS: Final = 5
"""Of clipping; the fit hardly moves after the third."""


@dataclass(frozen=True)
class Exposure:
    """How much of the seam's time shows up in the loop.

    `slope` is in microseconds of the loop per microsecond planted. A turn takes `turn_us` in the mean, and would be
    shorter by `share` if the seam's function took no time (None where that function was not probed).
    """

    slope: Interval
    share: Interval | None
    turn_us: float


def planted_delays_us(exposed: bool | Sequence[float]) -> tuple[float, ...]:
    """The delays that `protocol.exposed` asks for, the reference of 0 first; none where it is false."""
    if exposed is False:
        return ()
    return (0.0, *(DELAYS_US if exposed is True else exposed))


def planted_name(delay_us: float) -> str:
    """Name of the arm that is the baseline with a delay behind it."""
    return f"planted {delay_us:g} us"


def exposure(
    rows: Sequence[Columns],
    protocol: Mapping[str, Any],
    of_baseline: Mapping[str, NDArray[np.float64]],
    probe: str,
    cost: ProbeCost,
    confidence: float,
) -> Exposure | None:
    """The slope of the loop's turns on the planted delay, and what a turn would gain if the seam took no time.

    Args:
        rows: of each launch the rows of its complete groups.
        protocol: the config's section.
        of_baseline: the baseline's values by metric, shape [groups, steps], in nanoseconds.
        probe: the seam's probe; where it is not among the probes, only the slope is given.
        cost: of a probe call, which is subtracted from the function's time.
        confidence: of the intervals.

    Returns:
        None where no delays were planted, nothing says when a step began or in which pass it was, a pass has fewer
        steps than a delay is looked for in, or there is no second group.
    """
    delays_us = {planted_name(delay): delay for delay in planted_delays_us(protocol.get("exposed", False))}
    if not delays_us or not rows or any("begin_ns" not in of_launch for of_launch in rows):
        return None
    if any(name not in of_launch["arm"] for name in delays_us for of_launch in rows):
        return None
    if not all(_of_whole_passes(of_launch) for of_launch in rows):
        return None
    lags = LAGS if grain_of(protocol) == "step" else 1  # else the turns before have the same delay
    found = _distributed_lags(rows, delays_us, lags, confidence)
    if found is None:
        return None
    slope, turn_ns = found
    if turn_ns <= 0:
        return None
    if f"{probe}.total_ns" not in of_baseline:
        return Exposure(slope, None, turn_ns / 1e3)
    calls, nested = of_baseline[f"{probe}.calls"], of_baseline[f"{probe}.nested_calls"]
    seam_ns = total(of_baseline[f"{probe}.total_ns"] - calls * cost.inside_ns - nested * cost.call_ns)
    return Exposure(slope, slope.scaled(seam_ns / calls.shape[1] / turn_ns), turn_ns / 1e3)


def _of_whole_passes(rows: Columns) -> bool:
    """Whether the rows are passes of the same steps, each step once; turns are between a pass's steps."""
    sizes = np.unique(rows["pass"], return_counts=True)[1]
    return bool((sizes == len(np.unique(rows["step"]))).all() and Groups(rows["pass"], rows["step"]).sizes.max() == 1)


def _distributed_lags(
    rows: Sequence[Columns], delays_us: Mapping[str, float], lags: int, confidence: float
) -> tuple[Interval, float] | None:
    """Fit the turns to what ran in them and in the turns before; the delay's effect over all lags, and the mean turn.

    A distributed-lag model: each step has its level, each (arm, probed or bare) its effect, the planted arms a common
    one and a slope on the delay, all of these at each lag. Arms are drawn anew for every step, so lags are independent.
    Residuals are clipped at `CLIP` robust standard deviations and the fit is repeated (Huber 1981, section 7.8). The
    interval is from the sums of influences by group, or by launch where there are several (cluster-robust; Liang &
    Zeger 1986), with Student's t for their number.
    """
    parts = [_turns(of_launch, delays_us, lags) for of_launch in rows]
    design, turns_ns, groups = (np.concatenate(part) for part in zip(*parts, strict=True))
    launches = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
    _, members = np.unique(launches if len(rows) > 1 else groups, return_inverse=True)
    count = int(members.max(initial=0)) + 1
    if count < 2 or not turns_ns.size:
        return None
    fitted = lagged_fit(design, turns_ns, launches)
    slope = float(fitted.coefficients[:lags].sum())
    influence = fitted.influences(slice(lags)).sum(axis=1)
    error = float(np.sqrt(count / (count - 1) * np.sum(np.bincount(members, influence, count) ** 2)))
    half = float(special.stdtrit(count - 1, (1 + confidence) / 2)) * error
    return Interval(slope, slope - half, slope + half), float(turns_ns.mean())


class LaggedFit(NamedTuple):
    """A robust least-squares fit of turns, each step's level taken out.

    Attributes:
        coefficients: shape [columns].
        design: without the levels, [passes, turns, columns].
        residuals: what is left, clipped, [passes, turns].
        inverse: of the design's cross products.
    """

    coefficients: NDArray[np.float64]
    design: NDArray[np.float64]
    residuals: NDArray[np.float64]
    inverse: NDArray[np.float64]

    def influences(self, columns: slice) -> NDArray[np.float64]:
        """How each turn moves the sum of these coefficients, [passes, turns]."""
        moved: NDArray[np.float64] = (self.design @ self.inverse[:, columns].sum(axis=1)) * self.residuals
        return moved


def lagged_fit(
    design: NDArray[np.float64], turns_ns: NDArray[np.float64], launches: NDArray[np.int64], stretch: int = 0
) -> LaggedFit:
    """Fit turns to what ran in them and before them, with residuals clipped (Huber 1981, section 7.8).

    Args:
        design: [passes, turns, columns].
        turns_ns: [passes, turns].
        launches: of each pass.
        stretch: so many turns of a pass, one after the other, have a level of their own as well, by which the machine's
            drift cancels; 0 for none.
    """

    def levelled(values: NDArray[np.float64]) -> NDArray[np.float64]:
        # Each step's level, of each launch, is taken out of both sides, which is to fit it (Frisch & Waugh). Then
        # that of each stretch is, which leaves the steps' levels at zero.
        return _of_stretches(_levelled(values, launches), stretch)

    design = levelled(design)
    inverse = np.linalg.pinv(np.einsum("psk,psl->kl", design, design))
    pseudo = turns_ns
    for _ in range(ROUNDS):
        around = levelled(pseudo)
        fitted = pseudo - around + design @ (inverse @ np.einsum("psk,ps->k", design, around))
        residuals = turns_ns - fitted
        limit = CLIP * 1.4826 * np.median(np.abs(residuals))
        inside = np.abs(residuals) <= limit
        pseudo = fitted + np.clip(residuals, -limit, limit) / inside.mean()
    around = levelled(pseudo)
    coefficients = inverse @ np.einsum("psk,ps->k", design, around)
    return LaggedFit(coefficients, design, around - design @ coefficients, inverse)


def _of_stretches(values: NDArray[np.float64], stretch: int) -> NDArray[np.float64]:
    """Without the mean of each stretch of a pass; the second axis is turns. What is left over joins the last one."""
    if not stretch:
        return values
    ends = [*range(stretch, values.shape[1] - stretch + 1, stretch), values.shape[1]]
    parts = [values[:, begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    return np.concatenate([part - part.mean(axis=1, keepdims=True) for part in parts], axis=1)


def _levelled(values: NDArray[np.float64], launches: NDArray[np.int64]) -> NDArray[np.float64]:
    """Without the mean over the passes of each launch; the first axis is passes."""
    levelled = np.empty(values.shape)
    for launch in np.unique(launches):
        levelled[launches == launch] = values[launches == launch] - values[launches == launch].mean(axis=0)
    return levelled


def _turns(
    rows: Columns, delays_us: Mapping[str, float], lags: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Of one launch: the design [passes, turns, columns], the delay at each lag first; the turns; each pass's group."""
    order = np.lexsort((rows["step"], rows["pass"]))
    passes = len(np.unique(rows["pass"]))

    def by_pass(column: NDArray[Any]) -> NDArray[Any]:
        return column[order].reshape(passes, -1)  # type: ignore[no-any-return]

    begins, groups = by_pass(rows["begin_ns"]).astype(np.float64), by_pass(rows["group"])[:, 0]
    arms, probed = by_pass(rows["arm"]), by_pass(rows["probed"])
    delays_ns = 1e3 * np.vectorize(lambda arm: delays_us.get(arm, 0.0), otypes=[float])(arms)
    treatments = np.char.add(
        np.where(np.isin(arms, list(delays_us)), "planted", arms).astype(str), np.where(probed, " probed", " bare")
    )
    turns_ns = begins[:, 1:] - begins[:, :-1]
    first, end = lags - 1, begins.shape[1] - 1  # turns with as many before them, and a step after them
    there = [slice(first - lag, end - lag) for lag in range(lags)]
    columns = [delays_ns[:, place] for place in there]
    columns += [treatments[:, place] == name for place in there for name in np.unique(treatments)[1:]]
    return np.stack(columns, axis=2).astype(np.float64), turns_ns[:, first:end], groups
