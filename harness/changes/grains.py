"""What it takes to switch one thing that a text defines, told from the text alone."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, Literal

from harness.changes.outline import shape

if TYPE_CHECKING:
    from harness.changes.outline import Item

__all__ = ["MAKERS", "Grain", "grain_of", "grain_of_gone"]

Grain = Literal["step", "launch", "added", "nothing"]

MAKERS: Final = frozenset(("__init__", "__post_init__", "__new__", "__setstate__"))
"""Methods that make what lives on: whether objects of the other arm live is counted in the engine."""
KERNELS: Final = ("triton", "cute", "cutlass", "numba")
COMPILERS: Final = frozenset(("jit", "njit", "kernel", "autotune", "heuristics", "script"))
CACHES: Final = frozenset(("lru_cache", "cache"))


def grain_of(item: Item, was: Item | None) -> tuple[Grain, str]:
    """The grain of an item that is new or changed, and why."""
    if was is not None and was.kind != item.kind:
        return "launch", f"was {_a(was.kind)}, is {_a(item.kind)} now"
    if item.kind == "function":
        return _of_function(item, was)
    if item.kind == "class":
        return ("added", "") if was is None else ("launch", "the bases, metaclass or decorators of the class changed")
    if item.kind == "dataclass field":
        return "launch", "a field of a dataclass: its __init__ is generated, and objects have been made by the old one"
    if item.kind == "class attribute":
        return _of_attribute(item, was)
    if item.name == "__all__":
        return "nothing", "only says what a star import takes"
    if was is None:
        if item.kind == "import" and item.owner:
            return "launch", "an import inside a class"
        return "added", ""
    if item.kind == "import" and item.owner:
        return "launch", "an import inside a class"
    return "step", "imported from elsewhere" if item.kind == "import" else "its value changed"


def _of_function(item: Item, was: Item | None) -> tuple[Grain, str]:
    decorators = [ast.unparse(decorator) for decorator in _decorators(item)]
    names = [_decorator_name(text) for text in decorators]
    name = item.name.rpartition(".")[2]
    if compiled := next((text for text, last in zip(decorators, names, strict=True) if last in COMPILERS), ""):
        library = next((library for library in KERNELS if library in compiled), "")
        what = {"triton": "a Triton kernel", "cute": "a CuteDSL kernel", "cutlass": "a CuteDSL kernel"}.get(
            library, f"compiled by @{compiled}"
        )
        if was is None:
            return "added", what
        return "launch", f"{what}: compiled from its source text and cached, so its code never runs"
    if was is None:
        if item.owner and name.startswith("__") and name.endswith("__"):
            return "launch", "a new special method: Python finds it on the type, so the other arm would run it too"
        return "added", ""
    if shape(_decorators(was)) != shape(_decorators(item)):
        return "launch", "its decorators changed"
    if CACHES & set(names):
        return "launch", "is cached by lru_cache: results of one arm would be given to the other"
    if name in ("__init_subclass__", "__set_name__"):
        return "launch", "runs when a class is made, which has been"
    if "torch.compile" in " ".join(decorators):
        return "launch", "compiled by torch.compile: each switch would compile it again"
    return "step", ""


def _decorators(item: Item) -> list[ast.expr]:
    return list(getattr(item.node, "decorator_list", []))


def _decorator_name(text: str) -> str:
    return text.partition("(")[0].rpartition(".")[2]


def _of_attribute(item: Item, was: Item | None) -> tuple[Grain, str]:
    if item.is_member:
        return "launch", "a member of an Enum: members are fixed when the class is made"
    if item.name.rpartition(".")[2] == "__slots__":
        return "launch", "the class's __slots__ changed: they are fixed when the class is made"
    if was is not None:
        return "launch", "the value of a class attribute changed: objects and subclasses of both arms read it"
    name = item.name.rpartition(".")[2]
    if name.startswith("__") and name.endswith("__"):
        return "launch", "a new special attribute of a class: the other arm would find it too"
    return "added", ""


def grain_of_gone(item: Item) -> tuple[Grain, str]:
    """The grain of an item that the new text does not have, and why."""
    if item.kind == "dataclass field":
        return "launch", "a field of a dataclass went away: its __init__ is generated"
    if item.is_member:
        return "launch", "a member of an Enum went away: members are fixed when the class is made"
    name = item.name.partition("@")[0].rpartition(".")[2]
    if item.owner and name.startswith("__") and name.endswith("__"):
        return "launch", "a special name went away: Python finds it on the type, so this arm would still have it"
    return "nothing", "stays for the other arm"


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "import" else f"a {kind}"
