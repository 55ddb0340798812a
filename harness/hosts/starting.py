"""What starting any vLLM needs: its arguments checked, its environment set and put back, its errors in one line."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Environment", "check_arguments", "engine_dtype", "one_line"]


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
        """As it was; as often as one likes."""
        for key, value in self._before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        self._before = {}


def check_arguments(given: Iterable[str], known: Iterable[str], version: str) -> None:
    """Whether this vLLM has every engine argument.

    Raises:
        ConfigError: it has not; the message names the nearest one.
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
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def engine_dtype(dtype: Any) -> str:
    """A torch type as a config writes it."""
    return str(dtype).removeprefix("torch.")
