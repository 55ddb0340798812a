"""What a function runs: taken out of one, put into one, and a trampoline that leads to another function."""

from __future__ import annotations

import inspect
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import SeamError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Code", "copied", "declared", "frozen", "native_method", "plain_function", "trampoline"]


class Code(NamedTuple):
    """All of a function that calling it depends on, but for its globals and closure."""

    code: CodeType
    defaults: tuple[Any, ...] | None
    kwdefaults: dict[str, Any] | None

    @classmethod
    def of(cls, function: FunctionType) -> Code:
        """What a function runs now."""
        return cls(function.__code__, function.__defaults__, function.__kwdefaults__)

    def put(self, function: FunctionType) -> None:
        """Have a function run this; whoever holds the function calls it from now on."""
        function.__code__ = self.code
        function.__defaults__ = self.defaults
        function.__kwdefaults__ = self.kwdefaults

    def is_in(self, function: FunctionType) -> bool:
        """Whether a function runs this."""
        return (
            function.__code__ is self.code
            and function.__defaults__ is self.defaults
            and function.__kwdefaults__ is self.kwdefaults
        )


def copied(code: Code) -> Code:
    """The same in a code object of its own, whose bytecode specialises by itself."""
    return code._replace(code=code.code.replace())


def frozen(function: FunctionType, code: Code | None = None) -> FunctionType:
    """A function of its own that runs what `function` runs now, or `code`, whatever becomes of `function`."""
    run = code or Code.of(function)
    made = FunctionType(run.code, function.__globals__, function.__name__, run.defaults, function.__closure__)
    made.__kwdefaults__ = run.kwdefaults
    made.__qualname__ = function.__qualname__
    return made


def trampoline(function: FunctionType, slot: str) -> Code:
    """What has `function` call whatever its module holds under the name `slot`, with all that it is given.

    It takes any arguments, so that no call site can be specialised for one arm and be slower under the next: it costs
    some 300 ns a call under every arm alike (CPython 3.11).
    """
    free = function.__code__.co_freevars  # CPython lets a function change its code only for one with as many of them
    lines = [
        "def make():",
        *(f"    {name} = None" for name in free),
        "    def call(*args, **kwargs):",
        *([f"        if 0: {', '.join(free)}"] if free else []),
        f"        return {slot}(*args, **kwargs)",
        "    return call",
    ]
    made: dict[str, Callable[[], FunctionType]] = {}
    exec(compile("\n".join(lines), "<harness: trampoline>", "exec"), made)  # noqa: S102 (our own words and an identifier)
    code = made["make"]().__code__
    return Code(code.replace(co_name=function.__name__, co_qualname=function.__qualname__), None, None)


def declared(owner: Any, name: str) -> Any:
    """What a class (or a module) holds under a name, without binding it."""
    return inspect.getattr_static(owner, name)


def plain_function(held: Any) -> FunctionType | None:
    """The function that does the work, behind decorators that say what they wrap; None where there is none."""
    while True:
        if isinstance(held, staticmethod | classmethod) or inspect.ismethod(held):
            held = held.__func__
        elif isinstance(held, property) and held.fget is not None:
            held = held.fget
        elif callable(getattr(held, "__wrapped__", None)):
            held = held.__wrapped__
        else:
            return held if isinstance(held, FunctionType) else None


def native_method(owner: Any, function: FunctionType | None) -> Callable[..., Any]:
    """What the host's own function does for `owner` (None for a function of a module), whatever is put in its place.

    Raises:
        SeamError: it is not written in Python.
    """
    if function is None:
        raise SeamError("what the seam swaps is not written in Python here, so nothing can be put in its place")
    native = frozen(function)
    return native if owner is None else MethodType(native, owner)
