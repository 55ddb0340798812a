"""What a config asks of its requests that this vLLM, on this device, cannot serve: said by name before the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import ConfigError

if TYPE_CHECKING:
    from harness.config.experiment import Experiment

__all__ = ["check_servable"]


def check_servable(experiment: Experiment, build: str) -> None:
    """Check what is known of a build of vLLM.

    Args:
        experiment: the config.
        build: `cpu` or `cuda`.

    Raises:
        ConfigError: the engine would start, and raise in the middle of a pass.
    """
    sampling, engine = experiment.workload.sampling, experiment.engine
    if build == "cpu" and sampling.seed is not None and engine.get("enable_chunked_prefill") is not False:
        # GPUModelRunner._bookkeeping_sync takes back what a chunk drew: "CPU Generator does not use offset".
        raise ConfigError(
            "workload.sampling.seed: on a CPU vLLM cannot draw by seed where a prompt comes in chunks: set "
            "engine.enable_chunked_prefill: false, and max_num_batched_tokens to no less than max_model_len"
        )
