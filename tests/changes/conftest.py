"""A small package in a folder of its own, imported, and changed by real diffs and trees."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from harness.changes.build import Built, build
from harness.changes.sources import Sources, from_patch, from_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "guest"


@dataclass
class Guest:
    """The installed package: `root` holds it. Texts are given by their path below the package."""

    folder: Path
    built: list[Built] = field(default_factory=list)
    _count: Any = field(default_factory=itertools.count)

    @property
    def root(self) -> Path:
        return self.folder / "site-packages"

    def install(self, **texts: str) -> Any:
        """Write modules (`core="..."`), import them all, and give the first."""
        self.write(self.root, {"__init__.py": "", **{f"{name}.py": text for name, text in texts.items()}})
        importlib.invalidate_caches()
        modules = [importlib.import_module(f"{NAME}.{name}") for name in texts]
        return modules[0]

    def write(self, root: Path, texts: dict[str, str]) -> None:
        for name, text in texts.items():
            path = root / NAME / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"))

    def scratch(self) -> Path:
        made = self.folder / f"scratch{next(self._count)}"
        made.mkdir()
        return made

    def tree(self, **texts: str) -> Path:
        """Another tree: the installed one with these texts in it."""
        tree = self.scratch()
        for path in (self.root / NAME).rglob("*.py"):
            self.write(tree, {path.relative_to(self.root / NAME).as_posix(): path.read_text()})
        self.write(tree, {f"{name}.py": text for name, text in texts.items()})
        return tree

    def diff(self, tree: Path, *options: str) -> str:
        """A git diff from what is installed to a tree, with paths as a pull request has them."""
        made = self.scratch()
        git = ["git", "-c", "init.defaultBranch=main", "-c", "user.name=a", "-c", "user.email=a@b"]
        run = {"cwd": made, "check": True, "capture_output": True, "text": True}
        subprocess.run([*git, "init", "-q"], **run)
        subprocess.run(["cp", "-r", f"{self.root}/.", "."], **run)
        subprocess.run("rm -rf */__pycache__", shell=True, **run)
        subprocess.run([*git, "add", "-A"], **run)
        subprocess.run([*git, "commit", "-qm", "x"], **run)
        subprocess.run("rm -rf *", shell=True, **run)
        subprocess.run(["cp", "-r", f"{tree}/.", "."], **run)
        subprocess.run("rm -rf */__pycache__", shell=True, **run)
        subprocess.run([*git, "add", "-A"], **run)
        return str(subprocess.run([*git, "diff", "--cached", *options], **run).stdout)

    def patch(self, text: str) -> Path:
        path = self.scratch() / "change.patch"
        path.write_text(text)
        return path

    def from_patch(self, text: str, **options: Any) -> Sources:
        return from_patch(self.patch(text), self.root, self.scratch(), package=NAME, **options)

    def build(self, only: tuple[str, ...] = (), partly: bool = False, **texts: str) -> Built:
        """Build the change to these texts."""
        sources = from_tree(self.tree(**texts), self.root, self.scratch(), package=NAME)
        return self.build_files(sources, only, partly)

    def build_files(self, sources: Sources, only: tuple[str, ...] = (), partly: bool = False) -> Built:
        self.built.append(build("arm", sources.files, self.root, only, partly=partly))
        return self.built[-1]

    @contextlib.contextmanager
    def put(self, built: Built) -> Iterator[None]:
        """The arm, set on its functions and names as a switch would."""
        assert not built.refused, built.refused
        old = [(each, each.__code__, each.__defaults__, each.__kwdefaults__) for each in built.functions]
        values = [(namespace, key, namespace[key]) for namespace, key, _ in built.values]
        for each, new in built.functions.items():
            each.__code__, each.__defaults__, each.__kwdefaults__ = new
        for namespace, key, value in built.values:
            namespace[key] = value
        try:
            yield
        finally:
            for function, code, defaults, kwdefaults in old:
                function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, kwdefaults
            for namespace, key, value in values:
                namespace[key] = value


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    made = Guest(tmp_path)
    made.root.mkdir()
    monkeypatch.syspath_prepend(str(made.root))
    yield made
    for built in made.built:
        built.remove()
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]
