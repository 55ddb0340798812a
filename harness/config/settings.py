"""Arms that are settings: what an engine is started with otherwise, as keys of the config.

arms:
- two_threads: {host: {threads: 2}}
- xxhash: {engine: {prefix_caching_hash_algo: xxhash}}
- no_fusion: {env: {VLLM_SOMETHING: 0}}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from harness.config.file import Loaded, changed
from harness.errors import ConfigError, in_line
from harness.seams import NATIVE

if TYPE_CHECKING:
    from harness.config.arms import Arm
    from harness.config.experiment import Experiment

__all__ = ["at_arm", "not_switched", "options_of", "told_of", "values_of"]

THREADS: Final = ("OMP_NUM_THREADS", "VLLM_CPU_OMP_THREADS_BIND")
"""Variables that `host.threads` sets, and without which the others have no effect in vLLM's CPU worker."""
LONGEST: Final = 60
"""Characters of a value that is told."""


def values_of(experiment: Experiment, arm: Arm) -> dict[str, Any]:
    """The keys of the config that an arm sets, with their values; none where it is no setting."""
    values: dict[str, Any] = {f"engine.{key}": value for key, value in arm.engine.items()}
    values |= {f"host.{key}": value for key, value in arm.host.items()}
    if arm.env:
        values["host.env"] = {**experiment.host.env, **arm.host.get("env", {}), **arm.env}
    return values


def options_of(experiment: Experiment, arm: Arm) -> list[str]:
    """What `--set` takes, so that `harness run` starts the engine as the arm says."""
    return [f"{key}={json.dumps(value)}" for key, value in values_of(experiment, arm).items()]


def told_of(arm: Arm) -> str:
    """What an arm sets, for people; empty where it is no setting."""
    values = {f"engine.{key}": value for key, value in arm.engine.items()}
    values |= {f"host.{key}": value for key, value in arm.host.items()}
    texts = [f"{key}={in_line(json.dumps(value), LONGEST)}" for key, value in values.items()]
    texts += [f"{name}={in_line(value, LONGEST)}" for name, value in arm.env.items()]
    return ", ".join([*texts, *([f"vllm={arm.vllm}"] if arm.vllm else [])])


def not_switched(experiment: Experiment) -> dict[str, Any]:
    """Keys of the config with the values that they have where nothing is switched in a living engine.

    A probe that is short for what the seam swaps goes with the seam.
    """
    probes = [probe for probe in experiment.probes if not (experiment.seam and probe == experiment.swapped)]
    return {"seam": "", "swap": "", "baseline": NATIVE, "protocol.exposed": False, "probes": probes}


def at_arm(loaded: Loaded, arm: Arm) -> Loaded:
    """The config of one arm that is a setting, with native alone in it.

    Raises:
        ConfigError: it is not valid there.
    """
    values = values_of(loaded.experiment, arm)
    threads = arm.host.get("threads", loaded.experiment.host.threads)
    if threads is not None and (taken := [name for name in THREADS if name in arm.env]):
        raise ConfigError(f"env: {taken[0]} is what host.threads sets: write host: {{threads: N}}, or threads: null")
    try:
        alone = {"arms": [{"name": NATIVE}], "protocol.grain": "step", "sweep": {}}
        return changed(loaded, {**not_switched(loaded.experiment), **alone, **values})
    except ConfigError as error:
        raise ConfigError("; ".join(str(fault).removeprefix(f"{loaded.path}:1: ") for fault in error.args)) from error
