"""The living side of a change: the functions of this process by qualified name, and what stands against a switch."""

from __future__ import annotations

import ast
import contextlib
import dis
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from harness.changes.code import plain_function
from harness.changes.codes import nested

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = [
    "Live",
    "LiveRefusal",
    "class_in",
    "find",
    "holders",
    "inherited",
    "innermost",
    "mangled",
    "must_be_installed",
    "storing",
    "with_subclasses",
]

DEEPEST: Final = 20
"""Wrappers around a function, at most."""
CALLERS: Final = (functools.partial, functools.partialmethod, functools.singledispatchmethod)
"""What keeps its function as `func`."""
COMPILERS: Final = {"triton": "a Triton kernel", "cutlass": "a CuteDSL kernel", "numba": "a numba kernel"}
"""By package, what it makes of a function."""


class LiveRefusal(Exception):  # noqa: N818 (it is no error: the change goes to launch grain)
    """Something in the living engine cannot be switched; the text is the reason, without the name."""


@dataclass(frozen=True)
class Live:
    """A living function.

    Attributes:
        function: the innermost one, inside all that wraps it.
        owner: the class that it is a method of.
        cached: the name under which objects keep its result: it is a cached_property.
    """

    function: FunctionType
    owner: type | None = None
    cached: str = ""


def find(module: str, name: str) -> Live:
    """The function of a qualified name in a module of this process; `name@setter` is a property's.

    Raises:
        LiveRefusal: it is not there, or has no Python code of its own.
    """
    path, _, accessor = name.partition("#")[0].partition("@")
    *classes, last = path.split(".")
    owner = class_in(module, classes) if classes else None
    held = vars(owner).get(mangled(last, classes)) if owner is not None else vars(_module(module)).get(last)
    if held is None:
        raise LiveRefusal("is not in the living module: the module made it under another condition, or took it away")
    if isinstance(held, property):
        held = {"setter": held.fset, "deleter": held.fdel}.get(accessor, held.fget)
    cached = last if _is_cached_property(held) else ""
    return Live(innermost(held, path), owner, cached)


def class_in(module: str, path: Collection[str]) -> type:
    """A class of a module of this process.

    Raises:
        LiveRefusal: it is not there.
    """
    found: Any = _module(module)
    for part in path:
        found = vars(found).get(part)
        if not isinstance(found, type):
            raise LiveRefusal(f"the living module has no class {'.'.join(path)}")
    return found  # type: ignore[no-any-return]


def must_be_installed(function: FunctionType, file: Path, line: int) -> None:
    """Check that a living function is the one that stands in the installed file.

    Raises:
        LiveRefusal: somebody has put another one there, or it is generated.
    """
    code = function.__code__
    if code.co_filename.startswith("<"):
        raise LiveRefusal("is generated: it has no code in the source")
    with contextlib.suppress(OSError):
        if Path(code.co_filename).samefile(file) and code.co_firstlineno == line:
            return
    raise LiveRefusal(
        f"the living one is from {Path(code.co_filename).name}:{code.co_firstlineno}, the installed one stands at "
        f"{file.name}:{line}: somebody has patched it"
    )


def mangled(name: str, classes: Sequence[str]) -> str:
    """A name as its class holds it: `__x` of a class `A` is `_A__x`."""
    stem = classes[-1].lstrip("_") if classes else ""
    return f"_{stem}{name}" if stem and name.startswith("__") and not name.endswith("__") else name


def inherited(owner: type, name: str, but: Collection[type] = ()) -> str:
    """What a new attribute of a class would hide, for itself or for a class below it; empty where nothing.

    Args:
        owner: the class.
        name: the attribute's.
        but: classes whose attribute of that name may be hidden.
    """
    for each in with_subclasses(owner):
        for above in each.__mro__[each.__mro__.index(owner) + 1 :]:
            if name in vars(above) and above not in but:
                return f"{above.__qualname__}.{name}"
    return ""


