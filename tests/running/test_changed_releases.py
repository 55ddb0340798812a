"""A patch beside a release of vLLM: it is held against that release's files, as soon as they are there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness.analysis.summary import Summary
from harness.config.file import load
from harness.errors import ConfigError
from harness.report.changed import applied_to
from harness.running import changed, foreseen
from harness.running.changed import prepare
from harness.running.foreseen import foresee
from harness.running.grains import choose_grain

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
engine: {model: none}
workload: {requests: 3, prompt_tokens: 6, output_tokens: 5}
arms:
  - plain: {patch: new.patch}
  - both: {patch: old.patch, vllm: 0.31.0}
protocol: {groups: 3, launches: 3}
"""
OLD = "def rows():\n    return 1\n"
NEW = "def rows():\n    return 2\n"


def a_patch(before: str, after: str) -> str:
    return f"--- a/vllm/table.py\n+++ b/vllm/table.py\n@@ -1,2 +1,2 @@\n def rows():\n-{before}\n+{after}\n"


@pytest.fixture
def path(tmp_path) -> Path:
    for release, text in (("installed", NEW), ("old", OLD)):
        package = tmp_path / release / "vllm"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "table.py").write_text(text)
    (tmp_path / "new.patch").write_text(a_patch("    return 2", "    return 20"))
    (tmp_path / "old.patch").write_text(a_patch("    return 1", "    return 10"))
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path / "config.yaml"


@pytest.fixture
def old(tmp_path) -> Any:
    return SimpleNamespace(packages_root=tmp_path / "old")


def test_each_patch_is_applied_to_its_own_release(path, old, tmp_path) -> None:
    found = prepare(load(path), tmp_path / "changes", tmp_path / "installed", {"both": old})
    assert {name: (each.folder / "vllm/table.py").read_text() for name, each in found.items()} == {
        "plain": NEW.replace("2", "20"), "both": OLD.replace("1", "10")
    }  # fmt: skip
    assert [change.full_name for change in found["both"].changes] == ["vllm.table.rows"]


def test_a_patch_that_does_not_fit_its_release_is_refused_by_its_key(path, old, tmp_path) -> None:
    (tmp_path / "old.patch").write_text((tmp_path / "new.patch").read_text())
    with pytest.raises(ConfigError, match=r"config.yaml:5: arms.1: .*old.patch"):
        prepare(load(path), tmp_path / "changes", tmp_path / "installed", {"both": old})


def test_a_release_that_is_not_there_yet_says_nothing_of_its_patch(path, tmp_path) -> None:
    loaded = load(path)
    found = prepare(loaded, tmp_path / "changes", tmp_path / "installed")
    assert list(found) == ["plain"]
    assert choose_grain(loaded, found).apart == ("both",)


def test_the_release_is_asked_for_before_there_is_a_folder_where_a_patch_must_fit_it(
    path, old, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(foreseen, "_check_engine", lambda *_: None)
    monkeypatch.setattr(foreseen, "_check_references", lambda *_: None)
    monkeypatch.setattr(changed, "installed_root", lambda: tmp_path / "installed")
    asked: list[str] = []

    def release(requirement: str) -> Any:
        asked.append(requirement)
        return old

    assert foresee(load(path), release).apart == ("both",)
    assert asked == ["0.31.0"]
    (tmp_path / "old.patch").write_text((tmp_path / "new.patch").read_text())
    with pytest.raises(ConfigError, match=r"arms\.1: "):
        foresee(load(path), release)
    foresee(load(path, ["arms=[{v: {vllm: 0.31.0}}]"]), release)
    assert asked == ["0.31.0"] * 2, "a release alone is made when it is needed"


def test_the_report_says_what_the_patch_goes_with() -> None:
    run = {
        "host": {"engine": "vllm", "version": "0.32.0"},
        "changes": {"both": {"base": "exact"}, "plain": {"base": "exact"}},
        "environments": {"both": {"vllm": "0.31.0", "torch": "2.13.0", "hash": "01"}},
    }
    summary = Summary(run, {}, [], [], [])
    assert applied_to(summary, "both") == "applies exactly to vllm 0.31.0"
    assert applied_to(summary, "plain") == "applies exactly to vllm 0.32.0"
