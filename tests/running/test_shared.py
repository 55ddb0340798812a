"""Which points of a sweep one engine can serve, by what it would be started with."""

from __future__ import annotations

from typing import Any

import pytest

from harness.config.file import load
from harness.config.sweep import points_of
from harness.running.shared import SharedEngine, by_engine, engine_arguments
from tests.conftest import LIST_ONLY


@pytest.fixture
def points(tmp_path):
    def of(sweep: str, text: str = LIST_ONLY) -> Any:
        path = tmp_path / "config.yaml"
        path.write_text(f"{text}\nsweep: {{{sweep}}}\n")
        return points_of(load(path))

    return of


@pytest.mark.parametrize(
    ("sweep", "together"),
    [
        ("workload.requests: [1, 2, 3]", [[1, 2, 3]]),
        ("engine.block_size: [16, 32]", [[1], [2]]),
        ("host.threads: [1, 2]", [[1], [2]]),
        ("protocol.launches: [1, 3, 4]", [[1], [2], [3]]),  # launches start engines of their own
    ],
)
def test_points_share_an_engine_where_it_would_be_started_alike(points, sweep, together) -> None:
    assert [[point.number for point in engine] for engine in by_engine(points(sweep))] == together


def test_an_engine_is_started_with_what_the_workload_needs_and_what_the_config_says(tmp_path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    path = tmp_path / "config.yaml"
    path.write_text(LIST_ONLY)
    said = ["engine.model=./model", "engine.block_size=16"]
    plain = engine_arguments(load(path, said))
    assert plain["model"] == str(tmp_path / "model")
    assert plain["block_size"] == 16
    texts = engine_arguments(load(path, [*said, "workload.sampling={detokenize: true}"]))
    assert texts == {**plain, "skip_tokenizer_init": False}


def test_runs_in_another_environment_share_no_engine(points) -> None:
    of_v0 = points("workload.requests: [1, 2]", f"{LIST_ONLY}host: {{kind: vllm_v0}}\n")
    assert [[point.number for point in engine] for engine in by_engine(of_v0)] == [[1], [2]]


def test_an_engine_that_never_came_is_no_trouble_to_stop() -> None:
    shared = SharedEngine(info=object())
    shared.stop()
    assert shared.info is None
