"""Estimators, each with its interval: pure functions on arrays, no files, no engine.

Notation: a metric's values are x[g, s, a] for group g, step s and arm a; within (g, s) the arms did the same
work moments apart, so differences are taken there and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from scipy import special  # and not stats, whose import takes a second and does the same

from harness.analysis.intervals import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CLIP",
    "FEWEST",
    "Grain",
    "Influences",
    "corrected_self",
    "influences",
    "paired_difference",
    "slope",
    "total",
    "typical_sum",
    "welch",
]

Grain: TypeAlias = Literal["step", "pass"]

CLIP: Final = 1.5
"""Huber's usual constant: 95 % efficient for a normal distribution, and bounded for any other."""
FEWEST: Final = 3
"""Groups of one launch, or launches, at least: fewer say nothing of their spread."""


def total(values: NDArray[np.float64]) -> float:
    """Accumulated time of one pass: the sum over steps, averaged over groups.

    Args:
        values: shape [groups, steps].
    """
    return float(values.sum(axis=1).mean())


class Influences(NamedTuple):
    """A sum over steps of a location over groups, taken apart (`influences`).

    Attributes:
        estimate: the sum, shape [...].
        pseudo: how each value moves it, shape [..., groups, steps]: the clipped residual over the share inside.
        inside: each step's share of values that were not clipped, shape [..., steps].
    """

    estimate: NDArray[np.float64]
    pseudo: NDArray[np.float64]
    inside: NDArray[np.float64]


def influences(values: NDArray[np.float64], clip: float = CLIP) -> Influences:
    """Sum over steps of a robust location over groups: Huber's M-estimator, one step from the median.

    Around each step's median, values are clipped at `clip` robust standard deviations (1.4826 times the median
    absolute deviation; at least the median of that over steps, since with few groups one step's can be tiny by
    chance). The mean of the clipped residuals is added, divided by the share of the step's values inside. Huber,
    "Robust Statistics" (1981), section 6.7. Where more than half of the values are the same, here and in most steps,
    there is no scale to clip by, and nothing is.

    Args:
        values: shape [..., groups, steps].
        clip: in robust standard deviations; infinity gives the plain mean.
    """
    centre = np.median(values, axis=-2, keepdims=True)
    residuals = values - centre
    deviation = 1.4826 * np.median(np.abs(residuals), axis=-2, keepdims=True)
    scale = np.maximum(deviation, np.median(deviation, axis=-1, keepdims=True))
    limit = np.where(scale > 0, clip if np.isinf(clip) else clip * scale, np.inf)
    inside = np.mean(np.abs(residuals) <= limit, axis=-2)
    pseudo = np.clip(residuals, -limit, limit) / inside[..., None, :]
    estimate: NDArray[np.float64] = (centre[..., 0, :] + pseudo.mean(axis=-2)).sum(axis=-1)
    return Influences(np.asarray(estimate), pseudo, inside)


