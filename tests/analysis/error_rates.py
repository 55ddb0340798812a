# ruff: noqa: T201 (a program that prints)
"""How often intervals miss and reports claim what is not so: the tables of docs/measuring.md.

    python -m tests.analysis.error_rates [RUNS] [misses] [reports] [power]

With 400 runs a cell it takes half an hour on a slow core.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats

from harness.analysis.intervals import detectable
from harness.analysis.metrics import SCOPE
from harness.analysis.statistics import CLIP, paired_difference
from harness.analysis.summarise import summarise
from tests.analysis.null_runs import ARMS, Noise, of_run, records_of, synthetic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from harness.analysis.summary import Summary

    Draw = Callable[[int, np.random.Generator], NDArray[np.float64]]

GROUPS = (5, 8, 20)
CONFIDENCES = (0.95, 0.99875)
PLANTED_ARM = ARMS[1]


def jackknife(differences: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """The former interval, to compare with: whole groups left out one at a time, Student's t with groups - 1."""

    def estimate(values: NDArray[np.float64]) -> float:
        centre = np.median(values, axis=0)
        residuals = values - centre
        deviation = 1.4826 * np.median(np.abs(residuals), axis=0)
        limit = CLIP * np.maximum(deviation, np.median(deviation))
        clipped = np.clip(residuals, -limit, limit).mean(axis=0).sum()
        return float(centre.sum() + clipped / np.mean(np.abs(residuals) <= limit))

    groups = len(differences)
    without = np.array([estimate(np.delete(differences, left_out, axis=0)) for left_out in range(groups)])
    error = np.sqrt((groups - 1) / groups * np.sum((without - without.mean()) ** 2))
    return estimate(differences), float(special.stdtrit(groups - 1, (1 + confidence) / 2) * error)


def differences_of(noise: Noise, steps: slice) -> Draw:
    """Draws the differences of two equal arms."""

    def draw(groups: int, rng: np.random.Generator) -> NDArray[np.float64]:
        scope = noise.drawn(groups, rng).scope[:2, :, steps]
        return np.asarray(scope)

    return draw


def missed(
    draw: Draw, groups: int, runs: int, rng: np.random.Generator, former: bool = True
) -> tuple[list[float], list[float], float]:
    """How often intervals miss a true 0, and how wide they are.

    Returns:
        Per cent of the former kind (or zeros) and of today's, at both confidences; and how many times as wide the
        former ones are at the higher confidence, in the median.
    """
    before, after = np.zeros(2), np.zeros(2)
    ratios = []
    for _ in range(runs):
        arm, baseline = draw(groups, rng)
        for place, confidence in enumerate(CONFIDENCES):
            found = paired_difference(arm, baseline, confidence)
            after[place] += not found.low <= 0 <= found.high
            if former:
                estimate, half = jackknife(arm - baseline, confidence)
                before[place] += abs(estimate) > half
        ratios += [half / ((found.high - found.low) / 2)] if former else []
    return (before / runs * 100).tolist(), (after / runs * 100).tolist(), float(np.median(ratios)) if ratios else 0.0


def claims(summary: Summary) -> Iterator[str]:
    """Every claim of a report on arms that do not differ, each of which is false."""
    yield from (c.metric for c in summary.comparisons if c.verdict in ("faster", "slower"))
    yield from (f"means of {c.metric}" for c in summary.comparisons if c.means_verdict in ("faster", "slower"))
    yield from (found.shape for found in summary.shapes if found.verdict in ("faster", "slower"))
    yield from ("outlying steps" for found in summary.rare if found.verdict in ("more often", "less often"))
    yield from ("trends" for found in summary.trends if found.found)


def false_reports(noise: Noise, groups: int, runs: int, rng: np.random.Generator) -> int:
    """How many reports on equal arms claim anything."""
    return sum(any(claims(summarise(records_of(noise.drawn(groups, rng))))) for _ in range(runs))


def upper_limit(hits: int, runs: int) -> float:
    """The upper 95 % limit of a rate, in per cent (Clopper & Pearson 1934, one-sided)."""
    return 100.0 * float(stats.beta.ppf(0.95, hits + 1, runs - hits)) if hits < runs else 100.0


def plant(kind: str, scope_ns: float) -> Callable[[Noise, int], None]:
    """Adds so much a step to one arm's function: to each step, in proportion to its length, or 25-fold in 4 %."""
    rng = np.random.default_rng(99)

    def planted(noise: Noise, arm: int) -> None:
        shape = noise.scope[arm].shape
        level = np.median(noise.scope, axis=(0, 1))
        cost = {
            "constant": np.full(shape, scope_ns),
            "proportional": scope_ns * np.broadcast_to(level / level.mean(), shape),
            "rare": scope_ns / 0.04 * (rng.random(shape) < 0.04),
        }[kind]
        for times in (noise.scope, noise.probe, noise.bare):
            times[arm] += np.round(cost)

    return planted


