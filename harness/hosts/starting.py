"""What starting any vLLM needs: its arguments checked, its environment set and put back, its errors in one line."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError, told
from harness.records.machine import native_bfloat16

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["DTYPE_SINCE", "Environment", "check_arguments", "dtype_default", "engine_dtype", "one_line"]

DTYPE_SINCE: Final = "this CPU has no native bfloat16"
"""Why an engine runs in float32, where `dtype_default` has it do so."""


class Environment:
    """Environment variables that hold as long as an engine lives."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = dict(variables)
        self._before: dict[str, str | None] = {}

    def set(self) -> None:
        """Set them, and remember what was there."""
        self._before = {key: os.environ.get(key) for key in self._variables}
        os.environ.update(self._variables)

    def put_back(self) -> None:
        """Put back what was there; may be called repeatedly."""
        for key, value in self._before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        self._before = {}


def check_arguments(given: Iterable[str], known: Iterable[str], version: str) -> None:
    """Check that this vLLM has every engine argument.

    Raises:
        ConfigError: it does not; the message suggests a similar one.
    """
    names = set(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"engine.{name}: vLLM {version} has no such engine argument{hint}")


def one_line(error: BaseException) -> str:
    """The root of an exception in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return told(error)


def dtype_default(engine: Mapping[str, Any]) -> dict[str, str]:
    """On a CPU: float32 for a model in bfloat16 where that would be emulated, unless the config says otherwise.

    Emulated, a step of the tiny model takes two to three times as long, and none of that is host code.

    Args:
        engine: the config's engine arguments; `model` a folder. What type a hub's model has is not known before it
            is loaded, so for such a model there is no default.
    """
    if "dtype" in engine or native_bfloat16():
        return {}
    with contextlib.suppress(OSError, ValueError, AttributeError):
        model = json.loads((Path(str(engine["model"])) / "config.json").read_text(encoding="utf-8"))
        if "bfloat16" in (model.get("dtype"), model.get("torch_dtype")):
            return {"dtype": "float32"}
    return {}


def engine_dtype(dtype: Any) -> str:
    """A torch type as a config writes it."""
    return str(dtype).removeprefix("torch.")
