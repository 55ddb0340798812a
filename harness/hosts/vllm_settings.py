"""What harness starts vLLM with, beside what the config says: engine arguments and environment variables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.environments.code import installed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.config.experiment import Host as HostConfig

__all__ = ["ENGINE_DEFAULTS", "EXECUTOR", "EXTENSION", "engine_environment", "executor_default", "on_cpu", "on_ray"]

EXTENSION: Final = "harness.hosts.vllm_worker.WorkerExtension"
ENGINE_DEFAULTS: Final[dict[str, Any]] = {
    "skip_tokenizer_init": True,  # prompts are token ids
    "enable_prefix_caching": False,  # or the second pass would do other work than the first
    "disable_log_stats": True,
}
"""Engine arguments that are set where the config does not say otherwise."""
EXECUTOR: Final = "distributed_executor_backend"
"""The engine argument that says who starts vLLM's workers."""
IN_PROCESS: Final = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
"""vLLM's executor of a worker in the engine core's own process, by its import path."""
MOVED: Final = ("0.18.0", "0.26.0")
"""Releases from the first to before the second may put a CPU's one worker into a process of its own, even where the
engine is to be in process: 0.20.2 does (vllm/platforms/cpu.py), and 0.17.1 and 0.26.0 do not. They turn the executor
"uni" into "mp", and leave one that is given by its import path as it is."""


def engine_environment(host: HostConfig, engine: dict[str, Any]) -> dict[str, str]:
    """The environment variables that the engine is started with; they must be set before torch is imported."""
    env = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0" if host.process == "in_process" else "1",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if host.model_runner != "auto":
        env["VLLM_USE_V2_MODEL_RUNNER"] = "1" if host.model_runner == "v2" else "0"
    if Path(str(engine["model"])).is_dir():
        env["HF_HUB_OFFLINE"] = "1"
    if host.threads is not None and on_cpu(host):
        ranks = int(engine.get("tensor_parallel_size", 1)) * int(engine.get("pipeline_parallel_size", 1))
        cores = sorted(os.sched_getaffinity(0))[-host.threads :]
        env["OMP_NUM_THREADS"] = str(host.threads)
        env["VLLM_CPU_OMP_THREADS_BIND"] = "nobind" if ranks > 1 else ",".join(map(str, cores))
    return {**env, **host.env}


def executor_default(host: HostConfig, engine: Mapping[str, Any]) -> dict[str, str]:
    """The executor by which a release keeps a CPU's one worker in process, where it otherwise would not."""
    from packaging.version import Version

    since, before = map(Version, MOVED)
    ranks = int(engine.get("tensor_parallel_size", 1)) * int(engine.get("pipeline_parallel_size", 1))
    asked = host.process == "in_process" and ranks == 1 and EXECUTOR not in engine
    moved = (version := installed()[1]) and since <= Version(version) < before
    return {EXECUTOR: IN_PROCESS} if asked and moved and on_cpu(host) else {}


def on_cpu(host: HostConfig) -> bool:
    """Whether the engine computes on the CPU: as the config says, or as the installed build does."""
    return host.device == "cpu" or (host.device == "auto" and installed()[0] == "cpu")


def on_ray(engine: Mapping[str, Any]) -> bool:
    """Whether vLLM's workers are to be started by Ray, by the executor's short name or by its class's own."""
    return str(engine.get(EXECUTOR)).rpartition(".")[2].lower().startswith("ray")
