"""What modules and classes have, by their source alone: nothing is imported, since that would import torch.

Whatever only running the code can tell counts as unknown: compiled modules, `__getattr__`, names that a star imports or
that are computed, classes with decorators or metaclasses, and what is bound in two places.
"""

from __future__ import annotations

import abc
import ast
import builtins
import difflib
import re
import sys
import warnings
from dataclasses import dataclass, field
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from harness.config.bindings import ITSELF, STAR, Binding, bindings_of, computes, hinted, is_open
from harness.config.modules import find_module, is_module, specs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Sources"]

NEAR: Final = 3
"""Names that are suggested."""
_MANGLED: Final = re.compile(r"_\w*?(__\w+)")


@dataclass(eq=False)
class _Module:
    """A module's source.

    Attributes:
        folders: where its submodules are; None where it can have none.
        bindings: what it binds, by name: each a statement, or an import and what of it.
        hinted: names that it may give to something by other ways, such as `setattr`.
    """

    name: str
    tree: ast.Module
    folders: list[str] | None
    bindings: dict[str, list[Binding]] = field(init=False)
    hinted: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.bindings = bindings_of(self.tree)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Global):
                for name in node.names:
                    self.bindings.setdefault(name, []).append(node)
        self.hinted = hinted(self.tree)


@dataclass(eq=False)
class _Class:
    module: _Module
    node: ast.ClassDef
    nested: bool


@dataclass(eq=False)
class _Function:
    module: _Module
    node: ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class _Names:
    """What something has: `surely`, and what it may have beside."""

    surely: set[str]
    maybe: set[str] = field(default_factory=set)


_Thing: TypeAlias = _Module | _Class | _Function | type


