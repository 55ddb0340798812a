"""The changed files of arms that are patches, made from what is installed before any engine starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.config.file import load
from harness.errors import ConfigError, HostError
from harness.running import changed
from harness.running.changed import facts_of, folders_of, installed_root, prepare

BEFORE = "def rows():\n    return 1\n\n\ndef other():\n    return 1\n"
AFTER = BEFORE.replace("return 1", "return 2")
PATCH = """\
--- a/vllm/table.py
+++ b/vllm/table.py
@@ -1,6 +1,6 @@
 def rows():
-    return 1
+    return 2


 def other():
-    return 1
+    return 2
"""
CONFIG = """\
engine: {{model: none}}
workload: {{requests: 1, prompt_tokens: 1, output_tokens: 1}}
arms: [{{pr: {{patch: pr.patch, {more}}}}}]
"""


@pytest.fixture
def made(tmp_path):
    """Prepares a config's patch over what is installed."""

    def go(installed: str = BEFORE, more: str = "only: []", patch: str = PATCH):
        package = tmp_path / "site-packages/vllm"
        package.mkdir(parents=True, exist_ok=True)
        (package / "table.py").write_text(installed)
        (tmp_path / "pr.patch").write_text(patch)
        (tmp_path / "config.yaml").write_text(CONFIG.format(more=more))
        return prepare(load(tmp_path / "config.yaml"), tmp_path / "changes", package.parent)

    return go


def test_the_changed_files_lie_in_a_folder_of_the_arms_name(made, tmp_path) -> None:
    found = made()
    assert folders_of(found) == {"pr": tmp_path / "changes/pr"}
    assert (tmp_path / "changes/pr/vllm/table.py").read_text() == AFTER
    assert (tmp_path / "site-packages/vllm/table.py").read_text() == BEFORE
    facts = facts_of(found)["pr"]
    assert (facts["kind"], facts["file"], facts["revert"], facts["only"]) == ("patch", "pr.patch", False, [])
    assert facts["changed"] == ["vllm.table.rows", "vllm.table.other"]
    assert (facts["refused"], facts["left_out"], facts["needs_build"]) == ([], [], [])
    assert found["pr"].left == ()


def test_a_change_that_is_installed_is_compared_with_what_was_before_it(made, tmp_path) -> None:
    found = made(installed=AFTER, more="revert: true")
    assert (tmp_path / "changes/pr/vllm/table.py").read_text() == BEFORE
    assert facts_of(found)["pr"]["revert"] is True
    with pytest.raises(ConfigError, match=r"arms\.0: .*pr\.patch"):
        made(installed=AFTER)


def test_what_only_leaves_out_is_told_apart_from_what_it_takes(made) -> None:
    found = made(more="only: [table.other]")
    assert [change.full_name for change in found["pr"].changes] == ["vllm.table.other"]
    assert [change.full_name for change in found["pr"].left] == ["vllm.table.rows"]


@pytest.mark.parametrize(
    ("only", "known"), [("table.othr", "it changes other$"), ("nothing.like.it", "it changes rows, other$")]
)
def test_what_only_names_in_vain_is_told_with_what_is_near_or_else_all_there_is(made, only, known) -> None:
    with pytest.raises(ConfigError, match=rf"arms\.0: only: \S+pr\.patch changes no {only}; {known}"):
        made(more=f"only: [{only}]")


def test_a_change_of_nothing_that_runs_is_refused(made) -> None:
    patch = "--- a/vllm/table.py\n+++ b/vllm/table.py\n@@ -1,1 +1,2 @@\n+# a remark\n def rows():\n"
    with pytest.raises(ConfigError, match=r"changes nothing that runs: comments, docstrings and types alone$"):
        made(patch=patch)


def test_a_file_that_cannot_be_read_is_told_with_why_and_where_it_is_named(made, tmp_path, monkeypatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(changed, "from_patch", fails)
    with pytest.raises(ConfigError) as caught:
        made()
    assert str(caught.value).endswith(f"arms.0: {tmp_path / 'pr.patch'} cannot be read: Permission denied")
    assert str(caught.value).startswith(f"{tmp_path / 'config.yaml'}:3")


def test_what_is_installed_is_found_without_an_import_and_its_lack_is_said(monkeypatch) -> None:
    spec = SimpleNamespace(submodule_search_locations=["/somewhere/site-packages/vllm"])
    asked: list[str] = []
    monkeypatch.setattr(changed, "find_module", lambda name: asked.append(name) or spec)
    assert installed_root() == Path("/somewhere/site-packages")
    assert asked == ["vllm"]
    for lacking in (None, SimpleNamespace(submodule_search_locations=None)):
        monkeypatch.setattr(changed, "find_module", lambda name, lacking=lacking: lacking)
        with pytest.raises(HostError, match="vLLM is not installed here"):
            installed_root()
