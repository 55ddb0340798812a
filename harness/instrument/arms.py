"""Loading an arm by name, inside the engine's process."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness import signals
from harness.errors import ConfigError, HarnessError, told_with_place
from harness.instrument.global_state import put_back, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

__all__ = ["ArmFaultError", "Faults", "load_arm", "load_object", "source_digest"]

Result = TypeVar("Result")


class ArmFaultError(ConfigError):
    """An arm's own code raised while it was imported or made."""


class Faults:
    """What the code of arms did outside of a step: when it was imported, made, or asked for its attributes.

    Such an arm is struck, and the others go on.

    Args:
        around: gives, for an arm's name, what its code runs in: a time limit.
    """

    def __init__(
        self, around: Callable[[str], AbstractContextManager[None]] = lambda name: contextlib.nullcontext()
    ) -> None:
        self._around = around
        self._told: dict[str, str] = {}

    @property
    def told(self) -> Mapping[str, str]:
        """By arm, in words."""
        return self._told

    def of(self, name: str, make: Callable[[], Result]) -> Result | None:
        """What `make`, which calls an arm's own code, gives; None where that raised or changed global state.

        Raises:
            HarnessError: the arm is not there, or is none.
            KeyboardInterrupt: a signal ends the run.
        """
        if name in self._told:
            return None
        made = None
        with self._around(name):
            before = snapshot()
            try:
                made = make()
            except BaseException as error:
                if signals.came() or (isinstance(error, HarnessError) and not isinstance(error, ArmFaultError)):
                    raise
                # What it raised itself: ArmFaultError has this machine's paths in its text.
                raised = error.__cause__ if isinstance(error, ArmFaultError) else error
                self._told[name] = f"raised {told_with_place(raised or error)}"
            if changed := put_back(before):
                what = ", ".join(changed)
                self._told.setdefault(name, f"changed {what} when it was loaded, for all that came after it")
        return None if name in self._told else made


def load_arm(name: str, reference: str) -> Any:
    """Load an arm's class and make an instance of it.

    Raises:
        ConfigError: it cannot be loaded, is no class, or cannot be made without arguments (where its own code raised:
            ArmFaultError).
    """
    found = load_object(reference)
    if not inspect.isclass(found):
        raise ConfigError(f"arm {name!r}: {reference} is no class; an arm is a class that is made without arguments")
    try:
        return found()
    except BaseException as error:
        if signals.came():
            raise
        raise ArmFaultError(f"arm {name!r}: {found.__name__}() failed: {told_with_place(error)}") from error


def load_object(reference: str) -> Any:
    """Load `package.module:Name` or `path/to/file.py:Name`.

    Raises:
        ConfigError: the module or file is not there, fails to import (ArmFaultError), or has no such name.
    """
    where, _, name = reference.rpartition(":")
    if not where or not name:
        raise ConfigError(f"arm {reference!r}: write module:Class or path/file.py:Class")
    try:
        module = _load_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except ConfigError:
        raise
    except BaseException as error:
        if signals.came():
            raise
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        kind = ConfigError if missing and f"{where}.".startswith(f"{missing}.") else ArmFaultError
        raise kind(f"arm {reference!r}: importing {where} failed: {told_with_place(error)}") from error
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
