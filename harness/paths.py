"""Whether a file or a folder is there, asked in a way that no name can make raise: too long, or with a NUL in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["exists", "files_below", "is_file", "is_folder", "shipped", "why_no_file", "why_no_folder"]


def exists(path: Path) -> bool:
    """Whether anything is there; false where the name itself is impossible."""
    return os.path.exists(path)  # noqa: PTH110 (`Path.exists` raises where a name is too long)


def is_file(path: Path) -> bool:
    """Whether a file is there; false where the name itself is impossible."""
    return os.path.isfile(path)  # noqa: PTH113 (as above)


def is_folder(path: Path) -> bool:
    """Whether a folder is there; false where the name itself is impossible."""
    return os.path.isdir(path)  # noqa: PTH112 (as above)


def files_below(folder: Path, suffix: str) -> Iterator[Path]:
    """Files in a folder and below it, by the end of their names; what cannot be looked into is passed over."""
    for parent, _, names in os.walk(folder):  # `Path.rglob` raises where a folder disappears meanwhile
        yield from (Path(parent, name) for name in names if name.endswith(suffix) and is_file(Path(parent, name)))


def shipped(name: Path) -> Path:
    """A file that comes with the project, such as `configs/ab.yaml`: the working directory's, or else its own."""
    return name if is_file(name) else Path(__file__).parents[1] / name


def why_no_file(path: Path) -> str:
    """Why a path leads to no file, for a message; empty where it leads to one."""
    return "" if is_file(path) else _why_not(path, "file")


def why_no_folder(path: Path) -> str:
    """Why a path leads to no folder, for a message; empty where it leads to one."""
    return "" if is_folder(path) else _why_not(path, "folder")


def _why_not(path: Path, kind: str) -> str:
    try:
        path.stat()
    except FileNotFoundError:
        return f"there is no {kind} {path}"
    except (OSError, ValueError) as error:
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    return f"{path} is no {kind}"
