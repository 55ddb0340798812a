"""What a config names by reference: classes of arms, as `module:Class` or `path/file.py:Class`, and probes.

A file is found and parsed, and not run: importing it would import torch, and run what the engine's process is for.
"""

from __future__ import annotations

import ast
import sys
import warnings
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import in_line
from harness.paths import why_no_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec

__all__ = ["dotted", "in_file", "why_malformed", "why_no_class", "why_no_module", "why_not_in_module"]

HOW: Final = "write module:Class or path/file.py:Class"
NAMESPACES: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
"""What is bound inside these is bound in them alone."""


def dotted(name: str) -> str:
    """A probe's name with dots alone: `torch:tensor` is `torch.tensor`."""
    return name.replace(":", ".")


def in_file(reference: str) -> bool:
    """Whether an arm is in a file that is named by its path."""
    return reference.rpartition(":")[0].endswith(".py")


def why_malformed(reference: str) -> str:
    """Why a reference names no class of a module or file; empty where it may."""
    where, _, name = reference.rpartition(":")
    if not name.isidentifier() or not (in_file(reference) or _is_dotted(where)):
        return f"{in_line(reference, 100)!r} names no class: {HOW}"
    return ""


def why_no_module(name: str) -> str:
    """Why a probe's name leads nowhere, by its package alone; empty where it may lead to a function."""
    if not _is_dotted(dotted(name)) or "." not in dotted(name):
        return "write package.module.function"
    package = dotted(name).partition(".")[0]
    return "" if _found(package) else f"there is no module {package!r} here"


def why_no_class(file: Path, name: str) -> str:
    """Why a file has no such class; empty if it has."""
    if why := why_no_file(file):
        return why
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        return f"{file}:{error.lineno}: this is no valid Python: {error.msg}"
    except (OSError, ValueError, RecursionError, MemoryError) as error:  # what nests too deep is the last two
        return f"{file} cannot be read: {in_line(error) or type(error).__name__}"
    bound = list(_bound(tree))
    classes = [node.name for node in bound if isinstance(node, ast.ClassDef)]
    others = {node.id for node in bound if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    others |= {node.asname or node.name.partition(".")[0] for node in bound if isinstance(node, ast.alias)}
    others |= {each for node in ast.walk(tree) if isinstance(node, ast.Global) for each in node.names}
    dynamic = any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in bound)
    if dynamic or name in (*classes, *others) or "*" in others:  # what a star imports is known only when it runs
        return ""
    return f"{file} has no class {name}; it has {in_line(', '.join(classes)) or 'none'}"


def why_not_in_module(reference: str) -> str:
    """Why an arm is not in the module that it names; empty where it is, or where only an import can tell."""
    where, _, name = reference.rpartition(":")
    parts = where.split(".")
    spec = None
    for count in range(1, len(parts) + 1):
        package = ".".join(parts[:count])
        try:
            path = None if spec is None else list(spec.submodule_search_locations or ())
            if path == []:
                return ""  # a module that makes others, such as `os.path`
            spec = _found(package, path)
        except (ImportError, KeyError):  # a namespace in a package that has not been imported
            return ""
        if spec is None:
            return f"there is no module {package!r} here"
    file = Path(spec.origin) if spec is not None and spec.origin else None
    return why_no_class(file, name) if file is not None and file.suffix in SOURCE_SUFFIXES else ""


def _found(package: str, path: list[str] | None = None) -> ModuleSpec | None:
    """A module's spec, without importing what it is in, which `importlib.util.find_spec` does."""
    loaded: ModuleSpec | None = getattr(sys.modules.get(package), "__spec__", None)
    if loaded is not None:
        return loaded
    found = (finder.find_spec(package, path) for finder in sys.meta_path)
    return next((spec for spec in found if spec is not None), None)


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _bound(tree: ast.Module) -> Iterator[ast.AST]:
    """What a module binds when it is run: nodes outside functions and classes, and these themselves."""
    ahead: list[ast.AST] = [tree]  # and no recursion, which a long sum of texts would take too deep
    while ahead:
        node = ahead.pop()
        yield node
        if not isinstance(node, NAMESPACES):
            ahead += reversed(list(ast.iter_child_nodes(node)))
