"""Functions of the host by wildcards: those that there are, by their full names."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
from typing import TYPE_CHECKING, Any

from harness.changes.code import plain_function
from harness.errors import ConfigError, in_line
from harness.instrument.targets import import_longest, resolve

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
    plain, wild = _split(pattern)
    module, rest = import_longest([*plain, ""], pattern, "profile")  # of which all may be the module's name
    rest, name = rest[:-1], module.__name__
    every = sorted(_functions_of(module, name))
    if not rest and not wild:
        found = every
    else:
        inside = ".".join([name, *rest, *wild])
        found = [each for each in every if fnmatch.fnmatchcase(each, inside)]
        found = found or [each for each in every if each.startswith(f"{inside}.")]
        if not found and not wild:
            found = those_there([pattern])  # a method that a class inherits, or a function that a module imports
    if not found:
        near = difflib.get_close_matches(pattern, every, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; {name} has {len(every)} functions"
        raise ConfigError(f"profile: {in_line(pattern, 200)} names no function{hint}")
    return found


def _split(pattern: str) -> tuple[list[str], list[str]]:
    """The parts before the first one with a wildcard, and the rest."""
    parts = pattern.split(".")
    place = next((i for i, part in enumerate(parts) if any(sign in part for sign in WILD)), len(parts))
    return parts[:place], parts[place:]


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
