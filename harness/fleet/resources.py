"""What a block of launches needs of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.config.settings import at_arm
from harness.errors import ConfigError
from harness.hosts.vllm_settings import EXECUTOR, on_cpu, on_ray

if TYPE_CHECKING:
    from harness.config.file import Loaded

__all__ = ["gpus_of"]


def gpus_of(loaded: Loaded) -> int:
    """The GPUs of the largest engine among all arms, which run one after the other; none on a CPU.

    Raises:
        ConfigError: an engine would itself ask Ray for workers, on nodes that are taken.
    """
    most = 0
    for arm in [None, *(arm for arm in loaded.experiment.arms if arm.setting)]:
        experiment = loaded.experiment if arm is None else at_arm(loaded, arm).experiment
        if on_ray(experiment.engine):
            raise ConfigError(f"engine.{EXECUTOR}: launches on a fleet stay on one node, which is taken: write mp")
        if not on_cpu(experiment.host):
            sizes = (experiment.engine.get(f"{kind}_parallel_size", 1) for kind in ("tensor", "pipeline"))
            tensor, pipeline = sizes
            most = max(most, tensor * pipeline)
    return most
