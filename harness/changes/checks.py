"""What stands against switching a change in this process, told without touching anything."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.changes import adding, elsewhere, live
from harness.changes.census import Census
from harness.changes.codes import code_in, global_names
from harness.changes.live import LiveRefusal
from harness.changes.outline import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

    from harness.changes.parts import Part

__all__ = ["Found", "bound", "check"]


@dataclass
class Found:
    """The living functions of a change, and the new code of each, by the part's identity.

    Attributes:
        readers: by the identity of a changed value's part, the classes that make their objects with it.
    """

    functions: dict[int, live.Live] = field(default_factory=dict)
    codes: dict[int, CodeType] = field(default_factory=dict)
    readers: dict[int, set[type]] = field(default_factory=dict)


def check(parts: Sequence[Part]) -> Found:
    """Refuse what cannot be switched here, and give what the rest needs."""
    found = Found()
    census = Census()
    owners: dict[int, type] = {}
    for part in parts:
        if part.namespace is None:
            continue
        try:
            if part.found.made_by:
                owners[id(part)] = live.class_in(part.change.module, part.found.made_by.split("."))
            if part.change.how == "gone":
                _check_gone(part, parts)
            elif (
                part.change.how == "new"
                and (part.change.grain == "added" or part.found.made_by)
                and part.change.kind in ("function", "class attribute")
            ):
                _check_new(part, parts)
            elif part.change.grain == "step" and part.change.kind in ("constant", "import"):
                _check_value(part)
            elif part.change.kind == "function" and (part.change.grain == "step" or part.found.made_by):
                _check_function(part, found)
                each = found.functions[id(part)]
                census.functions.add(each.function)
                if part.change.makes_objects and each.owner is not None:
                    owners[id(part)] = each.owner
                if each.cached and each.owner is not None:
                    census.cached.add((each.owner, each.cached))
        except LiveRefusal as refusal:
            part.refuse(str(refusal))
    found.readers = elsewhere.made_of(parts)
    census.classes |= {*owners.values(), *(kind for kinds in found.readers.values() for kind in kinds)}
    census.take()
    for part in parts:
        _check_living(part, found.functions.get(id(part)), owners.get(id(part)), census)
        _check_readers(part, found.readers.get(id(part), set()), census)
    for part in parts:
        _check_names(part, parts, found)
    return found


def _check_gone(part: Part, parts: Sequence[Part]) -> None:
    owner = part.found.old.owner if part.found.old is not None else ""
    if owner and part.change.grain == "nothing":
        try:
            kind = live.class_in(part.change.module, owner.split("."))
        except LiveRefusal:  # the class is not made in this engine
            return
        # What goes away above as well runs no more in the new code either: nothing names it.
        gone = {other.change.full_name for other in parts if other.change.how == "gone"}
        above = next(
            (
                each
                for each in kind.__mro__[1:]
                if part.key in vars(each) and f"{each.__module__}.{each.__qualname__}.{part.key}" not in gone
            ),
            None,
        )
        if above is not None:
            part.refuse(f"went away, so that the inherited {above.__qualname__}.{part.key} runs instead")


def _check_new(part: Part, parts: Sequence[Part]) -> None:
    owner = part.found.new.owner if part.found.new is not None else ""
    if not owner:
        return
    if "@" in part.change.name and part.key in vars(live.class_in(part.change.module, owner.split("."))):
        raise LiveRefusal("a new accessor of a property that is there: the property would change for both arms")
    if part.change.kind == "function" and (
        by := live.storing(live.class_in(part.change.module, owner.split(".")), part.key)
    ):
        raise LiveRefusal(f"{by} sets an attribute of this name, which native's objects have")
    also = [
        live.class_in(other.change.module, other.found.new.owner.split("."))
        for other in parts
        if other.found.new is not None and other.found.new.owner and other.key == part.key and other.change.how == "new"
    ]
    if hidden := live.inherited(live.class_in(part.change.module, owner.split(".")), part.key, also):
        raise LiveRefusal(f"hides the inherited {hidden}, for the other arm too")


def _check_value(part: Part) -> None:
    namespace, package = part.namespace or {}, part.change.module.partition(".")[0]
    for key in bound(part):
        if key not in namespace:
            raise LiveRefusal("is not in the living module")
        if others := list(live.holders(part.change.module, key, namespace[key], package)):
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise LiveRefusal(f"{others[0]}{more} holds the old value by name as well")


def _check_function(part: Part, found: Found) -> None:
    old, new = part.found.old, part.found.new
    if old is None or new is None or part.code is None:
        raise LiveRefusal("has no code")
    each = live.find(part.change.module, part.change.name)
    live.must_be_installed(each.function, part.installed, first_line(old.node))
    code = code_in(part.code, each.function.__code__.co_qualname, first_line(new.node))
    if code is None:
        raise LiveRefusal("its new code is not found in the changed text")
    free = set(code.co_freevars) - {"__class__"}
    if code.co_freevars != each.function.__code__.co_freevars and (free or each.owner is None):
        names = ", ".join(sorted(free)) or "__class__"
        raise LiveRefusal(f"its free variables changed ({names}): the living function has no cell for them")
    found.functions[id(part)], found.codes[id(part)] = each, code


def _check_living(part: Part, each: live.Live | None, owner: type | None, census: Census) -> None:
    count = census.objects.get(owner, 0) if owner is not None else 0
    if part.found.made_by:
        if not count and (each is not None or part.change.how == "new"):
            part.found = part.found.now("added" if part.change.how == "new" else "step", "")
        return
    if count and owner is not None and part.change.grain == "step":
        part.refuse(f"makes objects, and {count} of {owner.__qualname__} {_live(count)}, made by the old one")
    elif each is not None and part.change.grain == "step":
        kept = census.kept.get((each.owner, each.cached), 0) if each.owner is not None else 0
        if inner := census.made.get(each.function):
            part.refuse(f"has made functions that live on ({inner}): they keep the old code")
        elif kept:
            part.refuse(f"is a cached_property, and {kept} {_objects(kept)} its old result")


def _check_readers(part: Part, readers: set[type], census: Census) -> None:
    for kind in sorted(readers, key=lambda each: each.__qualname__):
        if (count := census.objects[kind]) and part.change.grain == "step":
            part.refuse(f"is read where objects are made, and {count} of {kind.__qualname__} {_live(count)}")


def _live(count: int) -> str:
    return "lives" if count == 1 else "live"


def _objects(count: int) -> str:
    return "object keeps" if count == 1 else "objects keep"


def _check_names(part: Part, parts: Sequence[Part], found: Found) -> None:
    """Refuse code that reads a global name which the living module neither has nor gets."""
    if part.namespace is None or part.change.grain not in ("step", "added") or part.found.new is None:
        return
    code = found.codes.get(id(part))
    if code is None:
        if part.change.kind not in ("function", "class"):
            return
        name = part.change.name.partition("@")[0].partition("#")[0]
        code = code_in(part.code, name, first_line(part.found.new.node)) if part.code is not None else None
    if code is None:
        return
    gets = {
        key
        for other in parts
        if other.namespace is part.namespace and other.change.grain in ("step", "added")
        for key in bound(other)
    }
    missing = sorted(global_names(code) - part.namespace.keys() - vars(builtins).keys() - gets)
    if missing:
        part.refuse(f"uses {', '.join(missing)}, which the living module does not have")


def bound(part: Part) -> list[str]:
    """The names that a part binds in its module."""
    if part.found.new is None or part.found.new.owner:
        return []
    if part.found.new.alias is not None:
        return [adding.one_import(part.found.new)[1]]
    return part.change.name.partition("#")[0].split(", ")
