"""Adapters of random weights, on a manager as vLLM's worker has one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.errors import HostError
from harness.hosts.adapters import load_adapters
from harness.hosts.vllm_requests import adapters_of
from harness.workload.requests import Request


class Manager:
    def __init__(self, modules: tuple[str, ...] = ("layers.0.o_proj", "layers.0.qkv_proj")) -> None:
        self.modules, self.loaded, self.active, self.embedding_modules = modules, {}, [], {}
        self._adapter_manager = self

    def list_adapters(self) -> set[int]:
        return set(self.loaded)

    def create_dummy_lora(self, number: int, rank: int, embedding_modules: dict[str, str]) -> Any:
        pair = lambda: (torch.zeros(rank, 16), torch.zeros(16, rank))  # noqa: E731
        loras = {}
        for name in self.modules:
            a, b = pair()
            packed = "qkv" in name
            loras[name] = SimpleNamespace(lora_a=[a, None] if packed else a, lora_b=[b, None] if packed else b)
        return SimpleNamespace(id=number, loras=loras)

    def add_adapter(self, adapter: Any) -> None:
        assert adapter.id not in self.loaded
        self.loaded[adapter.id] = adapter

    def activate_adapter(self, number: int) -> None:
        self.active.append(number)


def weights(manager: Manager, number: int) -> list[torch.Tensor]:
    held = [part for each in manager.loaded[number].loras.values() for part in (each.lora_a, each.lora_b)]
    return [tensor for part in held for tensor in (part if isinstance(part, list) else [part]) if tensor is not None]


def test_each_adapter_has_weights_of_its_own_and_the_seed_decides() -> None:
    one, again, other = Manager(), Manager(), Manager()
    load_adapters(SimpleNamespace(lora_manager=one), [(1, 8), (2, 8)], seed=0)
    load_adapters(SimpleNamespace(lora_manager=again), [(2, 8)], seed=0)
    load_adapters(SimpleNamespace(lora_manager=other), [(2, 8)], seed=1)
    assert one.active == [1, 2]
    assert len(weights(one, 1)) == 4
    assert all(tensor.std() > 0.1 for tensor in weights(one, 1))
    assert all(map(torch.equal, weights(one, 2), weights(again, 2)))
    assert not any(map(torch.equal, weights(one, 1), weights(one, 2)))
    assert not any(map(torch.equal, weights(one, 2), weights(other, 2)))
    load_adapters(SimpleNamespace(lora_manager=one), [(1, 8)], seed=0)
    assert one.active == [1, 2], "what is there stays as it is"


@pytest.mark.parametrize(
    ("runner", "why"),
    [
        (SimpleNamespace(), "this engine takes no LoRA adapters: set engine.enable_lora: true"),
        (SimpleNamespace(lora_manager=Manager(()), get_model=Manager), "Manager has no module that could have a LoRA"),
    ],
)
def test_an_engine_without_room_for_adapters_is_told(runner, why) -> None:
    with pytest.raises(HostError, match=why):
        load_adapters(runner, [(1, 8)], 0)


def test_requests_without_adapters_are_handed_over_as_ever() -> None:
    assert adapters_of([Request([1], 1), Request([2], 1)]) == {}
