"""What a config asks of its requests that this vLLM, on this device, cannot serve: said by name before the start."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, in_line
from harness.hosts.needs import needed_arguments
from harness.hosts.tokenizer import lacks_tokenizer, vocabulary_of

if TYPE_CHECKING:
    from harness.config.experiment import Experiment

__all__ = ["check_servable"]


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
    if sampling.json_schema is not None:
        _check_schema(sampling.json_schema)
    if lacks_tokenizer({**needed_arguments(experiment.workload), **engine, "model": model}):
        vocabulary_of(json.loads((Path(model) / "config.json").read_text(encoding="utf-8")))


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
