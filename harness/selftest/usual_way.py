"""How small a difference the usual way resolves: one launch with each implementation, and their figures compared.

Two ways of that kind are measured, with the same delay planted: two launches of vLLM's own latency benchmark
(`vllm.benchmarks.latency`, ten iterations each), and two runs of harness with one arm each. Beside them stands the
paired way: both arms in one launch. Each is repeated, since a single result does not show its own spread, and all are
summed up alike: the spread between launches is in every figure. The benchmark needs another vocabulary, so it has a
paired run on the same engine as its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import stats

from harness.analysis.measured import arm_values
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.statistics import typical_sum
from harness.analysis.summarise import summarise
from harness.children import begin_as_child
from harness.errors import ConfigError, HostError
from harness.hosts.starting import resolve_model
from harness.hosts.vllm_settings import ENGINE_DEFAULTS, EXTENSION, engine_environment
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.records.folder import read_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.config.experiment import Experiment
    from harness.config.file import Loaded

__all__ = [
    "ITERATIONS",
    "PLANTED_US",
    "Pairs",
    "check_fit",
    "latency_pairs",
    "paired_launches",
    "separate_run_pairs",
    "vocabulary",
]

ITERATIONS: Final = 10
PLANTED_US: Final = 20.0
"""The delay that is planted in one launch of each pair; the other one has a planted 0."""
VOCABULARY: Final = 16384
"""vLLM's latency benchmark draws token ids up to 10,000."""


@dataclass(frozen=True)
class Pairs:
    """One way, repeated: the difference a step that each pair of launches (or paired launch) gave, and its time."""

    way: str
    differences_us: list[float]
    seconds_a_pair: float

    @property
    def resolves_us(self) -> float:
        """95 % half-width of what a single one gives: Student's t on the spread of all."""
        count = len(self.differences_us)
        return float(stats.t.ppf(0.975, count - 1) * np.std(self.differences_us, ddof=1))


def check_fit(loaded: Loaded) -> None:
    """Whether a config can be measured in the usual way as well.

    Raises:
        ConfigError: it cannot, since vLLM's latency benchmark serves requests that are all alike.
    """
    try:
        for key in ("prompt_tokens", "output_tokens"):
            _constant(loaded.experiment, key)
        if not isinstance(loaded.experiment.engine.get("hf_overrides", {}), dict):
            raise ConfigError("engine.hf_overrides: --usual-way sets a vocabulary in it, so it must be a mapping")
    except ConfigError as error:
        raise ConfigError(loaded.place(str(error))) from error


def latency_pairs(loaded: Loaded, folder: Path, pairs: int, announce: Callable[[str], None]) -> Pairs:
    """Pairs of launches of vLLM's latency benchmark on the config's engine and workload.

    Raises:
        HostError: a launch failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    differences, seconds = [], []
    for pair in range(pairs):
        began, steps_us = time.monotonic(), {}
        for delay_us in _in_turn(pair):
            announce(f"vLLM's latency benchmark, pair {pair + 1} of {pairs}, planted {delay_us:g} us")
            path = folder / f"latency-{pair}-{delay_us:g}.json"
            spec = _latency_spec(loaded, delay_us, path)
            path.with_suffix(".spec.json").write_text(json.dumps(spec, indent=2), encoding="utf-8")
            command = [sys.executable, "-m", "harness.hosts.vllm_latency", str(path.with_suffix(".spec.json"))]
            _run(command, folder / f"latency-{pair}-{delay_us:g}.log", {**os.environ, **spec["environment"]})
            average_s = json.loads(path.read_text(encoding="utf-8"))["avg_latency"]
            steps_us[delay_us] = average_s * 1e6 / _output_tokens(loaded.experiment)
        differences.append(steps_us[PLANTED_US] - steps_us[0.0])
        seconds.append(time.monotonic() - began)
    return Pairs("vllm.benchmarks.latency", differences, float(np.mean(seconds)))


def separate_run_pairs(
    loaded: Loaded,
    overrides: Sequence[str],
    folder: Path,
    pairs: int,
    seconds_each: float,
    announce: Callable[[str], None],
) -> tuple[Pairs, Pairs]:
    """Pairs of harness runs with one arm each: by the scope, and by the whole step.

    `overrides` are those (`--set`) that `loaded` was loaded with.

    Raises:
        HostError: a launch failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    in_scope, in_step, seconds = [], [], []
    for pair in range(pairs):
        began, scope_us, step_us = time.monotonic(), {}, {}
        for delay_us in _in_turn(pair):
            announce(f"a harness run of one arm, pair {pair + 1} of {pairs}, planted {delay_us:g} us")
            out = folder / f"run-{pair}-{delay_us:g}"
            sets = [*overrides, "protocol.launches=1", f"protocol.seconds={seconds_each}", f"protocol.seed={pair}"]
            _planted_run(loaded, sets, [delay_us], out)
            found = summarise(read_run(out)).arms[_name(delay_us)]
            scope_us[delay_us] = found.corrected_scope_ns / found.steps / 1e3
            step_us[delay_us] = (found.bare_step_ns or found.step_ns) / found.steps / 1e3
        in_scope.append(scope_us[PLANTED_US] - scope_us[0.0])
        in_step.append(step_us[PLANTED_US] - step_us[0.0])
        seconds.append(time.monotonic() - began)
    pair_s = float(np.mean(seconds))
    return Pairs("harness, one arm a run, scope", in_scope, pair_s), Pairs(
        "harness, one arm a run, step", in_step, pair_s
    )


