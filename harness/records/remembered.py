"""What is kept on this machine from run to run: the result of the last selftest, how long an engine took to start."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, RootModel, ValidationError

from harness.errors import RecordsError
from harness.records.checked import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Took", "recall", "remember"]


class Took(RootModel[dict[str, Annotated[float, Field(ge=0, le=1e9)]]]):
    """How many seconds each of several things took, by its name."""


def recall(name: str, schema: type[BaseModel] = Took) -> dict[str, Any]:
    """What was last remembered under a name.

    Empty where there is nothing, where it cannot be read, or where it is not what it should be: anything can have
    become of a file in a cache.

    Args:
        name: as given to `remember`.
        schema: what it must be.
    """
    try:
        content: dict[str, Any] = read_json(_file(name))
        schema.model_validate(content)
    except (OSError, RecordsError, ValidationError):
        return {}
    return content


def remember(name: str, content: Mapping[str, Any]) -> None:
    """Remember it in place of what was there; where it cannot be written, the run goes on without."""
    path = _file(name)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _file(name: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness" / f"{name}.json"
