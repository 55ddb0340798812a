"""Where environments are kept: in the user's cache folder, each under the hash of its recipe."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.environments.made import Environment, read_environment
from harness.environments.recipe import HASHED
from harness.errors import ConfigError, RecordsError, in_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["broken", "find", "folder_of", "known", "locked", "remove", "root"]

NAME: Final = re.compile(rf"[0-9a-f]{{{HASHED}}}")
SHORTEST: Final = 4
"""Characters of a hash that are enough to name an environment, where no other begins so."""


def root() -> Path:
    """The folder of all environments, which need not be there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "harness" / "environments"


def folder_of(name: str) -> Path:
    """Where the environment of this hash lies, or would."""
    return root() / name


def known() -> list[Environment]:
    """All environments that are whole, by release and hash."""
    from packaging.version import Version

    found = []
    for folder in _folders():
        with contextlib.suppress(RecordsError):
            found.append(read_environment(folder))
    return sorted(found, key=lambda each: (Version(each.recipe.version), each.hash))


def broken() -> dict[str, str]:
    """Folders that hold no whole environment, by hash, with the reason."""
    found = {}
    for folder in _folders():
        try:
            read_environment(folder)
        except RecordsError as error:
            found[folder.name] = str(error)
    return found


def find(name: str) -> str:
    """The hash of the environment that a user names, by its release or the beginning of its hash.

    Raises:
        ConfigError: there is none, or there are several.
    """
    from harness.environments.recipe import recipe_for

    shown = in_line(repr(name), 100)
    hashes = {folder.name for folder in _folders()}
    if len(name) >= SHORTEST and re.fullmatch(r"[0-9a-f]+", name):
        found = {each for each in hashes if each.startswith(name)}
    else:
        requirement = recipe_for(name).requirement
        found = {each.hash for each in known() if each.requirement == requirement}
    if not found:
        raise ConfigError(f"there is no environment {shown}: harness env list shows those that there are")
    if len(found) > 1:
        raise ConfigError(f"{shown} names several environments: take one of {', '.join(sorted(found))}")
    return found.pop()


def remove(name: str) -> str:
    """Remove an environment, whole or not.

    Args:
        name: its release or the beginning of its hash.

    Returns:
        Its hash.

    Raises:
        ConfigError: there is no such environment, or it is being made.
        RecordsError: it cannot be removed.
    """
    found = find(name)
    with locked(found, wait=False):
        folder = folder_of(found)
        gone = folder.with_name(f"{found}.removing")
        try:
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)  # so that what is removed in part is never taken for an environment
            shutil.rmtree(gone)
        except OSError as error:
            raise RecordsError(f"{folder}: cannot be removed: {error.strerror}") from error
    return found


@contextlib.contextmanager
def locked(name: str, waiting: Callable[[], None] = lambda: None, *, wait: bool = True) -> Iterator[None]:
    """Nobody else makes or removes the environment of this hash meanwhile, in this process or another.

    The lock goes with the process that holds it, however that ends.

    Args:
        name: the hash.
        waiting: called where another one holds the lock, before that is waited for.
        wait: False where it is refused instead.

    Raises:
        ConfigError: another one holds it, and is not to be waited for.
        RecordsError: the cache folder cannot be written.
    """
    locks = root() / ".locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock = (locks / name).open("ab")
    except OSError as error:
        raise RecordsError(f"{locks}: cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise ConfigError(f"{name} is being made or removed by another process; try again later") from None
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _folders() -> list[Path]:
    try:
        return sorted(each for each in root().iterdir() if NAME.fullmatch(each.name))
    except OSError:
        return []
