"""Loading an arm by name, inside the engine's process."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from harness.errors import ConfigError

__all__ = ["load_arm", "load_object", "source_digest"]


def load_arm(name: str, reference: str) -> Any:
    """Load an arm's class and make an instance of it.

    Raises:
        ConfigError: it cannot be loaded, is no class, or cannot be made without arguments.
    """
    found = load_object(reference)
    if not inspect.isclass(found):
        raise ConfigError(f"arm {name!r}: {reference} is no class; an arm is a class that is made without arguments")
    try:
        return found()
    except Exception as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"arm {name!r}: {found.__name__}() failed: {type(error).__name__}: {text}") from error


def load_object(reference: str) -> Any:
    """Load `package.module:Name` or `path/to/file.py:Name`.

    Raises:
        ConfigError: the module or file is not there, fails to import, or has no such name.
    """
    where, _, name = reference.rpartition(":")
    if not where or not name:
        raise ConfigError(f"arm {reference!r}: write module:Class or path/file.py:Class")
    try:
        module = _load_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"arm {reference!r}: importing {where} failed: {type(error).__name__}: {error}") from error
    try:
        return getattr(module, name)
    except AttributeError:
        raise ConfigError(f"arm {reference!r}: {where} has no {name!r}") from None


def source_digest(reference: str) -> str:
    """The beginning of the SHA-256 of the file in which an arm is written; empty where there is none to be read."""
    where = reference.rpartition(":")[0]
    try:
        spec = None if where.endswith(".py") else importlib.util.find_spec(where)
        path = Path(where) if spec is None else Path(spec.origin or "")
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except (OSError, ImportError, ValueError):
        return ""


def _load_file(path: Path) -> Any:
    path = path.resolve()
    if not path.is_file():
        raise ConfigError(f"arm file {path} is not there")
    # Registered under a name of its own, so that probes find what the file imported by name.
    name = f"_harness_arm_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"arm file {path} cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
