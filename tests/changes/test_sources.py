"""Patches and trees: which files they change, and what is said of those that do not fit."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.changes.sources import from_patch, from_tree, module_name
from harness.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.changes.conftest import Guest

BODY = "".join(f"# line {number}\n" for number in range(12))
CORE = f"{BODY}def f():\n    return 1\n{BODY}"
CHANGED = CORE.replace("return 1", "return 2")


def test_a_diff_as_a_pull_request_has_it(guest: Guest) -> None:
    guest.install(core=CORE, other="x = 1\n")
    found = guest.from_patch(guest.diff(guest.tree(core=CHANGED)))
    assert [(each.relative, each.module, each.new) for each in found.files] == [("guest/core.py", "guest.core", False)]
    assert found.files[0].changed is not None
    assert found.files[0].changed.read_text() == CHANGED
    assert (guest.root / "guest/core.py").read_text() == CORE
    assert (found.base, found.title, found.left_out, len(found.sha256)) == ("exact", "", (), 16)


def test_new_deleted_and_renamed_files(guest: Guest) -> None:
    guest.install(core=CORE, old=f"y = 1\n{BODY}", gone="z = 1\n")
    tree = guest.tree(new="n = 1\n")
    (tree / "guest/gone.py").unlink()
    (tree / "guest/old.py").rename(tree / "guest/moved.py")
    diff = guest.diff(tree, "-M")
    assert "rename from guest/old.py" in diff
    found = {each.relative: (each.changed is not None, each.new) for each in guest.from_patch(diff).files}
    assert found == {
        "guest/gone.py": (False, False),
        "guest/new.py": (True, True),
        "guest/moved.py": (True, True),
        "guest/old.py": (False, False),
    }
    back = guest.from_patch(guest.diff(tree, "-M", "-R"), revert=True)
    assert {each.relative: (each.changed is not None, each.new) for each in back.files} == found


@pytest.mark.parametrize("prefix", [["--no-prefix"], ["--src-prefix=a/python/", "--dst-prefix=b/python/"], []])
def test_paths_with_other_folders_before_them(guest: Guest, prefix: list[str]) -> None:
    guest.install(core=CORE)
    found = guest.from_patch(guest.diff(guest.tree(core=CHANGED), *prefix))
    assert [each.relative for each in found.files] == ["guest/core.py"]


def test_a_mails_subject_is_the_title(guest: Guest) -> None:
    guest.install(core=CORE)
    head = (
        "From 0123 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH 1/2] =?utf-8?q?Sch=C3=B6ner?=\n"
        " append\n\nrename from nowhere\n---\n"
    )
    found = guest.from_patch(head + guest.diff(guest.tree(core=CHANGED)))
    assert found.title == "Schöner append"


def test_what_is_no_python_of_the_package_is_left_out(guest: Guest) -> None:
    guest.install(core=CORE)
    tree = guest.tree(core=CHANGED)
    for name in ("tests/test_core.py", "csrc/k.cu", "guest/types.pyi", "docs/a.md", "guest/ops.cpp"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("x\n")
    found = guest.from_patch(guest.diff(tree))
    assert [each.relative for each in found.files] == ["guest/core.py"]
    assert sorted(found.left_out) == [
        "csrc/k.cu",
        "docs/a.md",
        "guest/ops.cpp",
        "guest/types.pyi",
        "tests/test_core.py",
    ]
    assert sorted(found.needs_build) == ["csrc/k.cu", "guest/ops.cpp"]


def test_how_it_fits_is_told(guest: Guest) -> None:
    guest.install(core=CORE)
    diff = guest.diff(guest.tree(core=CHANGED))
    guest.install(core=f"import os\n{CORE}")
    assert guest.from_patch(diff).base == "at other lines"
    guest.install(core=CORE.replace("# line 10\n", "# another\n", 1))
    assert guest.from_patch(diff).base == "with less context"


def test_one_that_does_not_apply_names_file_and_hunk(guest: Guest) -> None:
    guest.install(core=CORE)
    diff = guest.diff(guest.tree(core=CHANGED))
    guest.install(core=CORE.replace("return 1", "return 5"))
    with pytest.raises(ConfigError) as error:
        guest.from_patch(diff)
    assert str(error.value).endswith(
        "change.patch does not apply to what is installed: in guest/core.py the hunk at line 11 finds other text. "
        "It was made for another version: rebase it onto the installed one, or give a whole tree"
    )


def test_one_that_is_installed_already_says_revert(guest: Guest) -> None:
    guest.install(core=CORE)
    diff = guest.diff(guest.tree(core=CHANGED))
    with pytest.raises(ConfigError, match=r"What is installed does not have it: leave --revert out$"):
        guest.from_patch(diff, revert=True)
    guest.install(core=CHANGED)
    with pytest.raises(ConfigError, match=r"What is installed has it already: use --revert$"):
        guest.from_patch(diff)
    found = guest.from_patch(diff, revert=True)
    assert found.files[0].changed is not None
    assert found.files[0].changed.read_text() == CORE


def test_a_file_that_is_not_installed(guest: Guest) -> None:
    guest.install(core=CORE)
    diff = guest.diff(guest.tree(core=CHANGED)).replace("core.py", "nowhere.py")
    with pytest.raises(ConfigError, match=r"guest/nowhere\.py: No such file"):
        guest.from_patch(diff)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no patch that git can read: "),
        ("hello\n", "is no patch that git can read: "),
        (
            "--- /usr/lib/x.py\n+++ /usr/lib/x.py\n@@ -1 +1 @@\n-a\n+b\n",
            "has the path /usr/lib/x.py; paths must be relative",
        ),
        ("--- a/guest/../../x.py\n+++ b/guest/../../x.py\n@@ -1 +1 @@\n-a\n+b\n", "and without '..'"),
        (
            "--- a/docs/x.md\n+++ b/docs/x.md\n@@ -1 +1 @@\n-a\n+b\n",
            "changes no Python file of guest; it changes docs/x.md",
        ),
        (
            "diff --git a/guest/l.py b/guest/l.py\nnew file mode 120000\n--- /dev/null\n+++ b/guest/l.py\n"
            "@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n",
            "the patch makes guest/l.py a symbolic link",
        ),
        (
            "diff --git a/guest/a.so b/guest/a.so\nindex 1..2 100644\n"
            "Binary files a/guest/a.so and b/guest/a.so differ\n",
            "changes guest/a.so as binary data; only Python text can be switched",
        ),
    ],
)
def test_patches_that_are_refused(guest: Guest, text: str, said: str) -> None:
    guest.install(core=CORE)
    with pytest.raises(ConfigError) as error:
        guest.from_patch(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_no_git_on_the_machine(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.install(core=CORE)
    diff = guest.diff(guest.tree(core=CHANGED))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="a patch is applied by git, which is not on this machine: install git"):
        guest.from_patch(diff)


def test_no_file(guest: Guest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        from_patch(tmp_path / "none.patch", guest.root, tmp_path / "into", package="guest")


def test_the_users_git_config_and_repository_are_not_read(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.install(core=CORE)
    diff = guest.diff(guest.tree(core=CHANGED + "x = 1   \n"))
    (guest.folder / ".gitconfig").write_text("[apply]\n\twhitespace = error-all\n")
    subprocess.run(["git", "init", "-q", str(guest.folder)], check=True, capture_output=True)
    monkeypatch.setenv("HOME", str(guest.folder))
    monkeypatch.setenv("GIT_DIR", str(guest.folder / "nowhere"))
    assert guest.from_patch(diff).base == "exact"


def test_a_tree(guest: Guest) -> None:
    guest.install(core=CORE, other="x = 1\n", gone="y = 1\n", _version="v = 1\n")
    tree = guest.tree(core=CHANGED, new="n = 1\n", _version="v = 2\n")
    (tree / "guest/gone.py").unlink()
    for folder in (tree, tree / "guest"):
        found = from_tree(folder, guest.root, guest.scratch(), package="guest")
        assert [(each.module, each.changed is not None, each.new) for each in found.files] == [
            ("guest.core", True, False),
            ("guest.gone", False, False),
            ("guest.new", True, True),
        ]
        assert (found.base, found.left_out) == ("a whole tree", ("guest/_version.py",))
    found = from_tree(tree, guest.root, guest.scratch(), only=["guest.core.f"], package="guest")
    assert [each.module for each in found.files] == ["guest.core"]


def test_trees_that_are_refused(guest: Guest, tmp_path: Path) -> None:
    guest.install(core=CORE)
    with pytest.raises(ConfigError, match="has no Python file of guest that differs from what is installed"):
        from_tree(guest.tree(), guest.root, guest.scratch(), package="guest")
    with pytest.raises(ConfigError, match=r"has no folder guest/; name the folder that holds it"):
        from_tree(tmp_path / "none", guest.root, guest.scratch(), package="guest")


def test_module_names() -> None:
    assert module_name("a/b/__init__.py") == "a.b"
    assert module_name("a/b.py") == "a.b"
