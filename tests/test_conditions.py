"""What is told of functions that most workloads never reach names functions that vLLM has."""

from __future__ import annotations

import re

import pytest

from harness.conditions import _CONDITIONS, condition_of, with_condition
from harness.running.changed import installed_root

SWAP = "vllm.v1.worker.gpu_input_batch.InputBatch.swap_states"


@pytest.mark.parametrize("beginning", [beginning for beginning, _ in _CONDITIONS])
def test_each_beginning_is_that_of_something_in_vllm(beginning) -> None:
    place, names = installed_root() / "vllm", beginning.split(".")
    while names and (place / names[0]).is_dir():
        place /= names.pop(0)
    if names in ([], [""]):
        return
    files = [file for file in place.iterdir() if file.name.startswith(names[0])]
    assert files, f"nothing in {place} begins with {names[0]}"
    text = "\n".join(file.read_text() for file in files if file.is_file() and file.suffix == ".py")
    for name in names[1:]:
        assert re.search(rf"^\s*(def|class) {name}", text, re.MULTILINE), name


def test_the_narrower_stands_before_the_wider() -> None:
    beginnings = [beginning for beginning, _ in _CONDITIONS]
    for index, wider in enumerate(beginnings):
        assert not [narrower for narrower in beginnings[index + 1 :] if narrower.startswith(wider)]


def test_a_condition_stands_behind_the_name() -> None:
    assert with_condition(SWAP, "swap_states") == (
        "swap_states (vLLM calls it where the attention backend sorts decodes before prefills)"
    )
    assert with_condition("vllm.v1.engine.core.EngineCore.step", "step") == "step"
    assert condition_of("mine.swap_states") == ""
