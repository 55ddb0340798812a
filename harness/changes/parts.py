"""The parts of a change in this process: each difference with the living module that it is in, and what was chosen."""

from __future__ import annotations

import ast
import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.changes.codes import compiled
from harness.changes.compare import Change, Difference, differences
from harness.changes.live import mangled
from harness.changes.reach import Reach
from harness.changes.sources import text_of
from harness.errors import ConfigError, in_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

    from harness.changes.sources import SourceFile

__all__ = ["ASIDE", "Part", "parts_of", "without_the_rest"]

ASIDE: Final = "not imported by this engine"
"""Why nothing is done in a changed module."""


@dataclass
class Part:
    """One difference, and where it is in this process.

    Attributes:
        found: the difference, with the grain that it has by now.
        namespace: the living module's dictionary; None where nothing is to be done in it: the module is not imported,
            new or gone, or the part was left out.
        installed: the file of the installed text.
        path: the file of the changed text.
        code: the changed text, compiled whole.
    """

    found: Difference
    namespace: dict[str, Any] | None = None
    installed: Path = Path()
    path: Path = Path()
    code: CodeType | None = None

    @property
    def change(self) -> Change:
        """What is told of it."""
        return self.found.change

    @property
    def key(self) -> str:
        """The last part of its name, as it is held in its module or class."""
        *classes, last = self.change.name.partition("@")[0].partition("#")[0].split(".")
        return mangled(last, classes)

    def refuse(self, why: str) -> None:
        """It needs an engine of its own."""
        self.found = self.found.now("launch", why)

    def leave(self, why: str) -> None:
        """It changes nothing here."""
        self.found = self.found.now("nothing", why)


def parts_of(files: Sequence[SourceFile], root: Path) -> list[Part]:
    """All differences of a change's files, in the files' order.

    Raises:
        ConfigError: a changed file is no Python, or cannot be read.
    """
    parts: list[Part] = []
    for file in files:
        if file.changed is None:
            parts.append(_module(file, "gone", "nothing", "stays for the other arm"))
        elif file.new:
            parts.append(_module(file, "new", "added", "imported when the change asks for it"))
        elif (module := sys.modules.get(file.module)) is None:
            parts.append(_module(file, "changed", "nothing", ASIDE))
        elif not _is_file(getattr(module, "__file__", None), root / file.relative):
            where = in_line(getattr(module, "__file__", None) or "no file")
            why = f"the living module is from {where}, not from what is installed"
            parts.append(_module(file, "changed", "launch", why))
        else:
            installed = root / file.relative
            old, new = text_of(installed), text_of(file.changed)
            found = differences(file.module, old, new)
            code = compiled(new, file.changed)
            parts += [Part(each, vars(module), installed, file.changed, code) for each in found]
    _refuse_asked(parts, files)
    return parts


def _refuse_asked(parts: Sequence[Part], files: Sequence[SourceFile]) -> None:
    """Refuse modules that are not imported yet, but will be by another file of the change: as they are installed."""
    aside = [part for part in parts if part.change.why == ASIDE]
    for file in files if aside else ():
        if file.changed is None or not (file.new or file.module in sys.modules):
            continue
        try:
            tree = ast.parse(text_of(file.changed))
        except (SyntaxError, ValueError):  # said where it is imported
            continue
        asked = Reach(file.module, tree, is_package=file.changed.name == "__init__.py").asked()
        for part in aside:
            if part.change.module in asked:
                part.refuse(f"is not imported yet, and {file.module} imports it")


def without_the_rest(parts: Sequence[Part], only: Sequence[str]) -> None:
    """Leave out what is neither named nor added for something that is named.

    Args:
        parts: all parts of the change.
        only: names; a class's or module's takes all that is in it.

    Raises:
        ConfigError: a name is not in the change.
    """
    if not only:
        return
    for name in only:
        if not any(part.change.is_named([name]) for part in parts):
            known = [part.change.full_name for part in parts]
            near = difflib.get_close_matches(name, [*known, *(part.change.name for part in parts)], 3, 0.5) or known[:3]
            raise ConfigError(f"--only {in_line(name)}: the change has no such name; it has {in_line(', '.join(near))}")
    chosen = [part for part in parts if part.change.is_named(only)]
    rest = [part for part in parts if part not in chosen]
    fresh = chosen
    while fresh:  # what is added for these, and for those
        used = {name for part in fresh for name in _names_in(part)}
        fresh = [part for part in rest if part.change.grain == "added" and _last(part) in used]
        rest = [part for part in rest if part not in fresh]
    for part in rest:
        if part.change.kind == "module" and part.change.how == "new":
            continue  # it is imported only where something that was chosen asks for it
        part.leave("left out by --only")
        part.namespace = None


def _last(part: Part) -> str:
    return part.change.name.rpartition(".")[2].partition("@")[0]


def _names_in(part: Part) -> set[str]:
    node = part.found.new.node if part.found.new is not None else None
    names = set()
    for inner in ast.walk(node) if node is not None else ():
        if isinstance(inner, ast.Name):
            names.add(inner.id)
        elif isinstance(inner, ast.Attribute):
            names.add(inner.attr)
        elif isinstance(inner, ast.alias):
            names.add(inner.name)
    return names


def _module(file: SourceFile, how: Any, grain: Any, why: str) -> Part:
    change = Change(file.module, "", "module", how, grain, why)
    return Part(Difference(change, None, None), path=file.changed or Path())


def _is_file(found: str | None, expected: Path) -> bool:
    try:
        return found is not None and Path(found).samefile(expected)
    except OSError:
        return False
