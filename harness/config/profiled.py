"""The config that `harness profile` stands for: a base config's engine and workload, and what is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.config.file import Loaded, Replaced, load
from harness.errors import in_line
from harness.paths import shipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["default_config", "profile_of"]

BASE: Final = Path("configs") / "profile" / "decode_64.yaml"
OPTIONS: Final = {"targets": "target"}
"""The options that are called otherwise than their keys."""


def default_config() -> Path:
    """The config of 64 decodes: the working directory's, or else the project's own."""
    return shipped(BASE)


def profile_of(base: Path, asked: Mapping[str, Any], overrides: Sequence[str]) -> Loaded:
    """A config as a profile.

    Args:
        base: whose engine, workload and protocol are taken; of a profile also what it asks for.
        asked: of the command line, by key; what is empty leaves the config's.
        overrides: `--set` each.

    Raises:
        ConfigError: one line a fault.
    """
    values: dict[str, Any] = {"protocol.exposed": False, "protocol.grain": "step"}  # there is no change
    labels: dict[str, str] = {}
    for key, value in asked.items():
        if value:
            told = value if not isinstance(value, list) else " ".join(map(str, value))
            values[f"profile.{key}"] = value
            labels[f"profile.{key}"] = f"--{OPTIONS.get(key, key)} {in_line(told, 120)}".replace(" True", "")
    return load(base, overrides, replaced=Replaced(values, labels, ("sweep",), ("profile", "protocol")))
