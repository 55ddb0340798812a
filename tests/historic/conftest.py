"""vLLM 0.5.4, in the environment that has it; `tests/engine/test_historic.py` calls pytest there.

Importing it takes most of the time, so all tests share one process; an engine of the tiny model starts in a second.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.config.experiment import Host as HostConfig
from harness.hosts.starting import resolve_model
from harness.hosts.v0.substitutes import import_vllm
from harness.hosts.vllm_v0 import VllmV0Host
from harness.workload.requests import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

import_vllm()  # before a test does

CONFIG = Path("configs/historic/slot_mapping.yaml")
MODEL = resolve_model("../models/tiny-llama", CONFIG.parent)
ENGINE: dict[str, Any] = {"model": MODEL, "max_model_len": 256, "max_num_seqs": 32, "enforce_eager": False, "seed": 0}


@contextlib.contextmanager
def started(**engine: Any) -> Iterator[VllmV0Host]:
    host = VllmV0Host(HostConfig(kind="vllm_v0"), {**ENGINE, **engine})
    host.start()
    try:
        yield host
    finally:
        host.stop()


@pytest.fixture(scope="module")
def host() -> Iterator[VllmV0Host]:
    """Padded decodes, whole prompts."""
    with started() as running:
        yield running


def requests(count: int, output_tokens: int = 8, prompt_tokens: int = 20) -> list[Request]:
    return [
        Request([(7 * i + 13 * j) % 1000 + 3 for j in range(prompt_tokens + i)], output_tokens) for i in range(count)
    ]
