"""vLLM 0.5.4's own worker and executor, started without a GPU; vLLM makes them by their names.

To be imported after `substitutes.import_vllm`.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from vllm.distributed import ensure_model_parallel_initialized, init_distributed_environment
from vllm.executor.gpu_executor import GPUExecutor
from vllm.model_executor import set_random_seed
from vllm.worker.worker import Worker

from harness.hosts.weights import fill

__all__ = ["CpuExecutor", "CpuWorker"]

SWAP_BLOCKS: Final = 16
"""Only groups of several sequences are swapped out; a single one that is preempted is computed again."""


class CpuWorker(Worker):  # type: ignore[misc]  # vLLM is not followed by mypy
    """Prepares inputs as vLLM's worker does, without a GPU, profiling or graphs."""

    def init_device(self) -> None:
        """Take the device from the engine's arguments; set up a process group of one."""
        self.device = self.device_config.device
        init_distributed_environment(
            self.parallel_config.world_size, self.rank, self.distributed_init_method, self.local_rank, backend="gloo"
        )
        ensure_model_parallel_initialized(1, 1)
        set_random_seed(self.model_config.seed)

    def load_model(self) -> None:
        """Load it with vLLM's dummy weights, and draw these anew."""
        super().load_model()
        for name, parameter in self.model_runner.model.named_parameters():
            fill(name, parameter.data, self.model_config.seed)

    def determine_num_available_blocks(self) -> tuple[int, int]:
        """As many blocks as the engine's arguments say (`num_gpu_blocks_override`); the others are not used."""
        blocks = self.cache_config.num_gpu_blocks_override
        return int(blocks), SWAP_BLOCKS

    def _warm_up_model(self) -> None:
        """Capture no graph; where vLLM asks for the one of a batch size, it gets the model, and pads the step."""
        if not self.model_config.enforce_eager:
            self.model_runner.graph_runners = [_AnySize(self.model_runner.model)]
        set_random_seed(self.model_config.seed)


class _AnySize(dict[int, torch.nn.Module]):
    """In the place of the captured graphs by batch size: the model itself for each."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self._model = model

    def __missing__(self, batch_size: int) -> torch.nn.Module:
        return self._model


class CpuExecutor(GPUExecutor):  # type: ignore[misc]
    """vLLM's executor for one GPU, with the worker above."""

    def _get_create_worker_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        of_worker: dict[str, Any] = super()._get_create_worker_kwargs(*args, **kwargs)
        return {**of_worker, "worker_module_name": __name__, "worker_class_name": CpuWorker.__name__}
