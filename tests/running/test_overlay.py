"""An overlay of a package: its own files by link, changed ones for real, and nothing installed is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.changes.sources import SourceFile, from_patch
from harness.errors import RecordsError
from harness.running.overlay import make_overlay, path_with
from harness.running.place import Place, Process

PATCH = """\
--- a/pack/core/table.py
+++ b/pack/core/table.py
@@ -1,2 +1,2 @@
 def rows():
-    return "installed"
+    return "changed"
--- /dev/null
+++ b/pack/fresh/__init__.py
@@ -0,0 +1 @@
+NEW = True
--- a/pack/core/gone.py
+++ /dev/null
@@ -1 +0,0 @@
-GONE = False
"""


@pytest.fixture
def installed(tmp_path):
    """A package with two folders, a compiled file of each module, and a library beside it."""
    root = tmp_path / "site-packages"
    for name, text in {
        "pack/__init__.py": "",
        "pack/core/__init__.py": "",
        "pack/core/table.py": 'def rows():\n    return "installed"\n',
        "pack/core/gone.py": "GONE = False\n",
        "pack/core/other.py": "from pack.core.table import rows\n",
        "pack/far/__init__.py": "PLACE = __file__\n",
        "pack/kernels.so": "\x7fELF",
        "pack.libs/lib.so": "\x7fELF",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(root)], check=True)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def overlaid(root: Path, tmp_path: Path) -> Path:
    (tmp_path / "change.patch").write_text(PATCH)
    sources = from_patch(tmp_path / "change.patch", root, tmp_path / "changes", package="pack")
    return make_overlay(root, sources.files, tmp_path / "overlays/arm", "pack")


def said(overlay: Path, root: Path, code: str) -> str:
    """What Python prints with the overlay before what is installed."""
    environment = path_with(overlay, {"PYTHONPATH": str(root)})
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_process_with_an_overlay_imports_the_changed_package(installed, tmp_path) -> None:
    before = contents(installed)
    overlay = overlaid(installed, tmp_path)
    code = "import pack.core.other, pack.fresh; print(pack.core.other.rows(), pack.fresh.NEW)"
    assert said(overlay, installed, code) == "changed True"
    assert said(overlay, installed, "import pack.far; print(pack.far.PLACE)").startswith(str(overlay))
    assert said(overlay, installed, "import importlib.util as u; print(u.find_spec('pack.core.gone'))") == "None"
    assert contents(installed) == before  # what Python compiled of changed files went elsewhere


def test_only_changed_files_are_copied(installed, tmp_path) -> None:
    overlay = overlaid(installed, tmp_path)
    real = {str(path.relative_to(overlay)) for path in overlay.rglob("*") if path.is_file() and not path.is_symlink()}
    real = {name for name in real if "/far/" not in name}  # below a folder that is a link itself
    assert real == {"pack/core/table.py", "pack/fresh/__init__.py"}
    assert (overlay / "pack/far").is_symlink()
    assert (overlay / "pack/kernels.so").resolve() == installed / "pack/kernels.so"
    assert (overlay / "pack.libs").resolve() == installed / "pack.libs"
    compiled = {path.name.partition(".")[0] for path in (overlay / "pack/core/__pycache__").iterdir()}
    assert compiled == {"__init__", "other"}


def test_native_has_an_overlay_with_nothing_changed(installed, tmp_path) -> None:
    overlay = make_overlay(installed, (), tmp_path / "overlays/native", "pack")
    assert said(overlay, installed, "import pack.core.table as t; print(t.rows())") == "installed"


def test_what_is_removed_is_the_overlay_and_not_what_it_leads_to(installed, tmp_path) -> None:
    before = contents(installed)
    process = Process(1, "a", ["-m", "harness"], {"ONE": "1"}, tmp_path / "out")
    place = Place({"a": [SourceFile("vllm/new.py", "vllm.new", None)]}, root=vllm_in(installed))
    with place.made() as started_from:
        arguments, environment = started_from.command(process)
        overlay = Path(environment["PYTHONPATH"].split(os.pathsep)[0])
        assert (overlay / "vllm/core.py").read_text() == "CORE = 1\n"
        assert arguments == [sys.executable, "-m", "harness"]
        assert environment["ONE"] == "1"
        assert started_from.command(process)[1] == environment  # it is made once
    assert not overlay.exists()
    assert (installed / "vllm/core.py").exists()
    assert contents(installed) == {**before, **contents(installed)}


def vllm_in(root: Path) -> Path:
    """The folder, with a package of vLLM's name in it."""
    (root / "vllm").mkdir()
    (root / "vllm/__init__.py").write_text("")
    (root / "vllm/core.py").write_text("CORE = 1\n")
    return root


def test_an_overlay_that_cannot_be_made_is_told(installed, tmp_path) -> None:
    file = SourceFile("pack/core/table.py", "pack.core.table", tmp_path / "not-there.py")
    with pytest.raises(RecordsError, match="the overlay cannot be made"):
        make_overlay(installed, [file], tmp_path / "overlays/arm", "pack")


def test_a_path_that_was_set_stays_behind_the_overlay(tmp_path) -> None:
    here = str(tmp_path.resolve())
    assert path_with(tmp_path, {"PYTHONPATH": "/elsewhere"})["PYTHONPATH"] == f"{here}:/elsewhere"
    assert path_with(tmp_path, {})["PYTHONPATH"] == here


def test_nothing_is_compiled_into_what_is_installed(installed, tmp_path) -> None:
    for folder in list(installed.rglob("__pycache__")):
        shutil.rmtree(folder)
    before = contents(installed)
    overlay = overlaid(installed, tmp_path)
    assert said(overlay, installed, "import pack.core.other, pack.far; print('in')") == "in"
    assert contents(installed) == before
    assert not list(overlay.rglob("*.pyc"))
