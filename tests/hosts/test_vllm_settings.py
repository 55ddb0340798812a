"""What vLLM is started with beside what the config says."""

from __future__ import annotations

import pytest

from harness.config.experiment import Host
from harness.hosts import vllm_settings
from harness.hosts.vllm_settings import IN_PROCESS, executor_default

ENGINE = {"model": "somewhere"}


@pytest.mark.parametrize(
    ("version", "moved"),
    [("0.17.1", False), ("0.18.0", True), ("0.20.2", True), ("0.25.1", True), ("0.26.0", False), ("0.32.0", False)],
)
def test_a_release_that_would_move_the_worker_is_told_its_executor(monkeypatch, version, moved) -> None:
    """Else the turns of the engine core, which is then another process than the worker, could not be timed."""
    monkeypatch.setattr(vllm_settings, "installed", lambda: ("cpu", version))
    assert executor_default(Host(), ENGINE) == ({"distributed_executor_backend": IN_PROCESS} if moved else {})


def test_it_is_told_nothing_where_the_worker_is_not_to_be_in_process(monkeypatch) -> None:
    monkeypatch.setattr(vllm_settings, "installed", lambda: ("cpu", "0.20.2"))
    assert executor_default(Host(), ENGINE)
    assert executor_default(Host(process="subprocess"), ENGINE) == {}
    assert executor_default(Host(), {**ENGINE, "distributed_executor_backend": "mp"}) == {}
    assert executor_default(Host(), {**ENGINE, "tensor_parallel_size": 2}) == {}
    assert executor_default(Host(), {**ENGINE, "pipeline_parallel_size": 2}) == {}
    monkeypatch.setattr(vllm_settings, "installed", lambda: ("cuda", "0.20.2"))
    assert executor_default(Host(), ENGINE) == {}
    monkeypatch.setattr(vllm_settings, "installed", lambda: (None, ""))
    assert executor_default(Host(device="cpu"), ENGINE) == {}
