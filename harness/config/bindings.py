"""What source code binds: the names that a module or a class has by its statements, and signs that it may have more."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ITSELF", "STAR", "Binding", "bindings_of", "bound", "computes", "hinted", "is_open"]

Binding: TypeAlias = ast.AST | tuple[ast.Import | ast.ImportFrom, ast.alias]
"""A statement that binds a name, or an import and what of it."""
NAMESPACES: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
"""What is bound inside these is bound in them alone."""
COMPUTING: Final = {"globals", "locals", "exec", "eval"}
"""Functions by which a module can bind what stands nowhere in it."""
OPEN: Final = {"__getattr__", "__getattribute__", "__init_subclass__", "__path__"}
"""Names by which a module or a class can have more than it binds."""
READING: Final = {"copy", "get", "items", "keys", "values"}
"""Methods of an object's dictionary that change nothing in it."""
ITSELF: Final = {"self", "cls"}
STAR: Final = "*"
"""The name under which a star's import is kept: it may bind any."""
_WORD: Final = re.compile(r"\w+")


def bound(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """What the body of a module or class binds when it is run: nodes outside functions and classes, and these."""
    ahead = list(body)[::-1]  # and no recursion, which a long sum of texts would take too deep
    while ahead:
        node = ahead.pop()
        yield node
        if not isinstance(node, NAMESPACES):
            ahead += reversed(list(ast.iter_child_nodes(node)))


def bindings_of(of: ast.Module | ast.ClassDef) -> dict[str, list[Binding]]:
    """What a module or a class binds, by name: each a statement, or an import and what of it."""
    names: dict[str, list[Binding]] = {}
    for node in bound(of.body):
        for name, what in _bound_by(node):
            names.setdefault(name, []).append(what)
    return names


def _bound_by(node: ast.AST) -> Iterator[tuple[str, Binding]]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name, node
    elif isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id, node
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            # `import a.b` binds a.
            yield alias.asname or (alias.name.partition(".")[0]), (node, alias)
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name, node
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest, node


def hinted(tree: ast.Module) -> set[str]:
    """Names that are set on some object or used of `self`, and words of texts that stand for no documentation."""
    names: set[str] = set()
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            used = isinstance(node.value, ast.Name) and node.value.id in ITSELF
            names |= {node.attr} if used or not isinstance(node.ctx, ast.Load) else set()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            names |= set(_WORD.findall(node.value))
    return names


def is_open(bindings: dict[str, list[Binding]]) -> bool:
    """Whether what has these may have any other name as well."""
    return STAR in bindings or not OPEN.isdisjoint(bindings)


def computes(tree: ast.Module, anything: bool, owners: Iterable[str] = ()) -> bool:
    """Whether a module's code can give names to itself or to a class of its own that stand nowhere in it.

    Args:
        tree: the module's.
        anything: whether names that are set on any object count, and not only those on `owners`.
        owners: names of the class, in its module and in itself.
    """

    def given(node: ast.expr) -> bool:
        return anything or not isinstance(node, ast.Name | ast.Attribute) or getattr(node, "id", "") in owners

    nodes = list(ast.walk(tree))
    read = {id(node.value) for node in nodes if isinstance(node, ast.Attribute) and node.attr in READING}
    for node in nodes:
        match node:
            case ast.Name(id=name) if name in COMPUTING:
                return True
            case ast.Attribute(value=ast.Name(id="sys"), attr="modules"):
                return True
            case ast.ImportFrom(module="sys") if any(alias.name in ("modules", STAR) for alias in node.names):
                return True
            case ast.Attribute(value=owner, attr="__dict__") if given(owner) and id(node) not in read:
                return True
            case ast.Call(func=ast.Name(id="vars"), args=[]):
                return True
            case ast.Call(func=ast.Name(id="vars"), args=[owner]) if given(owner) and id(node) not in read:
                return True
            case ast.Call(func=ast.Name(id="setattr"), args=[owner, name, _]) if given(owner):
                if not isinstance(name, ast.Constant):
                    return True
    return False
