"""An overlay of the installed package: links to its files, and real copies of those that a change touches.

A process that has the overlay before everything else on its path imports the changed package, with the binaries that
are installed. What is installed is never written: a folder that holds a touched file is a real one, down from the
package's own, and what Python had compiled of that file is not linked. Other folders are links, through which Python
would write what it compiles: it is told to write none.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from harness.errors import RecordsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.changes.sources import SourceFile

__all__ = ["make_overlay", "path_with"]

COMPILED: Final = "__pycache__"


def make_overlay(root: Path, files: Sequence[SourceFile], into: Path, package: str = "vllm") -> Path:
    """Make the package in `into`, with a change in it.

    Args:
        root: the folder that holds the installed package.
        files: what the change touches; none for the package as it is.
        into: a folder that is not there yet.
        package: the package's name.

    Returns:
        The folder to put on Python's path.

    Raises:
        RecordsError: it cannot be made.
    """
    touched = {file.relative: file.changed for file in files}
    try:
        into.mkdir(parents=True)
        _mirror(root / package, into / package, _folders_of(touched), PurePosixPath(package), touched)
        for name, changed in touched.items():
            if changed is not None:
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(changed, target)
        # Libraries that a wheel brings beside the package: its extensions look for them there.
        for libraries in root.glob(f"{package}*.libs"):
            (into / libraries.name).symlink_to(libraries)
    except OSError as error:
        raise RecordsError(f"{into}: the overlay cannot be made: {error.strerror}") from error
    return into


def path_with(overlay: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that put an overlay first on the path of a process and its children, and have none write to it."""
    before = environment.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(overlay.resolve()), before]))
    return {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _folders_of(touched: Iterable[str]) -> frozenset[PurePosixPath]:
    """Every folder that holds a touched file, at any depth."""
    return frozenset(parent for name in touched for parent in PurePosixPath(name).parents)


def _mirror(
    source: Path, target: Path, real: frozenset[PurePosixPath], here: PurePosixPath, touched: Mapping[str, Path | None]
) -> None:
    """A folder with links to all that it holds; folders on the way to a touched file are real ones."""
    target.mkdir()
    compiled = tuple(f"{PurePosixPath(name).stem}." for name in touched if PurePosixPath(name).parent == here)
    for entry in sorted(source.iterdir()):
        name = here / entry.name
        if name.as_posix() in touched:
            continue
        if entry.name == COMPILED:
            _link_compiled(entry, target / COMPILED, compiled)
        elif name in real and entry.is_dir():
            _mirror(entry, target / entry.name, real, name, touched)
        else:
            (target / entry.name).symlink_to(entry.absolute())


def _link_compiled(source: Path, target: Path, touched: tuple[str, ...]) -> None:
    """What Python has compiled of untouched files, linked one by one: what it compiles anew is not written there."""
    target.mkdir()
    for entry in sorted(source.iterdir()):
        if not entry.name.startswith(touched):
            (target / entry.name).symlink_to(entry.absolute())
