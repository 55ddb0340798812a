"""The real vLLM: started once in this process and shared; the command line starts its own where a test needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.config.experiment import Host as HostConfig
from harness.hosts.starting import resolve_model
from harness.hosts.vllm import VllmHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.hosts.base import HostInfo

CONFIG = Path("configs/slot_mapping.yaml")

ENGINE = {
    "load_format": "scaled_dummy",
    "enforce_eager": True,
    "max_model_len": 256,
    "max_num_seqs": 8,
    "max_num_batched_tokens": 64,  # prompts come in chunks
    "block_size": 32,
    "kv_cache_memory_bytes": 2**24,
    "seed": 0,
}


class SharedHost(VllmHost):
    """Starts when first asked, and stops only when the tests are over."""

    info: HostInfo | None = None

    def start(self) -> HostInfo:
        if self.info is None:
            self.info = super().start()
        return self.info

    def stop(self) -> None:
        """Stay for the next test."""

    def stop_for_good(self) -> None:
        super().stop()


@pytest.fixture(scope="session")
def host() -> Iterator[SharedHost]:
    model = resolve_model("models/one-layer-llama", CONFIG.parent)
    shared = SharedHost(HostConfig(model_runner="v1"), {"model": model, **ENGINE})
    shared.start()
    yield shared
    shared.stop_for_good()


@dataclass
class Silent:
    """An observer that does not mind."""

    def note(self, text: str) -> None: ...

    def stage(self, name: str, passes: int, seconds: float | None = None) -> None: ...

    def advance(self) -> None: ...


@pytest.fixture
def silent() -> Silent:
    return Silent()
