"""Where modules are, without importing anything: importing them would import torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

__all__ = ["find_module", "found", "is_module", "specs"]


def found(package: str, path: list[str] | None = None) -> ModuleSpec | None:
    """A module's spec, without importing what it is in, which `importlib.util.find_spec` does."""
    loaded: ModuleSpec | None = getattr(sys.modules.get(package), "__spec__", None)
    if loaded is not None:
        return loaded
    found_by = (finder.find_spec(package, path) for finder in sys.meta_path)
    return next((spec for spec in found_by if spec is not None), None)


def specs(path: Sequence[str]) -> tuple[list[ModuleSpec], bool]:
    """Specs of the longest part of a dotted name that is a module, from its package on.

    Returns:
        The specs, and whether what follows is surely no module: only an import can tell of what a module makes that is
        no package, such as `os.path`, and of a namespace in a package that has not been imported.
    """
    known: list[ModuleSpec] = []
    for count in range(1, len(path) + 1):
        try:
            folders = list(known[-1].submodule_search_locations or ()) if known else None
            spec = found(".".join(path[:count]), folders)
        except (ImportError, KeyError, ValueError, AttributeError, OSError):  # finders of any package
            return known, False
        if spec is None:
            return known, folders != []
        known.append(spec)
    return known, True


def find_module(name: str) -> ModuleSpec | None:
    """A module's spec, without importing anything; None where there is no such module, or only an import can tell."""
    path = name.split(".")
    known = specs(path)[0]
    return known[-1] if len(known) == len(path) else None


def is_module(name: str) -> bool:
    """Whether there is surely a module of that name."""
    return find_module(name) is not None