def paired_launches(
    loaded: Loaded,
    overrides: Sequence[str],
    folder: Path,
    launches: int,
    seconds_each: float,
    announce: Callable[[str], None],
) -> tuple[Pairs, Pairs]:
    """Launches with both arms in each, paired step by step: by the scope, and by the whole step.

    `overrides` are those (`--set`) that `loaded` was loaded with.

    Raises:
        HostError: a launch failed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    announce(f"{launches} launches with both arms in each")
    began = time.monotonic()
    sets = [*overrides, f"protocol.launches={launches}", f"protocol.seconds={seconds_each}"]
    _planted_run(loaded, sets, [0.0, PLANTED_US], folder)
    launch_s = (time.monotonic() - began) / launches
    found: dict[str, list[float]] = {SCOPE: [], STEP: []}
    for launch in read_run(folder).launches:
        values = arm_values(launch, [])
        for metric, differences in found.items():
            difference = values[_name(PLANTED_US)][metric] - values[_name(0.0)][metric]
            differences.append(float(typical_sum(difference)) / difference.shape[1] / 1e3)
    return Pairs("    paired, scope", found[SCOPE], launch_s), Pairs("    paired, step", found[STEP], launch_s)


def vocabulary(experiment: Experiment) -> str:
    """The override (`--set`) that gives a config the engine that vLLM's latency benchmark needs."""
    return f"engine.hf_overrides={json.dumps(_with_vocabulary(experiment))}"


def _with_vocabulary(experiment: Experiment) -> dict[str, Any]:
    return {**experiment.engine.get("hf_overrides", {}), "vocab_size": VOCABULARY}


def _planted_run(loaded: Loaded, overrides: Sequence[str], delays_us: Sequence[float], out: Path) -> None:
    """Run the config with its baseline under these delays as the arms, the first of them as the baseline."""
    arms = [{"name": _name(delay), "reference": _reference(loaded), "delay_us": delay} for delay in delays_us]
    sets = [
        *overrides, "protocol.until=null", "protocol.counters=false",
        f"arms={json.dumps(arms)}", f"baseline={arms[0]['name']}",
    ]  # fmt: skip
    command = [sys.executable, "-m", "harness", "run", str(loaded.path), "--out", str(out)]
    _run([*command, *(word for each in sets for word in ("--set", each))], out.with_suffix(".log"), None)


def _name(delay_us: float) -> str:
    return f"planted_{delay_us:g}"


def _in_turn(pair: int) -> tuple[float, float]:
    return (0.0, PLANTED_US) if pair % 2 == 0 else (PLANTED_US, 0.0)


def _reference(loaded: Loaded) -> str:
    experiment = loaded.experiment
    return loaded.whole(next(arm.reference for arm in experiment.arms if arm.name == experiment.baseline))


def _output_tokens(experiment: Experiment) -> int:
    return _constant(experiment, "output_tokens")


def _constant(experiment: Experiment, key: str) -> int:
    length = getattr(getattr(experiment.workload, key, None), "constant", None)
    if length is None:
        raise ConfigError(f"workload.{key}: vLLM's latency benchmark needs a constant number; give one")
    return int(length)


def _latency_spec(loaded: Loaded, delay_us: float, output_json: Path) -> dict[str, Any]:
    experiment = loaded.experiment
    model = resolve_model(str(experiment.engine["model"]), loaded.folder)
    requests = getattr(experiment.workload, "requests", None)
    arm = ArmSpec("arm", _reference(loaded), round(delay_us * 1000))
    return {
        "instrumentation": Instrumentation(
            experiment.seam, [arm], [], experiment.scope, swap=experiment.swap
        ).as_dict(),
        "environment": engine_environment(experiment.host, {**experiment.engine, "model": model}),
        "engine_args": {
            **ENGINE_DEFAULTS, **experiment.engine, "model": model, "hf_overrides": _with_vocabulary(experiment),
            "worker_extension_cls": EXTENSION,
        },
        "arguments": [
            *("--input-len", str(_constant(experiment, "prompt_tokens"))),
            *("--output-len", str(_output_tokens(experiment)), "--batch-size", str(requests)),
            *("--num-iters", str(ITERATIONS), "--num-iters-warmup", str(ITERATIONS), "--disable-detokenize"),
            *("--output-json", str(output_json)),
        ],
        "output_json": str(output_json),
    }  # fmt: skip


def _run(command: list[str], log: Path, environment: dict[str, str] | None) -> None:
    with log.open("wb") as file:
        done = subprocess.run(  # noqa: S603
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False, preexec_fn=begin_as_child
        )
    if done.returncode:
        raise HostError(f"a launch failed with status {done.returncode}; its log: {log}")
