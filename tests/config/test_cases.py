"""The cases: each config loads at each of its points, its changes fit the installed vLLM, and its page names it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

from harness.changes import sources
from harness.config.file import load
from harness.config.sweep import points_of
from harness.running.foreseen import foresee

CASES = sorted(Path("configs/cases").glob("*.yaml"))
PAGE = Path("docs/cases.md")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_can_start(path, tmp_path) -> None:
    loaded = load(path)
    assert loaded.experiment.title
    points_of(loaded)
    foresee(loaded)
    root = Path(importlib.util.find_spec("vllm").origin).parents[1]
    for arm in loaded.experiment.arms:
        if arm.patch:
            fitted = sources.from_patch(path.parent / arm.patch, root, tmp_path / arm.name, revert=arm.revert)
            assert fitted.files


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_is_bounded_and_explained(path) -> None:
    command = f"python -m harness run {path}"
    assert f"#   {command}\n" in path.read_text()
    assert command in PAGE.read_text()
    config = yaml.safe_load(path.read_text())
    assert config["protocol"]["seconds"] <= 45, "a case runs in two minutes"
    assert all(len(values) <= 4 for values in config.get("sweep", {}).values()), "each point takes its time"


def test_every_patch_of_the_cases_is_an_arm() -> None:
    used = {
        (path.parent / (arm.patch or arm.reference.partition(":")[0])).resolve()
        for path in CASES
        for arm in load(path).experiment.arms
        if arm.patch or arm.reference
    }
    assert {file.resolve() for file in Path("patches/cases").iterdir() if file.suffix in (".patch", ".py")} == used
