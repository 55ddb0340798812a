"""harness: profile and compare the host code of a real LLM engine's model-runner loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import (
    ArmError,
    ConfigError,
    HarnessError,
    HostError,
    RecordsError,
    SeamError,
    StepMismatchError,
)

if TYPE_CHECKING:
    from harness.analysis.frames import LoadedRun, load_run

__all__ = [
    "ArmError",
    "ConfigError",
    "HarnessError",
    "HostError",
    "LoadedRun",
    "RecordsError",
    "SeamError",
    "StepMismatchError",
    "__version__",
    "load_run",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`load_run` and what it gives, imported when asked for: pandas takes its time, and `--help` need not wait."""
    if name in ("LoadedRun", "load_run"):
        from harness.analysis import frames

        return getattr(frames, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
