"""The config of a history: a profile's, which is run under several releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.config.profiled import profile_of
from harness.errors import ConfigError
from harness.paths import shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.config.file import Loaded

__all__ = ["default_config", "of_history"]

BASE: Final = Path("configs") / "history.yaml"


def default_config() -> Path:
    """The working directory's config of a history, or else the project's own."""
    return shipped(BASE)


def of_history(base: Path, overrides: Sequence[str]) -> Loaded:
    """A config as the profile that each launch makes.

    Raises:
        ConfigError: it is no profile's, or asks for what only one launch can do.
    """
    loaded = profile_of(base, {}, overrides)
    if loaded.experiment.protocol.launches > 1:
        raise ConfigError(
            loaded.place("protocol.launches: --blocks says how many launches a release has: leave it out")
        )
    if loaded.experiment.host.kind != "vllm":
        raise ConfigError(loaded.place("host.kind: a history is of vLLM's releases with a V1 engine: leave it out"))
    return loaded
