"""The scope: the functions of the host inside which time counts, by the names that a config has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.changes.code import declared, plain_function
from harness.errors import ConfigError
from harness.instrument.targets import resolve

if TYPE_CHECKING:
    from types import FunctionType

__all__ = ["AUTO", "JOIN", "parts", "scope_functions"]

AUTO: Final = "auto"
"""The scope that the checking passes find: the phases of a turn that the changed functions lie in."""
JOIN: Final = " + "
"""Between the functions of a scope that has several."""


def parts(scope: str) -> list[str]:
    """The functions of a scope: `prepare_inputs + prepare_attn` are two."""
    return [part.strip() for part in scope.split("+")]


def scope_functions(runner: Any, scope: str) -> list[FunctionType]:
    """The live functions of a scope.

    Args:
        runner: a name without dots is one of its methods.
        scope: names, joined by `+`; one with dots is a function of any module.

    Raises:
        ConfigError: there is no such function, or it is not written in Python.
    """
    found = []
    for name in parts(scope):
        if "." in name:
            held: Any = resolve(name, what="scope").function
        elif callable(getattr(runner, name, None)):
            held = declared(type(runner), name)
        else:
            methods = sorted(has for has in dir(type(runner)) if "prepare" in has and not has.startswith("__"))
            raise ConfigError(f"scope {name!r}: {type(runner).__name__} has no such method; it has {methods}")
        function = plain_function(held)
        if function is None:
            raise ConfigError(f"scope {name!r} is {type(held).__name__}, and no function that is written in Python")
        found.append(function)
    return found
