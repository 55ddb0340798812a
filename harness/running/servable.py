"""What a config asks for that this vLLM, on this device, cannot do or would ignore: said by name before the start."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError, in_line
from harness.hosts.needs import needed_arguments
from harness.hosts.tokenizer import lacks_tokenizer, vocabulary_of

if TYPE_CHECKING:
    from harness.config.arms import Arm
    from harness.config.experiment import Experiment

__all__ = ["check_servable", "check_setting"]

XXHASH: Final = "xxhash"
"""The package, and how the hashes begin that need it (vllm/utils/hashing.py)."""


def check_servable(experiment: Experiment, build: str, model: str) -> None:
    """Check what is known of a build of vLLM.

    Args:
        experiment: the config.
        build: `cpu` or `cuda`.
        model: a folder, whose config.json can be read, or a hub's name.

    Raises:
        ConfigError: the engine would not start, or raise in the middle of a pass.
    """
    sampling, engine = experiment.workload.sampling, experiment.engine
    if build == "cpu" and sampling.seed is not None and engine.get("enable_chunked_prefill") is not False:
        # GPUModelRunner._bookkeeping_sync takes back what a chunk drew: "CPU Generator does not use offset".
        raise ConfigError(
            "workload.sampling.seed: on a CPU vLLM cannot draw by seed where a prompt comes in chunks: set "
            "engine.enable_chunked_prefill: false, and max_num_batched_tokens to no less than max_model_len"
        )
    if build == "cpu" and experiment.host.model_runner == "v2" and not _triton_has_a_cpu():
        raise ConfigError(
            "host.model_runner: V2 runners compute their inputs by Triton, which cannot be had on this CPU: set v1, or "
            "run it where there is a GPU"
        )
    algorithm = str(engine.get("prefix_caching_hash_algo", ""))
    if (
        algorithm.startswith(XXHASH)
        and engine.get("enable_prefix_caching")
        and importlib.util.find_spec(XXHASH) is None
    ):
        raise ConfigError(
            f"engine.prefix_caching_hash_algo: {algorithm} needs the package {XXHASH}, which is not installed here and "
            "which vLLM does not bring: install it beside vLLM, or leave it out"
        )
    if sampling.json_schema is not None:
        _check_schema(sampling.json_schema)
    if lacks_tokenizer({**needed_arguments(experiment.workload), **engine, "model": model}):
        vocabulary_of(json.loads((Path(model) / "config.json").read_text(encoding="utf-8")))


def check_setting(experiment: Experiment, arm: Arm, at: Experiment, build: str | None) -> None:
    """Check that an arm's engines will be other than native's.

    Args:
        experiment: the config.
        arm: a setting of it, with the vLLM that is installed.
        at: the config of that arm.
        build: `cpu` or `cuda`; None where that is not known.

    Raises:
        ConfigError: its setting would come to nothing.
    """
    if build == "cpu" and "async_scheduling" in arm.engine:
        # vllm/platforms/cpu.py, check_and_update_config, whatever is asked for
        raise ConfigError(
            "engine.async_scheduling: on a CPU vLLM switches it off by itself, so both engines would be the same: "
            "leave the arm out, or run it where there is a GPU"
        )
    if not arm.change and (at.engine, at.host) == (experiment.engine, experiment.host):
        raise ConfigError("it sets what the config says already, so it would be native once more: set another value")


def _triton_has_a_cpu() -> bool:
    """Whether vLLM takes Triton for usable on a CPU (vllm/triton_utils/importing.py)."""
    if importlib.util.find_spec("triton") is None:
        return False
    from triton.backends import backends  # type: ignore[import-untyped]

    return "cpu" in backends


def _check_schema(schema: dict[str, Any]) -> None:
    key = "workload.sampling.json_schema"
    if importlib.util.find_spec("xgrammar") is None:
        raise ConfigError(f"{key}: there is no xgrammar here, which vLLM keeps texts to a schema with: install it")
    if importlib.util.find_spec("jsonschema") is None:
        return
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path))
        raise ConfigError(f"{key}{where and '.'}{where}: is no JSON schema: {in_line(error.message, 300)}") from error