def typical_sum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The estimate of `influences`, shape [...]."""
    return influences(values).estimate


def paired_difference(
    values: NDArray[np.float64],
    baseline: NDArray[np.float64],
    confidence: float,
    launches: NDArray[np.int64] | None = None,
    grain: Grain = "step",
    clip: float = CLIP,
) -> Interval:
    """Difference of two arms over a whole pass, with its interval.

    The estimate is that of `influences` of x - y. With the usual clip it says what the usual step does: on a shared
    machine interrupts give differences so heavy a tail that their mean says little. With `clip` infinite it is the
    difference of means, so of accumulated time, in which rare costs count.

    The interval is Student's t. Arms are drawn anew for every step, so that within a (group, step) the labels of two
    equal arms are exchangeable, whatever the machine does over time, and the differences of different steps are
    independent. So the squared error is a sum over steps: the variance of a step's influences over groups, divided by
    their number and corrected for clipping (Yuen 1974), with a step's h = groups * inside as its sample size. Degrees
    of freedom are Satterthwaite's (1946), once by these variances and once by the spread of both arms' own values. The
    fewer are taken: by chance the variance of the one step that carries all can come out small, and its weight with it.

    With `grain` "pass" all steps of a pass have one label. Then the influences are summed over steps first, and the
    sample size is the mean of the steps', weighted by their variance.

    It was chosen by measuring (`python -m tests.analysis.error_rates`; the figures are in docs/measuring.md): against
    the delete-one-group jackknife that it replaces it misses at the stated rate also with 5 groups and where one step
    carries the variance, is up to twice as narrow, and takes time by the number of groups and not by its square.

    With several launches the estimate is the mean of theirs, and the interval is Student's t on the launches'
    estimates, whose spread includes that within a launch (Kalibera & Jones 2013).

    Args:
        values: the arm's, shape [groups, steps].
        baseline: the baseline's, same shape, paired.
        confidence: such as 0.95.
        launches: the launch of each group, shape [groups]; None for a run that is one launch.
        grain: where arms change.
        clip: as in `influences`.

    Returns:
        The difference a pass, in the unit of `values`. With fewer than 3 groups (launches) the limits are infinite.
    """
    return _contrast(np.stack([baseline, values]), np.ones(1), confidence, launches, grain, clip)


def _contrast(
    arms: NDArray[np.float64],
    weights: NDArray[np.float64],
    confidence: float,
    launches: NDArray[np.int64] | None,
    grain: Grain,
    clip: float = CLIP,
) -> Interval:
    """A weighted sum of differences from the first arm, with the interval of `paired_difference`.

    Each difference is made robust by itself: noise has a longer tail to the right, which cancels in a difference of two
    arms, but not in a sum that weights arms unequally.

    Args:
        arms: shape [arms, groups, steps].
        weights: of all arms but the first.
        confidence: such as 0.95.
        launches: the launch of each group.
        grain: where arms change.
        clip: as in `influences`.
    """
    differences = arms[1:] - arms[0]
    if launches is not None:
        names = np.unique(launches)
        of_launches = np.array(
            [weights @ influences(differences[:, launches == name], clip).estimate for name in names]
        )
        estimate, enough = float(of_launches.mean()), len(names) >= FEWEST
        if enough:
            error2, freedom = float(of_launches.var(ddof=1) / len(names)), len(names) - 1.0
    else:
        each = influences(differences, clip)
        estimate, enough = float(weights @ each.estimate), differences.shape[1] >= FEWEST
        if enough:
            # Not tensordot: it has BLAS start threads for this little work, which cost a hundred times as much.
            pseudo = np.einsum("a,ags->gs", weights, each.pseudo, order="C")
            own = np.abs(arms - np.median(arms, axis=1, keepdims=True)).reshape(-1, arms.shape[-1])
            of_one = _of_independent_steps if grain == "step" else _of_whole_passes
            error2, freedom = of_one(pseudo, np.mean(each.inside, axis=0), np.median(own, axis=0) ** 2)
    if not enough:
        return Interval(estimate, -np.inf, np.inf)
    half = float(special.stdtrit(freedom, (1 + confidence) / 2) * np.sqrt(error2)) if error2 else 0.0
    return Interval(estimate, estimate - half, estimate + half)


def _of_independent_steps(
    pseudo: NDArray[np.floating], inside: NDArray[np.floating], spread: NDArray[np.floating]
) -> tuple[float, float]:
    """Squared error and degrees of freedom of a sum over steps that are independent."""
    groups = len(pseudo)
    size = groups * inside
    error2 = pseudo.var(axis=0, ddof=1) / groups * (groups - 1) / (size - 1) * inside
    freedoms = [
        float(weights.sum() ** 2 / np.sum(weights**2 / (size - 1))) for weights in (error2, spread) if weights.any()
    ]
    return float(error2.sum()), min(freedoms, default=float(groups - 1))


def _of_whole_passes(
    pseudo: NDArray[np.floating], inside: NDArray[np.floating], _: NDArray[np.floating]
) -> tuple[float, float]:
    """Squared error and degrees of freedom where all steps of a group have the same label."""
    groups = len(pseudo)
    variance = pseudo.var(axis=0, ddof=1)
    size = groups * float(np.average(inside, weights=variance)) if variance.any() else float(groups)
    error2 = float(pseudo.sum(axis=1).var(ddof=1)) / groups * (groups - 1) / (size - 1) * size / groups
    return error2, size - 1


def welch(values: NDArray[np.float64], baseline: NDArray[np.float64], confidence: float) -> Interval:
    """Difference of two means of independent samples, with Welch's interval (1947): their spreads may differ.

    Args:
        values: shape [n], n at least 2.
        baseline: shape [m], m at least 2.
        confidence: such as 0.95.
    """
    estimate = float(values.mean() - baseline.mean())
    if not (np.ptp(values) or np.ptp(baseline)):
        return Interval(estimate, estimate, estimate)
    squares = np.array([side.var(ddof=1) / len(side) for side in (values, baseline)])
    freedom = squares.sum() ** 2 / (squares**2 / (len(values) - 1, len(baseline) - 1)).sum()
    half = float(special.stdtrit(freedom, (1 + confidence) / 2) * np.sqrt(squares.sum()))
    return Interval(estimate, estimate - half, estimate + half)


def slope(
    doses: NDArray[np.float64],
    responses: NDArray[np.float64],
    confidence: float,
    launches: NDArray[np.int64] | None = None,
) -> Interval:
    """Slope of a response on a planted dose, with the interval of `paired_difference`.

    The slope is fitted to robust paired differences from the first arm; the fit itself is not robust.

    Args:
        doses: shape [arms]; the others are compared with the first one.
        responses: shape [arms, groups, steps], paired over arms.
        confidence: such as 0.95.
        launches: the launch of each group, as in `paired_difference`.

    Returns:
        Change of the response a step per unit of dose, by least squares through the first arm.
    """
    steps, rise = responses.shape[2], doses[1:] - doses[0]
    return _contrast(responses, rise / (rise @ rise) / steps, confidence, launches, "step")


def corrected_self(
    self_ns: NDArray[np.float64],
    calls: NDArray[np.float64],
    nested_calls: NDArray[np.float64],
    inside_ns: float,
    outside_ns: float,
) -> NDArray[np.float64]:
    """Self time without the probes' own cost (Malony & Shende 2004).

    Each call includes the inside part of its own probe, and the outside part of each probe nested directly in it.
    """
    return self_ns - calls * inside_ns - nested_calls * outside_ns
