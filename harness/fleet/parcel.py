"""Files as bytes, from one machine to another: a tar of plain files, and nothing else is unpacked."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from harness.errors import RecordsError, in_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["files_below", "pack", "unpack"]

MOST_FILES: Final = 10_000
MOST_BYTES: Final = 2**33
"""What a launch's folder can have: more than any run wrote, and little enough to end before a disk is full."""


def files_below(folder: Path) -> dict[str, Path]:
    """Every plain file below a folder, by its path from there; links are left out."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path for path in found}


def pack(files: Mapping[str, Path]) -> bytes:
    """Files under the names that they are to have.

    Raises:
        RecordsError: one cannot be read.
    """
    into = io.BytesIO()
    try:
        with tarfile.open(fileobj=into, mode="w:gz", compresslevel=1) as tar:
            for name, path in files.items():
                tar.add(path, arcname=name, recursive=False)
    except OSError as error:
        raise RecordsError(f"{in_line(error.filename or '')}: cannot be read: {error.strerror}") from error
    return into.getvalue()


def unpack(parcel: bytes, folder: Path) -> None:
    """Write what another machine has packed below a folder, which is made and must not be there yet.

    Raises:
        RecordsError: it is no parcel, or has something else than plain files below the folder; nothing is written then.
            Or the folder is there, or cannot be written.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(parcel), mode="r:gz") as tar:
            members = _checked(tar)
            folder.mkdir(parents=True)
            for member in members:
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                assert content is not None  # noqa: S101 (plain files have one)
                target.write_bytes(content.read())
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise RecordsError(f"{folder}: what came from the node is no folder: {in_line(error, 200)}") from error
    except OSError as error:
        raise RecordsError(f"{folder}: cannot be written: {in_line(error.strerror or error, 200)}") from error


def _checked(members: Iterable[tarfile.TarInfo]) -> list[tarfile.TarInfo]:
    """All members, if each is a plain file below the folder.

    Raises:
        ValueError: one is not, or they are too many or too large.
    """
    found: list[tarfile.TarInfo] = []
    size = 0
    for member in members:
        path = PurePosixPath(member.name)
        if not member.isreg():
            raise ValueError(f"{member.name!r} is no plain file")
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in member.name:
            raise ValueError(f"{member.name!r} leads out of it")
        size += member.size
        found.append(member)
        if len(found) > MOST_FILES or size > MOST_BYTES:
            raise ValueError("too many files, or too large ones")
    return found
