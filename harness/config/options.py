"""What the command line changes in a config: `--set` and `--arms`, and keys under their former names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.config.arms import PATCHES, name_of
from harness.config.source import parse_value
from harness.errors import ConfigError, in_line
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FORMER", "apply_option", "arm_from_here", "choose_arms", "put"]

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
        return {
            key: _from_here(value, folder) if _is_path(key, value) else arm_from_here(value, folder)
            for key, value in entry.items()
        }
    named = isinstance(entry, str) and (".py:" in entry or entry.endswith(PATCHES))
    return _from_here(entry, folder) if named else entry


def _is_path(key: Any, value: Any) -> bool:
    return key in ("patch", "tree") and isinstance(value, str) and value != "" and ":" not in value


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
    if key == "workload.file" and isinstance(value, str):
        value = _from_here(value, folder)
    elif key == "arms" and isinstance(value, list):
        value = [arm_from_here(entry, folder) for entry in value]
    place = put(raw, key, value, label)
    if key in HOW_LONG and value is not None:  # replaces what the file or an earlier option gave
        for other in HOW_LONG:
            if other != key:
                place.pop(other.rpartition(".")[2], None)
                sources.pop(other, None)
    for other in [other for other in sources if other.startswith(f"{key}.")]:
        del sources[other]
    sources[key] = label


def put(raw: dict[str, Any], key: str, value: Any, label: str) -> dict[str, Any]:
    """Put a value under a key with dots; gives the section that it is in. `label` names the option in an error.

    Raises:
        ConfigError: the path leads through something that is no mapping.
    """
    *parents, last = key.split(".")
    place: Any = raw
    for part in parents:
        place = place.setdefault(part, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise ConfigError(f"{label}: {in_line('.'.join(parents), 60)} is no mapping in the config")
    place[last] = value
    return place


def choose_arms(raw: dict[str, Any], chosen: Sequence[str]) -> None:
    """Replace the arms; those that the config defines under a name keep their definition."""
    given = raw.get("arms")
    entries: list[Any] = given if isinstance(given, list) else []
    defined = {name_of(entry): entry for entry in entries}
    first = next(iter(defined), None) if raw.get("seam", "") != "" else NATIVE
    baseline: Any = raw.setdefault("baseline", first)
    named = isinstance(baseline, str) and baseline not in map(name_of, chosen)  # else refused when it is validated
    wanted: list[Any] = [baseline, *chosen] if named else list(chosen)
    raw["arms"] = [defined.get(name, name) for name in wanted]
