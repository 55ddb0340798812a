"""What starting any vLLM needs: its model found, its arguments checked, its environment set and put back."""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError, in_line
from harness.paths import is_file, is_folder
from harness.records.machine import native_bfloat16

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "DTYPE_SINCE",
    "NOT_INSTALLED",
    "Environment",
    "check_arguments",
    "declared_arguments",
    "dtype_default",
    "engine_dtype",
    "resolve_model",
]

DTYPE_SINCE: Final = "this CPU has no native bfloat16"
"""Why an engine runs in float32, where `dtype_default` has it do so."""

NOT_INSTALLED: Final = "vLLM is not installed here; `make setup` brings its CPU build, EXTRA=cuda the GPU one"

LONGEST_NAME: Final = 255
"""Characters: of a file on Linux, and more than a hub's name has."""


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


def resolve_model(model: str, folder: Path) -> str:
    """The full path of a model folder beside the config or under the working directory; else a hub's name.

    Raises:
        ConfigError: the name begins like a folder that is there, but leads to none with a config.json.
    """
    for candidate in (folder / model, Path(model)):
        if is_file(candidate / "config.json"):
            return str(candidate.resolve())
    named = in_line(model)
    for start in (folder, Path()):
        if model.startswith((".", "/")) or is_folder(start / Path(model).parts[0]):
            parent = (start / model).parent
            there = sorted(path.parent.name for path in parent.glob("*/config.json")) if is_folder(parent) else []
            hint = f"; beside it there is {in_line(', '.join(there))}" if there else ""
            raise ConfigError(f"engine.model: {named}: there is no folder of that name with a config.json{hint}")
    if len(model) > LONGEST_NAME:
        raise ConfigError(f"engine.model: {named}: longer than the name of any model or folder")
    return model


def check_arguments(given: Iterable[str], known: Iterable[str], version: str) -> None:
    """Check that this vLLM has every engine argument.

    Raises:
        ConfigError: it does not; the message suggests a similar one.
    """
    names = set(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name[:100], names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"engine.{in_line(name, 100)}: vLLM {version} has no such engine argument{hint}")


@functools.cache
def declared_arguments() -> frozenset[str]:
    """The engine arguments of the vLLM that is installed here, by its source; empty where that does not tell."""
    spec = importlib.util.find_spec("vllm")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            tree = ast.parse((Path(folder) / "engine" / "arg_utils.py").read_bytes())
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and node.name == "EngineArgs" and not node.bases:
                    return frozenset(
                        each.target.id for each in node.body
                        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
                    )  # fmt: skip
    return frozenset()


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
