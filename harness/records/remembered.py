"""What is kept on this machine from run to run: the result of the last selftest, how long an engine took to start."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["recall", "remember"]


def recall(name: str) -> dict[str, Any]:
    """What was last remembered under a name; empty where there is nothing, or where it cannot be read."""
    try:
        content = json.loads(_file(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def remember(name: str, content: Mapping[str, Any]) -> None:
    """Remember it in place of what was there; where it cannot be written, the run goes on without."""
    path = _file(name)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _file(name: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness" / f"{name}.json"
