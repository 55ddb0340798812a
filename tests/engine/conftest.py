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

LONGEST = ("test_launch_grain", "test_historic", "test_fleet", "test_gpu_code", "test_ray_executor", "test_profile")
"""Files of long tests: begun first, so that where several tests run at once the last ones are short."""

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


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several workers run tests at once: one has all engines of its own process; long tests come first."""
    for item in items:
        if _starts_in_process(item):
            item.add_marker(pytest.mark.xdist_group("engines of this process"))
        elif item.path.stem == "test_gpu_code":
            item.add_marker(pytest.mark.xdist_group("Triton's interpreter"))
    items.sort(key=_place)


def _starts_in_process(item: pytest.Item) -> bool:
    return "host" in item.fixturenames or item.path.stem == "test_workload"


def _place(item: pytest.Item) -> int:
    """Long tests, then those of one process, then other engines, and at last what starts none."""
    if item.path.stem in LONGEST and not _starts_in_process(item):
        return LONGEST.index(item.path.stem)
    return len(LONGEST) + (not _starts_in_process(item)) + (item.get_closest_marker("engine") is None)


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
