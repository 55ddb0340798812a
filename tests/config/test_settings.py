"""The settings: each config loads, goes to launch grain by itself, and is valid at each of its arms."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.file import load
from harness.config.settings import at_arm
from harness.running.foreseen import foresee
from harness.seams import NATIVE

SETTINGS = sorted(Path("configs/settings").glob("*.yaml"))


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_a_setting_can_start(path) -> None:
    loaded = load(path)
    assert f"#   python -m harness run {path}\n" in path.read_text()
    assert foresee(loaded).launch
    for arm in loaded.experiment.arms:
        assert arm.setting is (arm.name != NATIVE)
        at = at_arm(loaded, arm).experiment
        assert {key: at.engine[key] for key in arm.engine} == arm.engine
        assert {key: getattr(at.host, key) for key in arm.host} == arm.host


def test_there_are_settings() -> None:
    assert {path.stem for path in SETTINGS} >= {"threads", "hash", "block_size"}
