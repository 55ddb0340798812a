"""Whether engines can have the executor that a config asks for: vLLM's own one on Ray needs more than the others."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from harness.errors import ConfigError
from harness.hosts.vllm_settings import EXECUTOR, on_cpu, on_ray

if TYPE_CHECKING:
    from harness.config.experiment import Experiment

__all__ = ["check_executor"]

PLATFORMS: Final = "vllm.platform_plugins"
"""Packages that bring vLLM a platform of their own, which may have a device for Ray where vLLM's has none."""


def check_executor(experiment: Experiment) -> None:
    """Check what an engine on Ray needs.

    Raises:
        ConfigError: it would not start, or not end as a run has to.
    """
    if not on_ray(experiment.engine):
        return
    key, host = f"engine.{EXECUTOR}", experiment.host
    if host.kind != "vllm":
        raise ConfigError(f"{key}: {host.kind} runs in one process: leave it out")
    if on_cpu(host) and not entry_points(group=PLATFORMS):
        # vllm/v1/executor/ray_utils.py: "current platform cpu does not support ray"
        raise ConfigError(f"{key}: vLLM's platform for the CPU does not run on Ray: write mp")
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(f"{key}: there is no Ray here: pip install 'harness[ray]', or write mp")
    if host.process != "subprocess":
        raise ConfigError(
            f"{key}: Ray takes the signals of the process that calls it, by which a run is ended: "
            "set host.process: subprocess"
        )