def half_width_us(noise: Noise, groups: int, rng: np.random.Generator, means: bool) -> tuple[float, float]:
    """The usual half-width of the scope's row in reports on this noise, and the confidence of each."""
    widths = []
    for _ in range(20):
        summary = summarise(records_of(noise.drawn(groups, rng)))
        row = summary.difference(PLANTED_ARM, SCOPE)
        found = row.means_us if means else row.per_step_us
        widths.append((found.high - found.low) / 2)
    return float(np.median(widths)), summary.confidence_each


def found_in(noise: Noise, kind: str, groups: int, runs: int, rng: np.random.Generator) -> tuple[float, float]:
    """What is planted, in us a step, so that 90 % of reports should find it; and the per cent that do."""
    means = kind == "rare"
    planted_us = detectable(*half_width_us(noise, groups, rng, means), groups)
    if means:  # its own spread comes on top of the noise's: of 64 steps a group 2.6 on average have it
        planted_us = max(planted_us, 5000 * 0.04)
    hits = 0
    for _ in range(runs):
        records = records_of(noise.drawn(groups, rng), plant(kind, planted_us * 1e3))
        row = summarise(records).difference(PLANTED_ARM, SCOPE)
        hits += (row.means_verdict if means else row.verdict) == "slower"
    return planted_us, hits / runs * 100


def print_misses(noises: dict[str, Noise], runs: int, rng: np.random.Generator) -> None:
    """How often single intervals miss, today's and the former ones."""
    cpu, gpu = noises["of slot_mapping-cpu"], noises["of gpu-v1-decode-32"]
    draws: dict[str, Draw] = {
        "one step, normal noise": lambda groups, rng: 1e6 + 1e3 * rng.standard_normal((2, groups, 1)),
        "step 0 of slot_mapping-cpu": differences_of(cpu, slice(1)),
        "step 0 of gpu-v1-decode-32": differences_of(gpu, slice(1)),
        "64 steps, step 0 30 times as long": differences_of(noises["synthetic"], slice(None)),
        "64 steps of slot_mapping-cpu": differences_of(cpu, slice(None)),
        "64 steps of gpu-v1-decode-32": differences_of(gpu, slice(None)),
    }
    print(f"Misses of a true 0 in {5 * runs} runs a cell, in % (nominal 5 / 0.125)\n")
    print("| noise | groups | jackknife | today | width of jackknife / today |\n|---|---:|---:|---:|---:|")
    for name, draw in draws.items():
        for groups in GROUPS:
            *rates, ratio = missed(draw, groups, 5 * runs, rng)
            cells = " | ".join(f"{five:.1f} / {rare:.2f}" for five, rare in rates)
            print(f"| {name} | {groups} | {cells} | {ratio:.2f} |", flush=True)


def print_reports(noises: dict[str, Noise], runs: int, rng: np.random.Generator) -> None:
    """How often whole reports on equal arms claim anything."""
    print(f"\nReports on equal arms that claim anything, of {runs} (stated: 5 %)\n")
    print("| noise | groups | false | at most (95 %) |\n|---|---:|---:|---:|")
    for name, noise in noises.items():
        for groups in GROUPS:
            hits = false_reports(noise, groups, runs, rng)
            print(f"| {name} | {groups} | {hits / runs * 100:.1f} % | {upper_limit(hits, runs):.1f} % |", flush=True)


def print_power(noises: dict[str, Noise], runs: int, rng: np.random.Generator) -> None:
    """How often planted costs are found."""
    print("\nPlanted in one arm and found, with 20 groups (stated: about 90 %)\n")
    print("| noise | cost | planted, us a step | found |\n|---|---|---:|---:|")
    for name, noise in noises.items():
        for kind in ("constant", "proportional", "rare"):
            planted_us, share = found_in(noise, kind, 20, runs // 2, rng)
            print(f"| {name} | {kind} | {planted_us:.2g} | {share:.0f} % |", flush=True)


TABLES = {"misses": print_misses, "reports": print_reports, "power": print_power}


def main() -> None:
    """Print the tables as Markdown, each from a seed of its own."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    made = synthetic(np.random.default_rng(0))
    noises = {
        "synthetic": made,
        "of slot_mapping-cpu": of_run("slot_mapping-cpu"),
        "of gpu-v1-decode-32": of_run("gpu-v1-decode-32"),
    }
    for seed, (name, table) in enumerate(TABLES.items()):
        if name in (sys.argv[2:] or TABLES):
            table(noises, runs, np.random.default_rng(seed))


if __name__ == "__main__":
    main()
