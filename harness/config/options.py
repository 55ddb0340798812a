"""What the command line changes in a config: `--set` and `--arms`, and keys under their former names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.config.source import parse_value
from harness.errors import ConfigError, in_line

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FORMER", "apply_option", "arm_from_here", "choose_arms"]

HOW_LONG: Final = ("protocol.groups", "protocol.seconds", "protocol.until")
"""Each says how long to measure, so that one replaces the others."""
FORMER: Final = {"protocol.passes": "protocol.groups"}
"""Former names of keys, which are still understood."""


def _from_here(name: str, folder: Path) -> str:
    """A file that was named on the command line, so from the working directory, as seen from the config's folder."""
    return os.path.relpath(Path(name).absolute(), folder.absolute())


def arm_from_here(entry: Any, folder: Path) -> Any:
    """An entry of `arms` from the command line, its file as seen from the config's folder."""
    if isinstance(entry, dict):
        return {name: arm_from_here(reference, folder) for name, reference in entry.items()}
    return _from_here(entry, folder) if isinstance(entry, str) and ".py:" in entry else entry


def apply_option(raw: dict[str, Any], override: str, sources: dict[str, str], folder: Path) -> None:
    """Apply one `--set`, and remember in `sources` which key it gave; `folder` is the config's.

    Raises:
        ConfigError: it is no `key.path=value`, or the path leads through something that is no mapping.
    """
    label = f"--set {in_line(override, 120)}"
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"{label}: write key.path=value, as in --set protocol.groups=40")
    value = parse_value(text, label)
    key = FORMER.get(key, key)
    *parents, last = key.split(".")
    place: Any = raw
    for part in parents:
        place = place.setdefault(part, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise ConfigError(f"{label}: {in_line('.'.join(parents), 60)} is no mapping in the config")
    if key == "workload.file" and isinstance(value, str):
        value = _from_here(value, folder)
    elif key == "arms" and isinstance(value, list):
        value = [arm_from_here(entry, folder) for entry in value]
    if key in HOW_LONG and value is not None:  # replaces what the file or an earlier option gave
        for other in HOW_LONG:
            place.pop(other.rpartition(".")[2], None)
            sources.pop(other, None)
    place[last] = value
    sources[key] = label


def choose_arms(raw: dict[str, Any], chosen: Sequence[str]) -> None:
    """Replace the arms; those that the config defines under a name keep their definition."""
    given = raw.get("arms")
    entries: list[Any] = given if isinstance(given, list) else []
    defined = {_name(entry): entry for entry in entries}
    baseline: Any = raw.setdefault("baseline", next(iter(defined), None))
    named = isinstance(baseline, str) and baseline not in chosen  # what is no name is refused when it is validated
    wanted: list[Any] = [baseline, *chosen] if named else list(chosen)
    raw["arms"] = [defined.get(name, name) for name in wanted]


def _name(entry: Any) -> str:
    if isinstance(entry, dict):
        return str(entry.get("name") or next(iter(entry), ""))
    return str(entry).rpartition(":")[2]
