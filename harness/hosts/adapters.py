"""LoRA adapters with random weights, made in a worker that has vLLM's LoRA manager (vllm/lora/worker_manager.py).

vLLM makes adapters of zeros to warm up; ours are those, filled. They are loaded before a request asks for them, so no
file is ever read, and as many fit as the engine has slots, so they stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import HostError
from harness.hosts.weights import fill

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["load_adapters"]


def load_adapters(runner: Any, adapters: Iterable[tuple[int, int]], seed: int) -> None:
    """Make and load adapters, as far as they are not there.

    Args:
        runner: vLLM's model runner.
        adapters: number and rank of each.
        seed: of the weights, beside the adapter's number and the module's name.

    Raises:
        HostError: the engine takes no adapters, or has no module that could have one.
    """
    manager = getattr(runner, "lora_manager", None)
    if manager is None:
        raise HostError("this engine takes no LoRA adapters: set engine.enable_lora: true")
    inner = manager._adapter_manager
    for number, rank in adapters:
        if number in manager.list_adapters():
            continue
        adapter = inner.create_dummy_lora(number, rank, manager.embedding_modules)
        if not adapter.loras:
            raise HostError(f"{type(runner.get_model()).__name__} has no module that could have a LoRA adapter")
        for module, weights in adapter.loras.items():
            for part in ("lora_a", "lora_b"):
                held = getattr(weights, part)
                for index, tensor in enumerate(held if isinstance(held, list) else [held]):
                    if tensor is not None:
                        fill(f"{module}.{index}.{part} of adapter {number}", tensor, seed)
        inner.add_adapter(adapter)
        inner.activate_adapter(number)
