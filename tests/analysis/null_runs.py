"""Runs whose arms do not differ, or by a planted cost alone, as records: synthetic, or with a real run's noise."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.records.folder import Records, read_run
from harness.seams import AA
from tests.analysis.test_summarise import make_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

REFERENCE = Path("reports/reference")
PROBE = "compute_slot_mapping"
ARMS = ["list", "array", "list_with_array", "numpy", "native", AA]


@dataclass(frozen=True)
class Noise:
    """Times in nanoseconds, shape [arms, groups, steps], all arms alike: of the scope in it, of the step without."""

    scope: NDArray[np.float64]
    probe: NDArray[np.float64]
    rest: NDArray[np.float64]
    bare: NDArray[np.float64]
    tokens: list[int]

    def drawn(self, groups: int, rng: np.random.Generator) -> Noise:
        """Groups drawn with replacement, arms' labels drawn anew within each (group, step), as a run does."""
        arms, of_noise, steps = self.scope.shape
        which = rng.integers(0, of_noise, groups)
        labels = np.argsort(rng.random((arms, groups, steps)), axis=0)

        def draw(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.take_along_axis(values[:, which], labels, axis=0)

        return Noise(draw(self.scope), draw(self.probe), draw(self.rest), draw(self.bare), self.tokens)


def synthetic(rng: np.random.Generator, groups: int = 200, steps: int = 64) -> Noise:
    """One prefill 30 times as long as a decode, heavy tails, bursts of milliseconds, drift shared within a group."""
    level = np.r_[30.0, np.ones(steps - 1)]
    drift = 1 + 0.05 * rng.standard_normal((1, groups, 1))

    def of(mean_ns: float) -> NDArray[np.float64]:
        noise = 1 + 0.02 * rng.standard_t(3, (len(ARMS), groups, steps))
        bursts = (rng.random(noise.shape) < 0.005) * rng.exponential(1e6, noise.shape)
        return np.round(mean_ns * level * drift * np.maximum(noise, 0.1) + bursts)

    probe, rest, around = of(40_000), of(100_000), of(800_000)
    return Noise(probe + rest, probe, around, of(940_000), [1024] + [32] * (steps - 1))


def of_run(name: str) -> Noise:
    """The noise of a committed run: each arm's times, less what it differs from the baseline in the median."""
    records = read_run(REFERENCE / name)
    rows, run = records.columns, records.run
    names = [arm for arm in run["arms_measured"] if not arm.startswith("planted")]

    def of(probed: bool, *columns: str) -> NDArray[np.float64]:
        found = []
        for arm in names:
            here = (rows["arm"] == arm) & (rows["probed"] == probed)
            order = np.lexsort((rows["step"][here], rows["group"][here]))
            values = sum(np.asarray(rows[column], dtype=np.float64)[here][order] for column in columns)
            found.append(np.reshape(values, (-1, run["steps"]["count"])))
        times = np.stack(found)
        return np.round(times - np.median(times - times[names.index("list")], axis=1, keepdims=True))

    scope, step = of(True, "scope.total_ns"), of(True, "execute_ns", "sample_ns")
    probe = of(True, f"{PROBE}.total_ns")
    return Noise(scope, probe, step - scope, of(False, "execute_ns", "sample_ns"), run["steps"]["num_tokens"])


def records_of(noise: Noise, planted: Callable[[Noise, int], None] | None = None) -> Records:
    """The records of a run with this noise; `planted(noise, arm)` changes the second arm's times in place."""
    arms, groups, steps = noise.scope.shape
    names = [*(ARMS[:-1] + list(map(str, range(arms))))[: arms - 1], AA]
    noise = copy.deepcopy(noise)
    if planted is not None:
        planted(noise, 1)
    group, step = (each.ravel() for each in np.indices((groups, steps)))
    zeros = np.zeros(groups * steps, dtype=np.int64)
    parts: dict[str, list[Any]] = {}
    for index, name in enumerate(names):
        scope, probe, rest, bare = (each[index].ravel() for each in (noise.scope, noise.probe, noise.rest, noise.bare))
        for probed in (True, False):
            of_scope = {"calls": zeros + 1, "total_ns": scope, "self_ns": scope - probe, "nested_calls": zeros + 1}
            of_probe = {"calls": zeros + 1, "total_ns": probe, "self_ns": probe, "nested_calls": zeros}
            columns = {
                "arm": np.array([name] * len(zeros), dtype=object), "probed": zeros == (0 if probed else 1),
                "group": group, "step": step, "pass": group * 2 * arms + 2 * index + probed,
                "execute_ns": scope + rest if probed else bare, "sample_ns": zeros, "begin_ns": zeros,
                "gc_collections": zeros, "page_faults": zeros, "involuntary_switches": zeros,
                **{f"scope.{key}": values * probed for key, values in of_scope.items()},
                **{f"{PROBE}.{key}": values * probed for key, values in of_probe.items()},
            }  # fmt: skip
            for key, values in columns.items():
                parts.setdefault(key, []).append(values)
    run = make_run(arms_measured=names)
    run["config"]["arms"] = [{"name": name} for name in names if name != AA]
    run["config"]["probes"] = [PROBE]
    run["calibration"] = {"inside_ns": 0.0, "outside_ns": 0.0, "spread_ns": 0.0}
    run["equality"] = {name: {"equal": True, "reason": ""} for name in names}
    prefills = [int(tokens > 2 * min(noise.tokens)) for tokens in noise.tokens]
    run["steps"] = {"count": steps, "num_reqs": [1] * steps, "num_tokens": noise.tokens, "num_prefills": prefills}
    return Records(run, {key: np.concatenate(values) for key, values in parts.items()})
