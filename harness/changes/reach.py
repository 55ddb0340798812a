"""What a module's text reads and calls when it is imported, and when objects of its classes are made.

Names are given in full, as far as the text tells where they come from. The module's own functions are followed, those
of other modules are not.
"""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from harness.changes.grains import MAKERS
from harness.changes.outline import at_import, is_function, never_runs, running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.changes.outline import Function

__all__ = ["Reach", "Use"]


class Use(NamedTuple):
    """A name that was read or called at import.

    Attributes:
        name: in full.
        line: where the module's own statement reads or calls it, or a function that does.
        is_call: whether it was called; it was read as well then.
        node: the module's statement.
    """

    name: str
    line: int
    is_call: bool
    node: ast.stmt


class Reach:
    """A module's text, with the names that its statements and functions use.

    Args:
        module: its name.
        tree: the text.
        is_package: whether it is a package's `__init__`.
    """

    def __init__(self, module: str, tree: ast.Module, *, is_package: bool = False) -> None:
        self.module, self._tree = module, tree
        self._package = module if is_package else module.rpartition(".")[0]
        self._functions: dict[str, Function] = {}
        self._classes: dict[str, ast.ClassDef] = {}
        self._known: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        self._index(tree.body, "")

    def at_import(self) -> Iterator[Use]:
        """What was read and called at import, by the module's functions too."""
        for node in self._tree.body:
            for name, line, is_call in _named(node):
                full = self._full(name)
                yield Use(full, line, is_call, node)
                if is_call:
                    read, called = self._reached(self._followed(full))
                    yield from (Use(each, line, False, node) for each in read)
                    yield from (Use(each, line, True, node) for each in called)

    def imported(self) -> Iterator[tuple[str, int]]:
        """The full names that the module binds by importing them, with their lines: not inside of functions."""
        for node in self._tree.body:
            for inner in running(node):
                if isinstance(inner, ast.ImportFrom):
                    source = self._source(inner)
                    yield from ((f"{source}.{alias.name}", inner.lineno) for alias in inner.names)

    def asked(self) -> set[str]:
        """The modules that the text imports, at whatever time, and names of theirs, which may be modules too."""
        found = set()
        for node in _executed(self._tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                source = self._source(node)
                found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
        return found

    def of_makers(self) -> dict[str, set[str]]:
        """By class what is read where its objects are made."""
        return {name: self._reached(self._followed(f"{self.module}.{name}"))[0] for name in self._classes}

    def callers(self, wanted: set[str]) -> set[str]:
        """The module's functions and classes that read or call one of these names when they are called."""
        found = set()
        for name in [*self._functions, *self._classes]:
            read, called = self._reached(self._followed(f"{self.module}.{name}"))
            if wanted & (read | called):
                found.add(f"{self.module}.{name}")
        return found

    def _index(self, body: Iterable[ast.stmt], prefix: str) -> None:
        for node in body:
            for inner in running(node, into_classes=False):
                if is_function(inner):
                    self._functions[prefix + inner.name] = inner
                elif isinstance(inner, ast.ClassDef):
                    self._classes[prefix + inner.name] = inner
                    self._index(inner.body, f"{prefix}{inner.name}.")

    @cached_property
    def _aliases(self) -> dict[str, str]:
        found = dict[str, str]()
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ImportFrom):
                source = self._source(node)
                found |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    found[alias.asname or first] = alias.name if alias.asname else first
        return found

    def _source(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        above = self._package.split(".")
        return ".".join([*above[: len(above) - node.level + 1], *([node.module] if node.module else [])])

    def _full(self, name: str, owner: str = "") -> str:
        first, dot, rest = name.partition(".")
        if owner and first in ("self", "cls"):
            return f"{self.module}.{owner}{dot}{rest}"
        return f"{self._aliases[first]}{dot}{rest}" if first in self._aliases else f"{self.module}.{name}"

    def _followed(self, full: str) -> list[str]:
        """The module's functions that run when a name is called."""
        name = full.removeprefix(f"{self.module}.")
        if name in self._functions:
            return [name]
        if name in self._classes:
            made = [f"{each}.{maker}" for each in self._with_bases(name) for maker in sorted(MAKERS)]
            return [each for each in made if each in self._functions]
        owner, _, last = name.rpartition(".")
        above = [f"{each}.{last}" for each in self._with_bases(owner)]
        return [each for each in above if each in self._functions][:1]

    def _with_bases(self, name: str) -> list[str]:
        found = [name] if name in self._classes else []
        for each in found:
            bases = [self._full(_dotted(base)).removeprefix(f"{self.module}.") for base in self._classes[each].bases]
            found += [base for base in bases if base in self._classes and base not in found]
        return found

    def _reached(self, functions: Iterable[str]) -> tuple[set[str], set[str]]:
        """What functions read and call, and those that they call."""
        read, called, waiting = set[str](), set[str](), list(functions)
        seen = set(waiting)
        while waiting:
            name = waiting.pop()
            own = self._used(name)
            read |= own[0]
            called |= {f"{self.module}.{name}", *own[1]}
            fresh = {inner for each in own[1] for inner in self._followed(each)} - seen
            seen |= fresh
            waiting += fresh
        return read, called

    def _used(self, name: str) -> tuple[frozenset[str], frozenset[str]]:
        """The names that a function itself reads and calls, with those functions inside it that it calls."""
        if name not in self._known:
            found = list(_inside(self._functions[name], frozenset()))
            owner = name.rpartition(".")[0]
            self._known[name] = (
                frozenset(self._full(each, owner) for each, is_call in found if not is_call),
                frozenset(self._full(each, owner) for each, is_call in found if is_call),
            )
        return self._known[name]


def _inside(function: Function, above: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """The names of elsewhere that a function's body uses: its own variables and those around it are none."""
    statements = [inner for node in function.body for inner in running(node)]
    nested = {inner.name: inner for inner in statements if is_function(inner)}
    arguments = function.args
    own = {each.arg for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]} - {"self", "cls"}
    set_here = {
        each.id
        for node in function.body
        for each in at_import(node)
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)
    }
    shared = {name for inner in statements if isinstance(inner, ast.Global) for name in inner.names}
    hidden = (above | own | set_here | nested.keys()) - shared
    for node in function.body:
        for name, _, is_call in _named(node):
            if is_call and name in nested:
                yield from _inside(nested.pop(name), hidden)
            elif name.partition(".")[0] not in hidden:
                yield name, is_call


def _named(node: ast.stmt) -> Iterator[tuple[str, int, bool]]:
    """The names that a statement reads and calls, with their lines: not those in the bodies of functions."""
    for each in at_import(node):
        if isinstance(each, ast.Call) and (name := _dotted(each.func)):
            yield name, each.lineno, True
        elif isinstance(each, ast.Name | ast.Attribute) and isinstance(each.ctx, ast.Load) and (name := _dotted(each)):
            yield name, each.lineno, False
    for inner in running(node):
        decorators: list[ast.expr] = getattr(inner, "decorator_list", [])
        yield from ((name, each.lineno, True) for each in decorators if (name := _dotted(each)))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all in it, but what is there for type checkers alone."""
    yield node
    for child in node.orelse if isinstance(node, ast.If) and never_runs(node.test) else ast.iter_child_nodes(node):
        yield from _executed(child)


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of such an expression; empty for any other."""
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""
