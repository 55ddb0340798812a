"""Additions to living modules and classes: put there once, where nobody else names them, and taken away again.

Arms of one engine share what they add in the same words. Where the words differ, a function is switched like any other.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib.util
import sys
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from harness.changes.live import LiveRefusal, inherited, with_subclasses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path

    from harness.changes.outline import Item

__all__ = ["Additions", "NewModules", "inside_class", "is_cache", "one_import", "run"]

Holder: TypeAlias = "dict[str, Any] | type"
"""A module's dictionary, or a class."""


@dataclass
class _Shared:
    """What is in place under a name, and how many arms count on it."""

    mark: Any
    count: int


_IN_PLACE: Final[dict[tuple[int, str], _Shared]] = {}
"""By the holder's identity and the name: all that any arm of this process has added."""


@dataclass
class Additions:
    """What one arm has added.

    Attributes:
        told: the names, for people.
    """

    told: list[str] = field(default_factory=list)
    _put: list[tuple[Holder, str]] = field(default_factory=list)

    def put(self, holder: Holder, key: str, value: Any, mark: Any, name: str) -> FunctionType | None:
        """Put a value under a new name.

        Args:
            holder: where.
            key: the name there.
            value: what to put.
            mark: equal for what is written in the same words.
            name: for people.

        Returns:
            The function that another arm has put there, where the words differ: its code is to be switched.

        Raises:
            LiveRefusal: the name is taken, or hides what a class inherits.
        """
        own: Mapping[str, Any] = holder if isinstance(holder, dict) else vars(holder)
        shared = _IN_PLACE.get((id(holder), key))
        if isinstance(holder, type):
            self._must_be_seen(holder, key)
        if key not in own:
            if isinstance(holder, type):
                self._must_hide_nothing(holder, key)
            elif vars(builtins).get(key, value) is not value:
                raise LiveRefusal(f"hides Python's own {key}, for the other arm too")
            _set(holder, key, value)
            shared = _IN_PLACE[id(holder), key] = _Shared(mark, 0)
        elif shared is None:
            if own[key] is value:
                return None
            raise LiveRefusal("the living module or class has this name already, though its text does not")
        elif shared.mark != mark:
            there = plain(own[key])
            if type(own[key]) is type(value) and isinstance(there, FunctionType):
                self._count(holder, key, shared, name)
                return there
            raise LiveRefusal("another arm of this engine has added the same name in other words")
        self._count(holder, key, shared, name)
        return None

    def remove(self) -> None:
        """Take away what this arm has put in and no other arm counts on."""
        while self._put:
            holder, key = self._put.pop()
            shared = _IN_PLACE.get((id(holder), key))
            if shared is None:
                continue
            shared.count -= 1
            if shared.count <= 0:
                del _IN_PLACE[id(holder), key]
                with contextlib.suppress(KeyError, AttributeError):
                    holder.pop(key) if isinstance(holder, dict) else delattr(holder, key)
        self.told.clear()

    def _must_hide_nothing(self, owner: type, key: str) -> None:
        own = [each for each, name in self._put if name == key and isinstance(each, type)]
        alone = [each for each in own if _IN_PLACE[id(each), key].count == 1]
        if hidden := inherited(owner, key, alone):
            raise LiveRefusal(f"hides the inherited {hidden}, for the other arm too")

    def _must_be_seen(self, owner: type, key: str) -> None:
        """No other arm's addition to a class below may stand before this one."""
        for below in with_subclasses(owner) - {owner}:
            if (id(below), key) in _IN_PLACE and (below, key) not in self._put:
                raise LiveRefusal(f"another arm of this engine has added {below.__qualname__}.{key}, which hides it")

    def _count(self, holder: Holder, key: str, shared: _Shared, name: str) -> None:
        shared.count += 1
        self._put.append((holder, key))
        self.told.append(name)


class NewModules(MetaPathFinder):
    """Finds the modules that a change brings, when somebody imports them."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        if self._files:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's file, if it is one of the change's."""
        file = self._files.get(fullname)
        if file is None:
            return None
        inside = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(fullname, file, submodule_search_locations=inside)

    def caches(self) -> dict[str, Any]:
        """What the modules that were imported cache, by full name; not what they import."""
        return {
            f"{name}.{key}": held
            for name in self._files
            if name in sys.modules
            for key, held in vars(sys.modules[name]).items()
            if is_cache(held) and held.__module__ == name
        }

    def remove(self) -> None:
        """Take the modules out of this process again."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name, file in self._files.items():
            module = sys.modules.get(name)
            if module is not None and getattr(module, "__file__", None) == str(file):
                del sys.modules[name]
                package, _, last = name.rpartition(".")
                if vars(sys.modules.get(package, module)).get(last) is module:
                    delattr(sys.modules[package], last)


def run(node: ast.stmt, path: Path, namespace: dict[str, Any]) -> dict[str, Any]:
    """Run one statement of a changed text in a living module, and give the names that it binds, unbound there.

    Raises:
        Exception: whatever it raises.
    """
    made: dict[str, Any] = {}
    tree = ast.fix_missing_locations(ast.Module([node], []))
    exec(compile(tree, str(path), "exec", dont_inherit=True), namespace, made)  # noqa: S102 (the user's own change)
    return made


def one_import(item: Item) -> tuple[ast.stmt, str]:
    """The import of one name, and the name that it binds."""
    alias = item.alias
    if alias is None:
        raise TypeError(f"{item.name} is no import")
    node: ast.stmt = ast.Import([alias])
    if isinstance(item.node, ast.ImportFrom):
        node = ast.ImportFrom(item.node.module, [alias], item.node.level)
    return ast.copy_location(node, item.node), alias.asname or alias.name.partition(".")[0]


def inside_class(nodes: Sequence[ast.stmt], owner: type, path: Path, namespace: dict[str, Any], key: str) -> Any:
    """What statements of a class's body give for one name, as if they had stood in the living class.

    Raises:
        Exception: whatever they raise.
    """
    body = list(nodes)
    names = owner.__qualname__.split(".")
    for name in reversed(names):
        body = [ast.copy_location(ast.ClassDef(name, [], [], body, []), nodes[0])]
        if sys.version_info >= (3, 12):
            body[0].type_params = []  # type: ignore[attr-defined]
    made = run(body[0], path, namespace)[names[0]]
    for name in names[1:]:
        made = vars(made)[name]
    value = vars(made)[key]
    for part in (value, *(getattr(value, name, None) for name in ("fget", "fset", "fdel", "func", "__wrapped__"))):
        function = plain(part)
        if isinstance(function, FunctionType) and "__class__" in function.__code__.co_freevars:
            cells = function.__closure__ or ()
            cells[function.__code__.co_freevars.index("__class__")].cell_contents = owner
    return value


def plain(value: Any) -> Any:
    """The function inside a static or class method."""
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def is_cache(value: Any) -> bool:
    """Whether it keeps results as `functools.lru_cache` does, can forget them, and counts how often it found one."""
    return hasattr(value, "cache_clear") and hasattr(value, "cache_info")


def _set(holder: Holder, key: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[key] = value
        return
    setattr(holder, key, value)
    if hasattr(type(value), "__set_name__"):
        type(value).__set_name__(value, holder, key)
