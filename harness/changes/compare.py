"""Two texts of one module, compared by what they define: each difference with what it takes to switch it.

Nothing is imported or looked up. What only the living engine can tell (`live`) comes later, in `build`.
"""

from __future__ import annotations

import ast
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.changes.grains import MAKERS, Grain, grain_of, grain_of_gone
from harness.changes.outline import Item, Outline, is_function, outline
from harness.changes.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.changes.reach import Use

__all__ = ["MAKERS", "Change", "Difference", "Grain", "How", "compare", "differences"]

How = Literal["changed", "new", "gone"]


@dataclass(frozen=True)
class Change:
    """One difference between two texts of a module.

    Attributes:
        module: the module's name.
        name: the qualified name in it; of a statement its beginning; empty for the whole module.
        kind: function, class, class head, class attribute, dataclass field, constant, import, statement or module.
        how: changed, new or gone.
        grain: "step": can be switched between steps. "launch": only by starting the engine anew. "added": put into the
            living module once, where nobody else names it. "nothing": changes nothing here.
        why: the reason of the grain, if there is one to tell.
    """

    module: str
    name: str
    kind: str
    how: How
    grain: Grain
    why: str = ""

    @property
    def full_name(self) -> str:
        """The name with its module's."""
        return f"{self.module}.{self.name}" if self.name else self.module

    def is_named(self, only: Sequence[str]) -> bool:
        """Whether one of these stands for it: its name, or that of a class or module that it is in, or parts of one."""
        full = self.full_name.partition("@")[0].partition("#")[0]
        return any(f".{name}." in f".{full}." for name in only)

    @property
    def makes_objects(self) -> bool:
        """Whether it is a method that makes objects, which keep what it made."""
        return self.kind == "function" and self.name.rpartition(".")[2] in MAKERS


@dataclass(frozen=True)
class Difference:
    """A change with the nodes that it comes from.

    Attributes:
        change: what is told of it.
        old: as it is installed.
        new: as the change has it.
        made_by: of a function that reads what only the new `__init__` makes: the class; it may be switched where no
            object of that class lives.
    """

    change: Change
    old: Item | None
    new: Item | None
    made_by: str = ""

    def now(self, grain: Grain, why: str) -> Difference:
        """The same with another grain."""
        return dataclasses.replace(self, change=dataclasses.replace(self.change, grain=grain, why=why))


def compare(module: str, old: str, new: str) -> list[Change]:
    """The differences between two texts of a module.

    Raises:
        ConfigError: a text is no Python.
    """
    return [difference.change for difference in differences(module, old, new)]


def differences(module: str, old: str, new: str) -> list[Difference]:
    """The same, with the nodes."""
    before, after = outline(module, old), outline(module, new)
    found = list(_in_statements(module, before, after))
    for name, item in after.items.items():
        was = before.items.get(name)
        if item.kind != "statement" and not _comes_with_class(item, before):
            grain, why = grain_of(item, was)
            if was is None or was.shape != item.shape or was.kind != item.kind:
                told = "class head" if item.kind == "class" and was is not None else item.kind
                change = Change(module, name, told, "changed" if was else "new", grain, why)
                found.append(Difference(change, was, item))
    for name, item in before.items.items():
        if item.kind != "statement" and name not in after.items and not _comes_with_class(item, after):
            found.append(Difference(Change(module, name, item.kind, "gone", *grain_of_gone(item)), item, None))
    found += _in_order(module, before, after)
    was_used, is_used = (list(Reach(module, text.tree).at_import()) for text in (before, after))
    found = [_used_at_import(each, was_used, "was {} at import already") for each in found]
    found = [_used_at_import(each, is_used, "is {} by what the change makes at import") for each in found]
    found = [_rebound(_defined_twice(each, before, after), before, after) for each in found]
    return [_read_state(each, before, after) for each in found]


def _comes_with_class(item: Item, other: Outline) -> bool:
    """Whether the class that it is in is only in this text, so that the class is the change."""
    return bool(item.owner) and other.class_of(item.owner) is None