def storing(owner: type, key: str) -> str:
    """A function of a class, of one above or below it, that sets an attribute of this name; empty where none does."""
    for each in {*owner.__mro__, *(kind for below in with_subclasses(owner) for kind in below.__mro__)}:
        for name, held in list(vars(each).items()):
            function = plain_function(held)
            if function is not None and any(
                one.opname == "STORE_ATTR" and one.argval == key
                for code in nested(function.__code__)
                if key in code.co_names
                for one in dis.get_instructions(code)
            ):
                return f"{each.__qualname__}.{name}"
    return ""


def holders(module: str, key: str, value: Any, package: str) -> Iterator[str]:
    """Other modules of the package that hold a module's value by name, since they imported it: `name.key`."""
    for name, other in list(sys.modules.items()):
        if name == module or name.partition(".")[0] != package or not isinstance(other, ModuleType):
            continue
        for held, theirs in list(vars(other).items()):
            if theirs is value and _imports(other, module, key, held):
                yield f"{name}.{held}"


def _imports(other: ModuleType, module: str, key: str, held: str) -> bool:
    """Whether a module's text imports that name; without its text only the name can say so.

    Small numbers and short texts are one object wherever they are written, so identity alone says nothing.
    """
    try:
        text = Path(getattr(other, "__file__", None) or "").read_text(encoding="utf-8")
        if key not in text and held != key:
            return False
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return held == key
    last = module.rpartition(".")[2]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] in (last, ""):
            if any(alias.name == key and (alias.asname or alias.name) == held for alias in node.names):
                return True
            if any(alias.name == "*" for alias in node.names) and held == key:
                return True
    return False


def _module(name: str) -> ModuleType:
    found = sys.modules.get(name)
    if not isinstance(found, ModuleType):
        raise LiveRefusal("its module is not imported by this engine")
    return found


def _is_cached_property(held: Any) -> bool:
    return isinstance(held, functools.cached_property) or type(held).__name__ == "cached_property"


def innermost(held: Any, path: str = "") -> FunctionType:
    """The function inside all that wraps it.

    Args:
        held: what stands there.
        path: the function's qualified name, by which it is found in a wrapper that does not tell what it wraps.

    Raises:
        LiveRefusal: what wraps it keeps results or compiled code of it, or there is none.
    """
    for _ in range(DEEPEST):
        if hasattr(held, "cache_clear"):
            raise LiveRefusal("is cached by lru_cache: results of one arm would be given to the other")
        if hasattr(held, "_torchdynamo_orig_callable"):
            raise LiveRefusal("is compiled by torch.compile: each switch would compile it again")
        if kernel := COMPILERS.get(type(held).__module__.partition(".")[0]):
            raise LiveRefusal(f"is {kernel}: compiled from its source text and cached, so its code never runs")
        if isinstance(held, staticmethod | classmethod | MethodType):
            held = held.__func__
        elif _is_cached_property(held) or isinstance(held, CALLERS):
            held = held.func
        elif hasattr(held, "__wrapped__"):
            held = held.__wrapped__
        else:
            below: FunctionType | None = _below(held, path) if isinstance(held, FunctionType) else None
            if below is None:
                break
            held = below
    if isinstance(held, FunctionType):
        return held
    if isinstance(held, BuiltinFunctionType):
        raise LiveRefusal("is built in: it has no Python code")
    raise LiveRefusal(f"is an object of {type(held).__qualname__} in the living module, with no code of its own")


def _below(wrapper: FunctionType, path: str, depth: int = 0) -> FunctionType | None:
    """The function of this name that a wrapper without functools.wraps keeps in its closure."""
    if wrapper.__code__.co_qualname == path:
        return None
    for cell in wrapper.__closure__ or ():
        with contextlib.suppress(ValueError):  # an empty cell
            held = cell.cell_contents
            if isinstance(held, FunctionType) and held.__code__.co_qualname == path:
                return held
            if isinstance(held, FunctionType) and depth < DEEPEST and (inner := _below(held, path, depth + 1)):
                return inner
    return None


def with_subclasses(owner: type, seen: set[type] | None = None) -> set[type]:
    """A class and all classes below it."""
    seen = set() if seen is None else seen
    if owner not in seen:
        seen.add(owner)
        below: list[type] = owner.__subclasses__() if owner is not type else []
        for each in below:
            with_subclasses(each, seen)
    return seen
