"""harness: profile and compare the host code of a real LLM engine's model-runner loop."""

from __future__ import annotations

from harness.errors import (
    ArmError,
    ConfigError,
    HarnessError,
    HostError,
    RecordsError,
    SeamError,
    StepMismatchError,
)

__all__ = [
    "ArmError",
    "ConfigError",
    "HarnessError",
    "HostError",
    "RecordsError",
    "SeamError",
    "StepMismatchError",
    "__version__",
]

__version__ = "0.1.0"