def _in_statements(module: str, before: Outline, after: Outline) -> Iterator[Difference]:
    """Statements that ran at import, of which one text has more: they have no name, so they are matched by shape."""

    def by_shape(text: Outline) -> dict[tuple[str, str], list[Item]]:
        found: dict[tuple[str, str], list[Item]] = {}
        for item in text.items.values():
            if item.kind == "statement":
                found.setdefault((item.owner, repr(item.shape)), []).append(item)
        return found

    old, new = by_shape(before), by_shape(after)
    for key in [*new, *(key for key in old if key not in new)]:
        mine, others = new.get(key, []), old.get(key, [])
        for item in mine[len(others) :]:
            if not _comes_with_class(item, before):
                why = "a statement that runs at import, which has been"
                yield Difference(Change(module, item.name, "statement", "new", "launch", why), None, item)
        for item in others[len(mine) :]:
            if not _comes_with_class(item, after):
                why = "a statement that ran at import, and cannot be undone"
                yield Difference(Change(module, item.name, "statement", "gone", "launch", why), item, None)


def _in_order(module: str, before: Outline, after: Outline) -> Iterator[Difference]:
    """Classes whose fields are the same ones in another order."""

    def fields(text: Outline, owner: str) -> list[str]:
        return [name for name, item in text.items.items() if item.kind == "dataclass field" and item.owner == owner]

    for name, item in after.items.items():
        old, new = fields(before, name), fields(after, name)
        if item.kind == "class" and old != new and sorted(old) == sorted(new):
            why = "the order of the dataclass's fields changed"
            yield Difference(Change(module, name, "class head", "changed", "launch", why), before.items[name], item)


def _used_at_import(found: Difference, uses: Iterable[Use], how: str) -> Difference:
    """Refuse a value or a function of which other things are made when the old or the new text is imported."""
    change = found.change
    if change.how != "changed" or change.grain != "step":
        return found
    is_call = change.kind == "function"
    names = {f"{change.module}.{name}" for name in change.name.partition("@")[0].split(", ")}
    own = [item.node for item in (found.old, found.new) if item is not None]
    for use in uses:
        if use.name in names and use.is_call == is_call and use.node not in own:
            told = how.format("called") if is_call else f"its value {how.format('used')}"
            return found.now("launch", f"{told} (line {use.line})")
    return found


def _rebound(found: Difference, before: Outline, after: Outline) -> Difference:
    """Refuse a value that functions set while the engine runs: it would be set back before every step."""
    change = found.change
    if change.how == "changed" and change.grain == "step" and change.kind in ("constant", "import"):
        set_later = {
            name
            for text in (before, after)
            for node in ast.walk(text.tree)
            if isinstance(node, ast.Global)
            for name in node.names
        }
        if set_later & set(change.name.split(", ")):
            return found.now("launch", "functions of its module set it: it would be set back before every step")
    return found


def _defined_twice(found: Difference, before: Outline, after: Outline) -> Difference:
    """Refuse a name that one of the texts defines more than once: which definition lives depends on how it ran."""
    name = found.change.name.partition("#")[0]
    if found.change.kind == "statement" or name == "__all__":
        return found
    parts = name.split(".")
    around = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    if any(f"{each}#2" in text.items for each in around for text in (before, after)):
        return found.now("launch", "is defined more than once in its module")
    return found


def _read_state(found: Difference, before: Outline, after: Outline) -> Difference:
    """A method that reads an attribute which only the new `__init__` makes: objects of before do not have it."""
    if found.new is None or found.change.grain not in ("step", "added") or found.change.makes_objects:
        return found
    owner = found.new.owner
    old_class, new_class = before.class_of(owner), after.class_of(owner)
    if not is_function(found.new.node) or old_class is None or new_class is None:
        return found
    made = {
        name for maker in ("__init__", "__post_init__") for name in _of_self(after.function(f"{owner}.{maker}"), True)
    }
    defined = {name.rpartition(".")[2] for name, item in after.items.items() if item.owner == owner}
    unknown = made - set(_of_self(old_class)) - defined
    if hits := sorted(unknown & set(_of_self(found.new.node))):
        told = found.now("launch", f"reads self.{hits[0]}, which only the new {owner}.__init__ makes")
        return dataclasses.replace(told, made_by=owner)
    return found


def _of_self(node: ast.AST | None, stored: bool = False) -> Iterator[str]:
    """The names of attributes of `self` in a node; `stored`: only those that it sets."""
    for inner in ast.walk(node) if node is not None else ():
        is_own = isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "self"
        if is_own and isinstance(inner, ast.Attribute) and not (stored and not isinstance(inner.ctx, ast.Store)):
            yield inner.attr
