"""What a config names by reference: classes and functions, as `module:NAME` or `path/file.py:NAME`, and probes.

A file is found and parsed, and not run: importing it would import torch, and run what the engine's process is for.
"""

from __future__ import annotations

import ast
import warnings
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path
from typing import Final, Literal

from harness.config.bindings import bound
from harness.config.modules import found, specs
from harness.errors import in_line
from harness.paths import why_no_file

__all__ = [
    "dotted",
    "in_file",
    "is_function_name",
    "why_malformed",
    "why_no_module",
    "why_not_in_file",
    "why_not_in_module",
]

Kind = Literal["class", "function"]

HOW: Final = "write module:NAME or path/file.py:NAME"


def dotted(name: str) -> str:
    """A probe's name with dots alone: `torch:tensor` is `torch.tensor`."""
    return name.replace(":", ".")


def is_function_name(name: str) -> bool:
    """Whether a dotted name can be a function's: it has a module before it."""
    return "." in name and _is_dotted(name)


def in_file(reference: str) -> bool:
    """Whether an arm is in a file that is named by its path."""
    return reference.rpartition(":")[0].endswith(".py")


def why_malformed(reference: str) -> str:
    """Why a reference names no class or function of a module or file; empty where it may."""
    where, _, name = reference.rpartition(":")
    if not name.isidentifier() or not (in_file(reference) or _is_dotted(where)):
        return f"{in_line(reference, 100)!r} names no class or function: {HOW}"
    return ""


def why_no_module(name: str) -> str:
    """Why a probe's name leads nowhere, by its package alone; empty where it may lead to a function."""
    if not is_function_name(dotted(name)):
        return "write package.module.function"
    package = dotted(name).partition(".")[0]
    return "" if found(package) else f"there is no module {package!r} here"


def why_not_in_file(file: Path, name: str, kind: Kind = "class") -> str:
    """Why a file has no such class, or function; empty if it has."""
    if why := why_no_file(file):
        return why
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        return f"{file}:{error.lineno}: this is no valid Python: {error.msg}"
    except (OSError, ValueError, RecursionError, MemoryError) as error:  # what nests too deep is the last two
        return f"{file} cannot be read: {in_line(error) or type(error).__name__}"
    nodes = list(bound(tree.body))
    kinds = (ast.ClassDef,) if kind == "class" else (ast.FunctionDef, ast.AsyncFunctionDef)
    has = [node.name for node in nodes if isinstance(node, kinds)]
    others = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    others |= {node.asname or node.name.partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    others |= {each for node in ast.walk(tree) if isinstance(node, ast.Global) for each in node.names}
    dynamic = any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in nodes)
    if dynamic or name in (*has, *others) or "*" in others:  # what a star imports is known only when it runs
        return ""
    return f"{file} has no {kind} {name}; it has {in_line(', '.join(has)) or 'none'}"


def why_not_in_module(reference: str, kind: Kind = "class") -> str:
    """Why an arm is not in the module that it names; empty where it is, or where only an import can tell."""
    where, _, name = reference.rpartition(":")
    inside = where.split(".")
    known, certain = specs(inside)
    if len(known) < len(inside):
        return f"there is no module {'.'.join(inside[: len(known) + 1])!r} here" if certain else ""
    file = Path(known[-1].origin or "")
    return why_not_in_file(file, name, kind) if file.suffix in SOURCE_SUFFIXES else ""


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))
