"""Functions of the host by wildcards: those that there are, by their full names."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import inspect
from typing import TYPE_CHECKING, Any

from harness.changes.code import plain_function
from harness.errors import ConfigError, in_line, told_with_place
from harness.instrument.targets import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FunctionType

__all__ = ["find_functions", "those_there"]

WILD = "*?["


def those_there(names: Sequence[str]) -> list[str]:
    """Of these full names those that lead to a function here, in their order; one function is given once."""
    found: dict[FunctionType, str] = {}
    for name in names:
        try:
            target = resolve(name)
        except ConfigError:
            continue
        function = plain_function(target.function)
        if function is not None:
            found.setdefault(function, name)
    return list(found.values())


def find_functions(pattern: str) -> list[str]:
    """The functions that a pattern names.

    Args:
        pattern: a function's full name; a class or a module, for all functions that are written in it; or one of them
            with `*`, `?` or `[..]` in what follows the module's name, as in `package.module.Class._prepare*`.

    Returns:
        Full names, sorted.

    Raises:
        ConfigError: it names none; the message suggests similar ones.
    """
    plain, _, wild = _split(pattern)
    module, rest = _module(plain, pattern)
    name = module.__name__
    every = sorted(_functions_of(module, name))
    if not rest and not wild:
        found = every
    else:
        inside = ".".join([name, *rest, *([wild] if wild else [])])
        found = [each for each in every if fnmatch.fnmatchcase(each, inside)]
        found = found or [each for each in every if each.startswith(f"{inside}.")]
        if not found and not wild:
            found = those_there([pattern])  # a method that a class inherits, or a function that a module imports
    if not found:
        near = difflib.get_close_matches(pattern, every, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; {name} has {len(every)} functions"
        raise ConfigError(f"profile: {in_line(pattern, 200)} names no function{hint}")
    return found


def _split(pattern: str) -> tuple[str, str, str]:
    """What comes before the first part with a wildcard, the dot, and the rest."""
    parts = pattern.split(".")
    place = next((i for i, part in enumerate(parts) if any(sign in part for sign in WILD)), len(parts))
    return ".".join(parts[:place]), ".", ".".join(parts[place:])


def _module(plain: str, pattern: str) -> tuple[Any, list[str]]:
    """The longest part of a name that is a module, imported, and what follows it."""
    path = plain.split(".")
    for length in range(len(path), 0, -1):
        prefix = ".".join(path[:length])
        try:
            return importlib.import_module(prefix), path[length:]
        except ModuleNotFoundError as error:
            if error.name is None or not f"{prefix}.".startswith(f"{error.name}."):
                raise ConfigError(f"profile: {in_line(pattern, 200)}: importing {prefix!r} failed: {error}") from error
        except Exception as error:  # a module can fail in any way while it is imported
            why = told_with_place(error)
            raise ConfigError(f"profile: {in_line(pattern, 200)}: importing {prefix!r} failed: {why}") from error
    raise ConfigError(f"profile: {in_line(pattern, 200)}: there is no module {path[0]!r}; write package.module.Class.*")


def _functions_of(held: Any, name: str) -> Iterator[str]:
    """Of a module or class, by full name, the functions that are written in it, and those of its classes."""
    module = getattr(held, "__module__", None) if inspect.isclass(held) else held.__name__
    for key, value in list(vars(held).items()):
        if inspect.isclass(value):
            if value.__module__ == module and value.__qualname__.rpartition(".")[2] == key:
                yield from _functions_of(value, f"{name}.{key}")
            continue
        function = plain_function(value.__func__ if isinstance(value, staticmethod | classmethod) else value)
        if function is not None and function.__module__ == module and those_there([f"{name}.{key}"]):
            yield f"{name}.{key}"
