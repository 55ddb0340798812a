"""Which releases of vLLM the package registry has, as pip is set up to ask it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from harness.environments.recipe import recipe_for
from harness.environments.releases import distribution
from harness.errors import ConfigError, SetupError, in_line

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["between", "published"]

ASKING_S: Final = 120.0
"""How long pip may take to answer."""


def published() -> list[str]:
    """All final releases of the build that is installed here, the oldest first.

    Raises:
        SetupError: pip is not there, or got no answer.
    """
    from packaging.version import Version

    name = distribution(recipe_for("0.31.0").build)
    command = [sys.executable, "-m", "pip", "index", "versions", name]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=ASKING_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"the package registry could not be asked for releases of {name}: {error}") from error
    listed = re.search(r"^Available versions: (.+)$", said.stdout, re.MULTILINE)
    if listed is None:
        told = in_line(" ".join(said.stderr.split())[-300:])
        raise SetupError(f"the package registry could not be asked for releases of {name}: {told}")
    found = [Version(each.strip()) for each in listed[1].split(",")]
    return [str(each) for each in sorted(found) if not (each.is_prerelease or each.is_postrelease)]


def between(first: str, last: str, every: bool, ask: Callable[[], list[str]] = published) -> list[str]:
    """The releases from one to another, both among them: of each minor release the newest patch, or every one.

    Args:
        first: such as `0.27.1`.
        last: likewise, and later.
        every: take all patches.
        ask: gives all releases.

    Raises:
        ConfigError: one of them is no release, or the second is before the first.
    """
    from packaging.version import Version

    ends = [Version(recipe_for(each).version) for each in (first, last)]
    if ends[0] >= ends[1]:
        raise ConfigError(f"--from {first} --to {last}: the second must be a later release")
    there = [Version(each) for each in ask()]
    for option, end in zip(("--from", "--to"), ends, strict=True):
        if end not in there:
            near = ", ".join(map(str, there[-5:]))
            raise ConfigError(f"{option} {end}: the package registry has no such release; the newest are {near}")
    inside = [each for each in there if ends[0] <= each <= ends[1]]
    newest = {each.release[:2]: each for each in inside}
    return [str(each) for each in inside if every or each in ends or newest[each.release[:2]] == each]