class Sources:
    """Sources of modules, each parsed once."""

    def __init__(self) -> None:
        self._modules: dict[str, _Module | None] = {}
        self._known: dict[object, _Names | None] = {}

    def why_no_function(self, name: str) -> str:
        """Why a dotted name leads to no function, with names near it; empty where it leads to one, or may."""
        path = name.split(".")
        count = len(specs(path[:-1])[0])
        try:
            thing: _Thing | None = self._module(".".join(path[:count])) if count else None
            for at in range(count, len(path)):
                if isinstance(thing, _Function) and path[at] not in thing.module.hinted:
                    return f"{'.'.join(path[:at])} is a function: leave .{'.'.join(path[at:])} out"
                names = None if thing is None else self._names(thing)
                if thing is None or names is None:
                    return ""
                if self._lacks(thing, names, path[at]):
                    return f"{_label(thing)!r} has no attribute {path[at]!r}{_near(path[at], names.surely)}"
                thing = self._member(thing, path[at])
        except RecursionError:  # modules that import from each other in a circle, or expressions that nest too deep
            return ""
        return "" if thing is None or isinstance(thing, _Function) else _why_of_kind(name, thing)

    def why_no_method(self, classes: Sequence[str], name: str) -> str:
        """Why none of some classes, of which only some need to be there, has a method; empty where one has, or may.

        Args:
            classes: dotted names.
            name: the method's.
        """
        near: set[str] = set()
        try:
            for dotted in classes:
                module, _, last = dotted.rpartition(".")
                if not is_module(module):
                    continue  # there is no such module in this version
                source = self._module(module)
                thing = None if source is None else self._member(source, last)
                names = None if thing is None else self._names(thing)
                if thing is None or names is None or not self._lacks(thing, names, name):
                    return ""
                near |= names.surely
        except RecursionError:
            return ""
        return f"there is no method {name!r}{_near(name, near)}" if near else ""

    def _module(self, name: str) -> _Module | None:
        """A module's source; None where it has none or cannot be read."""
        if name not in self._modules:
            self._modules[name] = _parsed(name)
        return self._modules[name]

    def _lacks(self, thing: _Thing, names: _Names, name: str) -> bool:
        mangled = _MANGLED.fullmatch(name)  # `__name` in a class is `_Class__name` outside of it
        for each in (name, mangled[1] if mangled else name):
            if each in names.surely or each in names.maybe or (each.startswith("__") and each.endswith("__")):
                return False
        return not (isinstance(thing, _Module) and is_module(f"{thing.name}.{name}"))

    def _names(self, thing: _Thing) -> _Names | None:
        """What something has; None where only running its code can tell."""
        key = thing.node if isinstance(thing, _Class) else thing
        if key not in self._known:
            self._known[key] = self._found_names(thing)
        return self._known[key]

    def _found_names(self, thing: _Thing) -> _Names | None:
        if isinstance(thing, type):
            return None if hasattr(thing, "__getattr__") else _Names({*dir(thing), *dir(type(thing))})
        if isinstance(thing, _Function):
            return None
        if isinstance(thing, _Module):
            if is_open(thing.bindings) or computes(thing.tree, anything=True):
                return None
            return _Names(set(thing.bindings), thing.hinted)
        own = bindings_of(thing.node)
        if is_open(own) or thing.node.decorator_list or not self._plainly_made(thing):
            return None
        names = _Names({*own}, {*thing.module.hinted, *dir(abc.ABCMeta)})
        for base in thing.node.bases:
            value = self._value(base, thing)
            inherited = None if value is None else self._names(value)
            if inherited is None:
                return None
            names = _Names(names.surely | inherited.surely, names.maybe | inherited.maybe)
        return names

    def _plainly_made(self, thing: _Class) -> bool:
        """Whether a class has no metaclass but ABCMeta, and nothing gives it what stands nowhere in its module."""
        for keyword in thing.node.keywords:
            if keyword.arg != "metaclass" or self._value(keyword.value, thing) is not abc.ABCMeta:
                return False
        return not computes(thing.module.tree, anything=False, owners={*ITSELF, thing.node.name})

    def _member(self, thing: _Thing, name: str) -> _Thing | None:
        """What a name of something is, where that is a module, class or function; None where it may be anything."""
        if isinstance(thing, _Class):
            nodes = bindings_of(thing.node).get(name, [])
            return _defined(thing.module, nodes[0], nested=True) if len(nodes) == 1 else None
        if not isinstance(thing, _Module) or STAR in thing.bindings:
            return None
        if loaded := _of_stdlib(thing.name, name):
            return loaded
        nodes, submodule = thing.bindings.get(name, []), f"{thing.name}.{name}"
        if not nodes:
            return self._module(submodule)
        if len(nodes) > 1 or (thing.folders is not None and is_module(submodule)):
            return None
        (node,) = nodes
        return self._imported(thing, *node) if isinstance(node, tuple) else _defined(thing, node, nested=False)

    def _imported(self, module: _Module, statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> _Thing | None:
        if isinstance(statement, ast.Import):
            return self._module(alias.name if alias.asname else alias.name.partition(".")[0])
        where = statement.module or ""
        if statement.level:
            inside = module.name.split(".")
            inside = inside[: len(inside) - statement.level + (module.folders is not None)]
            where = ".".join([*inside, *([where] if where else [])])
        if loaded := _of_stdlib(where, alias.name):
            return loaded
        source = self._module(where)
        return None if source is None else self._member(source, alias.name)

    def _value(self, expression: ast.expr, of: _Class | _Module) -> _Thing | None:
        """What an expression at a class's head names."""
        module = of.module if isinstance(of, _Class) else of
        if isinstance(of, _Class) and of.nested:
            return None  # it can name what its outer class binds
        if isinstance(expression, ast.Subscript):  # Generic[T]
            return self._value(expression.value, of)
        if isinstance(expression, ast.Attribute):
            owner = self._value(expression.value, of)
            return self._member(owner, expression.attr) if isinstance(owner, _Module) else None
        if not isinstance(expression, ast.Name):
            return None
        if expression.id in module.bindings or STAR in module.bindings:
            return self._member(module, expression.id)
        builtin = getattr(builtins, expression.id, None)
        return builtin if isinstance(builtin, type) else None


def _of_stdlib(module: str, name: str) -> type | None:
    """A class of Python's own, where its module has been imported: some are in C, or bound in two places."""
    if module.partition(".")[0] not in sys.stdlib_module_names:
        return None
    value = getattr(sys.modules.get(module), name, None)
    return value if isinstance(value, type) else None


def _parsed(name: str) -> _Module | None:
    spec = find_module(name)
    file = Path((spec and spec.origin) or "")
    if spec is None or file.suffix not in SOURCE_SUFFIXES:
        return None
    folders = spec.submodule_search_locations
    try:
        with warnings.catch_warnings(action="ignore"):
            return _Module(name, ast.parse(file.read_bytes()), None if folders is None else list(folders))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # what nests too deep is the last two
        return None


def _defined(module: _Module, node: Binding, nested: bool) -> _Class | _Function | None:
    """The class or function that a statement defines; what a decorator makes of a function may be anything."""
    if isinstance(node, ast.ClassDef):
        return _Class(module, node, nested)
    plain = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list
    return _Function(module, node) if plain else None  # type: ignore[arg-type]


def _label(thing: _Thing) -> str:
    if isinstance(thing, _Class | _Function):
        return thing.node.name
    return thing.name if isinstance(thing, _Module) else thing.__name__


def _why_of_kind(name: str, thing: _Module | _Class | type) -> str:
    """Why something that a name leads to is no function."""
    if isinstance(thing, _Module):
        return f"{name} is a module: name a function in it"
    if isinstance(thing, type):
        return f"{name} is a class: name a function of it"
    if thing.node.decorator_list:
        return ""  # what makes anything of the class
    bound_by_it = (_defined(thing.module, nodes[0], nested=True) for nodes in bindings_of(thing.node).values())
    functions = [each.node.name for each in bound_by_it if isinstance(each, _Function)]
    plain = [function for function in functions if not function.startswith("__")] or functions
    return f"{name} is a class: name a function of it" + (f", such as {', '.join(plain[:NEAR])}" if plain else "")


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name[:100], sorted(names), n=NEAR)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
