"""What is installed, and runs at launch grain whose engines are played."""

from __future__ import annotations

from typing import Any

import pytest

from harness.config.file import load
from harness.records.folder import RunFolder
from harness.running.arm_launches import ArmLaunches
from harness.running.changed import prepare
from tests.running.played import CONFIG, OUTPUT, STATE, TABLE, Process


@pytest.fixture
def root(tmp_path):
    """What is installed."""
    package = tmp_path / "site-packages/vllm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "table.py").write_text(TABLE)
    (package / "output.py").write_text(OUTPUT)
    return package.parent


@pytest.fixture
def launches(tmp_path, root, monkeypatch):
    def make(
        *overrides: str, patch: str = STATE, config: str = CONFIG, resumed: Any = None, **ends: str
    ) -> ArmLaunches:
        monkeypatch.setattr("harness.running.arm_launches.LAUNCH_S", 0.01)
        monkeypatch.setattr(Process, "started", [], raising=False)
        monkeypatch.setattr(Process, "ends", {name.removeprefix("n"): end for name, end in ends.items()}, raising=False)
        (tmp_path / "config.yaml").write_text(config)
        (tmp_path / "state.patch").write_text(patch)
        loaded = load(tmp_path / "config.yaml", overrides)
        given = [str(tmp_path / "config.yaml"), *(word for each in overrides for word in ("--set", each))]
        told: list[str] = []
        folder = RunFolder(tmp_path / "run") if resumed is None else RunFolder.resumed(tmp_path / "run")
        made = ArmLaunches(
            loaded, folder, given, ["harness", "run"], lambda *_: None, start=Process,
            prepared=prepare(loaded, tmp_path / "run/changes", root), why=["state: vllm.table: why"], note=told.append,
            root=root, before=resumed or {},
        )  # fmt: skip
        made.told = told  # type: ignore[attr-defined]
        return made

    return make
