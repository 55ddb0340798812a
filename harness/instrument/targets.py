"""Functions by dotted name: where they are held, and how to put another object there and back.

vLLM imports many helpers by name, so one function can be held by many modules: all of them are found, by
identity. Two ways of replacing follow from how CPython caches look-ups:

- A function of a module is replaced in the modules' dictionaries each time the scope opens, and put back
  when it closes: the value under an existing key may change without invalidating any inline cache.
- A method is replaced on its class (or on one instance) once a pass. Writing to a class drops the method
  caches of that class and its subclasses, which would slow the very code that is measured if it happened
  at each step; outside the scope the wrapper passes calls straight through instead.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from dataclasses import dataclass, field
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any, Final

from harness.changes.code import plain_function
from harness.errors import ConfigError, told_with_place

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import FunctionType

__all__ = ["Target", "import_longest", "live_functions", "resolve"]

_ABSENT: Final = object()
_HEAP_TYPE: Final = 1 << 9
_IMMUTABLE_TYPE: Final = 1 << 8
"""Py_TPFLAGS_HEAPTYPE and Py_TPFLAGS_IMMUTABLETYPE (Include/object.h)."""
_OWN_PACKAGES: Final = ("harness",)
"""Modules that keep their own references: what they hold is never replaced."""


@dataclass
class Target:
    """A callable of the host, and every place that holds it.

    `module_slots` are (module dictionary, key) pairs; `owner` is set for a method: the class whose attribute
    `attribute` it is.
    """

    name: str
    function: Callable[..., Any]
    module_slots: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    owner: Any = None
    attribute: str = ""
    _saved: Any = _ABSENT
    _replaced: bool = False

    def is_same(self, other: Target) -> bool:
        """Whether both are one function under two names: an alias, a re-export, or a method that a class inherits.

        A builtin is made anew each time that it is looked up on a class or an object, and is then only equal.
        """
        builtin = isinstance(self.function, BuiltinFunctionType) and self.function == other.function
        return self.function is other.function or builtin

    def replace_attribute(self, replacement: Any) -> None:
        """Put `replacement` on the owner (kept as staticmethod or classmethod where the original was one)."""
        own = vars(self.owner)
        self._saved, self._replaced = own.get(self.attribute, _ABSENT), True
        declared = inspect.getattr_static(self.owner, self.attribute)
        if isinstance(declared, staticmethod | classmethod):
            replacement = type(declared)(replacement)
        setattr(self.owner, self.attribute, replacement)

    def restore_attribute(self) -> None:
        """Put back what was there: the same object, or nothing where it was inherited."""
        if not self._replaced:
            return
        if self._saved is not _ABSENT:
            setattr(self.owner, self.attribute, self._saved)
        elif self.attribute in vars(self.owner):
            delattr(self.owner, self.attribute)
        self._saved, self._replaced = _ABSENT, False

    def restore_module_slots(self, wrappers: Collection[Any]) -> list[str]:
        """Put the function back wherever one of `wrappers` was left; gives the keys that hold something else."""
        strange = []
        for namespace, key in self.module_slots:
            held = namespace.get(key, _ABSENT)
            if any(held is wrapper for wrapper in wrappers):
                namespace[key] = held = self.function
            if held is not self.function:
                strange.append(key)
        return strange

    def restore_late_imports(self, wrappers: Collection[Any]) -> None:
        """Put the function back in modules that were imported while the scope was open, and so took a wrapper."""
        for wrapper in wrappers:
            if getattr(wrapper, "__wrapped__", None) is self.function:
                for namespace, key in _holders(wrapper):
                    namespace[key] = self.function


def resolve(name: str, what: str = "probe") -> Target:
    """Find a callable by dotted name: `torch.tensor`, `package.module.function`, `package.module.Class.method`.

    `what` it is for stands in errors.

    Raises:
        ConfigError: no such module or attribute, or it cannot be called; the message suggests similar names.
    """
    path = name.replace(":", ".").split(".")
    module, rest = import_longest(path, name, what)
    owner: Any = module
    found: Any = module
    for part in rest:
        owner = found
        try:
            found = getattr(found, part)
        except AttributeError:
            near = difflib.get_close_matches(part, dir(found), n=3)
            hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
            label = getattr(found, "__name__", str(found))
            raise ConfigError(f"{what} {name!r}: {label!r} has no attribute {part!r}{hint}") from None
        except Exception as error:  # a module that imports only now what it names
            raise ConfigError(f"{what} {name!r}: looking up {part!r} failed: {told_with_place(error)}") from error
    if not callable(found) or inspect.isclass(found):
        raise ConfigError(f"{what} {name!r} is {type(found).__name__} and no function; name a function or a method")
    if lazy := _lazy(found):
        raise ConfigError(
            f"{what} {name!r} is {lazy}: calling it does none of its work, so there is nothing to time; name the "
            "function that it calls"
        )
    if inspect.isclass(owner):
        if not owner.__flags__ & _HEAP_TYPE or owner.__flags__ & _IMMUTABLE_TYPE:
            raise ConfigError(f"{what} {name!r}: methods of {owner.__name__} cannot be replaced, it is built in")
        declared = inspect.getattr_static(owner, rest[-1])
        function = declared.__func__ if isinstance(declared, staticmethod | classmethod) else declared
        return Target(name, function, owner=owner, attribute=rest[-1])
    slots = _holders(found)
    if not slots:
        raise ConfigError(f"{what} {name!r} is a method of an object; name its class: package.module.Class.method")
    return Target(name, found, module_slots=slots)


def live_functions(names: Sequence[str]) -> Iterator[FunctionType]:
    """The functions of these names that there are here; what else a name stands for is passed over.

    No module is imported for it.
    """
    for name in names:
        if not _is_there(name):
            continue
        try:
            function = plain_function(resolve(name).function)
        except ConfigError:
            continue
        if function is not None:
            yield function


def _is_there(name: str) -> bool:
    """Whether the module that has it has been imported, and has the first part of what follows its own name."""
    path = name.split(".")
    longest = next((end for end in range(len(path) - 1, 0, -1) if ".".join(path[:end]) in sys.modules), 0)
    return longest > 0 and path[longest] in vars(sys.modules[".".join(path[:longest])])


def _lazy(function: Callable[..., Any]) -> str:
    """What a function is whose call only makes an object that works later; empty for any other."""
    plain = inspect.unwrap(function)
    kinds = {
        "a generator": inspect.isgeneratorfunction,
        "a coroutine function": inspect.iscoroutinefunction,
        "an asynchronous generator": inspect.isasyncgenfunction,
    }
    return next((name for name, is_one in kinds.items() if is_one(plain)), "")


def import_longest(path: list[str], name: str, what: str) -> tuple[Any, list[str]]:
    """Import the longest prefix of `path` that is a module; the rest are attributes."""
    for length in range(len(path) - 1, 0, -1):
        prefix = ".".join(path[:length])
        try:
            return importlib.import_module(prefix), path[length:]
        except ModuleNotFoundError as error:
            if error.name is None or not f"{prefix}.".startswith(f"{error.name}."):
                raise ConfigError(f"{what} {name!r}: importing {prefix!r} failed: {error}") from error
        except Exception as error:  # a module can fail in any way while it is imported
            raise ConfigError(f"{what} {name!r}: importing {prefix!r} failed: {told_with_place(error)}") from error
    raise ConfigError(f"{what} {name!r}: there is no module {path[0]!r}; write package.module.function")


def _holders(function: Any) -> list[tuple[dict[str, Any], str]]:
    """Every (module dictionary, key) under which `function` itself is held."""
    slots = []
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] in _OWN_PACKAGES:
            continue
        try:
            namespace = vars(module)
        except TypeError:
            continue
        slots += [(namespace, key) for key, value in list(namespace.items()) if value is function]
    return slots
