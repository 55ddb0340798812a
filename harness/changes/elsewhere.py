"""Where the old one lives on although its name is switched.

That is in what other modules made of it at import, and in objects whose makers read it.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.changes import live
from harness.changes.live import LiveRefusal
from harness.changes.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.changes.parts import Part

__all__ = ["made_of"]


class _Sought:
    """A changed value or function, by the names under which a module's text reaches it.

    Attributes:
        part: the change of it.
        read: the value, in full.
        called: the function, and all in its module whose call leads to the value or function.
    """

    def __init__(self, part: Part, reach: Reach) -> None:
        self.part = part
        names = part.change.name.partition("@")[0].split(", ")
        own = {f"{part.change.module}.{name}" for name in names}
        called = reach.callers(own)
        self.read = frozenset() if part.change.kind == "function" else self._of_packages(own)
        self.called = self._of_packages(called | own)

    def _of_packages(self, names: set[str]) -> frozenset[str]:
        """A package above often passes names of its modules on."""
        packages = [self.part.change.module]
        while "." in packages[-1]:
            packages.append(packages[-1].rpartition(".")[0])
        start = len(self.part.change.module)
        return frozenset(package + name[start:] for name in names for package in packages)


def made_of(parts: Sequence[Part]) -> dict[int, set[type]]:
    """Refuse what other modules used when they were imported, and give the classes whose makers read changed values.

    Returns:
        By the part's identity the classes: no object of theirs may live.
    """
    sought = _sought(parts)
    classes: dict[int, set[type]] = {}
    for reach, is_new in _texts(parts, sought):
        _refuse_used(reach, is_new, sought)
        if not is_new and any(each.read for each in sought):
            for name, read in reach.of_makers().items():
                for each in sought:
                    if each.read & read:
                        classes.setdefault(id(each.part), set()).update(_living(reach.module, name))
    return classes


def _sought(parts: Sequence[Part]) -> list[_Sought]:
    found, reaches = [], dict[Path, Reach]()
    for part in parts:
        change = part.change
        if part.namespace is None or (change.how, change.grain) != ("changed", "step"):
            continue
        if part.installed not in reaches:
            reaches[part.installed] = Reach(change.module, ast.parse(part.installed.read_bytes()))
        found.append(_Sought(part, reaches[part.installed]))
    return found


def _refuse_used(reach: Reach, is_new: bool, sought: Sequence[_Sought]) -> None:
    left = [each for each in sought if each.part.change.module != reach.module]
    uses = list(reach.at_import()) if left else []
    bound = list(reach.imported()) if is_new and left else []
    how = "is {} by what the change makes at import" if is_new else "was {} at import already"
    for each in left:
        if each.part.change.grain != "step":
            continue
        read = [use.line for use in uses if use.name in each.read] + [line for name, line in bound if name in each.read]
        called = [use.line for use in uses if use.is_call and use.name in each.called]
        if read or called:
            told = how.format("called") if not each.read else f"its value {how.format('used')}"
            each.part.refuse(f"{told} ({reach.module} line {(read or called)[0]})")


def _living(module: str, name: str) -> set[type]:
    try:
        return {live.class_in(module, name.split("."))}
    except LiveRefusal:  # it is not made in this engine
        return set()


def _texts(parts: Sequence[Part], sought: Sequence[_Sought]) -> Iterator[tuple[Reach, bool]]:
    """The texts that name what is sought: of the loaded modules of its package, and those of the change itself.

    To parse them all would take minutes.
    """
    if not sought:
        return
    names = {_word(name, each) for each in sought for name in each.read | each.called}
    word = re.compile(rb"\b(?:%s)\b" % b"|".join(re.escape(name).encode() for name in sorted(names)))
    package = sought[0].part.change.module.partition(".")[0]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name.partition(".")[0] == package and file.endswith(".py"):
            yield from _reach(name, Path(file), word, False)
    # What --only leaves out has no namespace, nor has a new module.
    taken = [
        part for part in parts if part.namespace is not None or (part.change.kind, part.change.how) == ("module", "new")
    ]
    new = {part.path: part.change for part in taken}
    for path, change in new.items():
        yield from _reach(change.module, path, word, True)


def _word(name: str, sought: _Sought) -> str:
    """A name as other modules' texts have it: `f`, or `A.f`."""
    module = sought.part.change.module
    while not name.startswith(f"{module}."):
        module = module.rpartition(".")[0]
    return name.removeprefix(f"{module}.")


def _reach(name: str, path: Path, word: re.Pattern[bytes], is_new: bool) -> Iterator[tuple[Reach, bool]]:
    try:
        text = path.read_bytes()
        if word.search(text):
            yield Reach(name, ast.parse(text), is_package=path.name == "__init__.py"), is_new
    except (OSError, SyntaxError, ValueError):
        return
