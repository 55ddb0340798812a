"""`git apply`, in a folder of copies: never in a repository, and without the user's settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.errors import ConfigError, in_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Listed", "applies", "apply", "listing"]

LEVELS: Final = (1, 0, 2, 3)
"""How many folders are taken off the paths of a patch: `a/pkg/x.py`, `pkg/x.py`, `a/python/pkg/x.py`."""
SECONDS: Final = 60
_FAILED: Final = re.compile(r"^error: patch failed: (?P<file>.+):(?P<line>\d+)$", re.MULTILINE)
_OTHER: Final = re.compile(r"^error: (?P<said>.+)$", re.MULTILINE)
_MOVED: Final = re.compile(r"^Hunk #\d+ succeeded at .*offset", re.MULTILINE)


@dataclass(frozen=True)
class Listed:
    """The files of a patch: their paths once `level` folders are taken off, and those that are binary."""

    level: int
    paths: tuple[str, ...]
    binary: frozenset[str]


def listing(patch: Path, folder: Path, package: str) -> Listed:
    """The files that a patch touches, with as many folders taken off that the most of them are in the package.

    Raises:
        ConfigError: it is no patch.
    """
    found: list[Listed] = []
    said = ""
    for level in LEVELS:
        done = _git(folder, "--numstat", "-z", f"-p{level}", str(patch))
        if done.returncode:
            said = said or done.stderr
            continue
        rows = [row.split("\t", 2) for row in done.stdout.split("\0") if row.count("\t") >= 2]
        paths = tuple(dict.fromkeys(path for _, _, path in rows))
        found.append(Listed(level, paths, frozenset(path for added, _, path in rows if added == "-")))
    if not found:
        raise ConfigError(f"{patch} is no patch that git can read: {_reason(said)}")
    return max(found, key=lambda listed: sum(path.startswith(f"{package}/") for path in listed.paths))


def apply(patch: Path, folder: Path, listed: Listed, paths: Sequence[str], *, revert: bool) -> str:
    """Apply the parts of a patch that touch `paths` to the copies in a folder; gives how it fitted.

    Gives:
        "exact", "at other lines" or "with less context".

    Raises:
        ConfigError: it does not apply; the message names the file and the hunk, and says what to do.
    """
    done = _apply(patch, folder, listed, paths, revert=revert)
    if not done.returncode:
        return "at other lines" if _MOVED.search(done.stderr) else "exact"
    if not _apply(patch, folder, listed, paths, "-C1", revert=revert).returncode:
        return "with less context"
    way = "revert" if revert else "apply"
    raise ConfigError(
        f"{patch} does not {way} to what is installed: {_reason(done.stderr)}. "
        f"{_advice(patch, folder, listed, paths, revert=revert)}"
    )


def applies(patch: Path, folder: Path, listed: Listed, paths: Sequence[str], *, revert: bool) -> bool:
    """Whether it would apply; nothing is written."""
    return not _apply(patch, folder, listed, paths, "--check", revert=revert).returncode


def _advice(patch: Path, folder: Path, listed: Listed, paths: Sequence[str], *, revert: bool) -> str:
    if applies(patch, folder, listed, paths, revert=not revert):
        return (
            "What is installed does not have it: leave --revert out"
            if revert
            else "What is installed has it already: use --revert"
        )
    return "It was made for another version: rebase it onto the installed one, or give a whole tree"


def _apply(
    patch: Path, folder: Path, listed: Listed, paths: Sequence[str], *options: str, revert: bool
) -> subprocess.CompletedProcess[str]:
    escaped = (re.sub(r"([\\*?\[])", r"\\\1", path) for path in paths)
    return _git(
        folder,
        "--verbose",
        "--whitespace=nowarn",
        f"-p{listed.level}",
        *(["--reverse"] if revert else []),
        *options,
        *(f"--include={path}" for path in escaped),
        str(patch),
    )


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("git")
    if program is None:
        raise ConfigError("a patch is applied by git, which is not on this machine: install git")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C",
    }
    try:
        return subprocess.run(  # noqa: S603 (git, with a list of arguments)
            [program, "apply", *arguments],
            cwd=folder.resolve(),
            env=environment,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"git apply did not run: {in_line(error)}") from error


def _reason(said: str) -> str:
    if failed := _FAILED.search(said):
        return f"in {in_line(failed['file'])} the hunk at line {failed['line']} finds other text"
    others = [found["said"] for found in _OTHER.finditer(said) if not found["said"].startswith("while searching")]
    return in_line(others[0]) if others else "git says nothing of why"
