"""Code objects: taken out of a compiled text by qualified name, with the defaults and global names that go with it."""

from __future__ import annotations

import ast
import dis
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from harness.changes.code import Code
from harness.changes.outline import first_line, shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness.changes.outline import Function

__all__ = ["Code", "code_in", "compiled", "defaults_of", "global_names", "nested", "same_defaults", "stored_globals"]

_LOADS: Final = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"))
_STORES: Final = frozenset(("STORE_GLOBAL", "DELETE_GLOBAL"))
_OF_CLASS: Final = frozenset(
    ("__name__", "__qualname__", "__module__", "__annotations__", "__classdict__", "__firstlineno__")
)
"""Names that the body of a class has from Python."""


def compiled(text: str, path: Path | str) -> CodeType:
    """A whole module's text, compiled under its file's path, so that tracebacks and profilers name that file."""
    return compile(text, str(path), "exec", dont_inherit=True)


def nested(code: CodeType) -> Iterator[CodeType]:
    """The code and all code inside it: nested functions, lambdas, comprehensions, classes."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def code_in(module: CodeType, name: str, line: int) -> CodeType | None:
    """The code of a function by its qualified name and first line (decorators included); None where there is none."""
    for code in nested(module):
        if code.co_qualname == name and code.co_firstlineno == line:
            return code
    return None


def global_names(code: CodeType) -> set[str]:
    """The global names that the code, or code inside it, reads."""
    found = set()
    for each in nested(code):
        instructions = list(dis.get_instructions(each))
        own = {one.argval for one in instructions if one.opname == "STORE_NAME"} | _OF_CLASS
        found |= {
            one.argval
            for one in instructions
            if one.opname in _LOADS and not (one.opname != "LOAD_GLOBAL" and one.argval in own)
        }
    return found - stored_globals(code)


def stored_globals(code: CodeType) -> set[str]:
    """The global names that the code, or code inside it, sets or deletes."""
    return {one.argval for each in nested(code) for one in dis.get_instructions(each) if one.opname in _STORES}


def same_defaults(old: Function, new: Function) -> bool:
    """Whether two functions have the same parameters and defaults, so that the living defaults serve both."""
    return bool(shape(old.args) == shape(new.args))


def defaults_of(
    node: Function, namespace: dict[str, Any], around: Mapping[str, Any]
) -> tuple[tuple[Any, ...] | None, dict[str, Any] | None]:
    """A function's defaults, worked out in a module's namespace by running its bare `def` line.

    Args:
        node: the function.
        namespace: its module's.
        around: what the class has that it is a method of.

    Raises:
        Exception: whatever the expressions raise.
    """
    arguments = ast.parse(ast.unparse(node.args).join(("def f(", "): pass"))).body[0].args  # type: ignore[attr-defined]
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    for argument in every:
        if argument is not None:
            argument.annotation = None
    bare = ast.parse("def f(): pass")
    bare.body[0].args = arguments  # type: ignore[attr-defined]
    made = dict(around)
    where = f"<defaults of {node.name}, line {first_line(node)}>"
    exec(compile(ast.fix_missing_locations(bare), where, "exec", dont_inherit=True), namespace, made)  # noqa: S102
    function: FunctionType = made["f"]
    return function.__defaults__, function.__kwdefaults__
