"""A change made ready for a living engine: code for its functions, values for its names, and what cannot be switched.

First all is checked and nothing is touched. Only where nothing is refused are the additions put in place, and the code
objects made. `Built.remove` takes the additions away again.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any

from harness import signals
from harness.changes import adding, live
from harness.changes.adding import Additions, NewModules
from harness.changes.checks import Found, bound, check
from harness.changes.codes import Code, code_in, compiled, defaults_of, same_defaults
from harness.changes.live import LiveRefusal
from harness.changes.outline import is_function
from harness.changes.parts import ASIDE, Part, parts_of, without_the_rest
from harness.errors import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import CodeType

    from harness.changes.compare import Change
    from harness.changes.sources import SourceFile

__all__ = ["Built", "again", "build"]


@dataclass
class Built:
    """What an arm is made of in this process.

    Attributes:
        name: the arm's.
        functions: by living function what is set on it while the arm is in.
        callables: by living function another one that is called instead: its free variables differ.
        values: (module's dictionary, name, value) of names that are switched.
        changes: every difference, with its grain as it came out here.
        added: the names that were put into living modules and classes.
        names: by living function its full name, for people.
        makers: classes whose `__init__` the change has, or that read a changed value in it: none of their objects lives
            now, and none may outlive a step.
    """

    name: str
    functions: dict[FunctionType, Code] = field(default_factory=dict)
    callables: dict[FunctionType, FunctionType] = field(default_factory=dict)
    values: list[tuple[dict[str, Any], str, Any]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    names: dict[FunctionType, str] = field(default_factory=dict)
    makers: set[type] = field(default_factory=set)
    _caches: dict[str, Any] = field(default_factory=dict)
    _additions: Additions = field(default_factory=Additions)
    _modules: NewModules | None = None

    @property
    def added(self) -> list[str]:
        """The names that were put into living modules and classes."""
        return self._additions.told

    @property
    def caches(self) -> dict[str, Any]:
        """What the change caches by `functools.lru_cache` and its like, by full name: its own, not what it imports."""
        return {**self._caches, **(self._modules.caches() if self._modules is not None else {})}

    @property
    def refused(self) -> list[Change]:
        """What cannot be switched in this engine: the reason is in each."""
        return [change for change in self.changes if change.grain == "launch"]

    @property
    def imported(self) -> list[str]:
        """Modules that were set aside, since nobody had imported them, and have been imported meanwhile."""
        return [each.module for each in self.changes if each.why == ASIDE and each.module in sys.modules]

    def remove(self) -> None:
        """Take away all that was added. To be called when no function has the arm's code any more."""
        self._additions.remove()
        if self._modules is not None:
            self._modules.remove()


def build(
    name: str, files: Sequence[SourceFile], root: Path, only: Sequence[str] = (), *, partly: bool = False
) -> Built:
    """Make a change ready for this process.

    Args:
        name: the arm's.
        files: the change's.
        root: the folder that holds the installed package.
        only: qualified names, with or without the module's; the rest is left out.
        partly: go on where something is refused, with what is not. Otherwise nothing is touched then.

    Raises:
        ConfigError: a changed file is no Python, or `only` names nothing.
    """
    parts = parts_of(files, root)
    without_the_rest(parts, only)
    built, found = Built(name), check(parts)
    if partly or not any(part.change.grain == "launch" for part in parts):
        new = {
            part.change.module: part.path for part in parts if (part.change.kind, part.change.how) == ("module", "new")
        }
        built._modules = NewModules(new)
        try:
            _add(parts, built)
            _make(parts, found, built)
        except BaseException:
            built.remove()
            raise
    built.changes = [part.change for part in parts]
    if built.refused and not partly:
        built.remove()
        built = Built(name, changes=built.changes)
    return built


def again(functions: Iterable[FunctionType]) -> dict[FunctionType, Code]:
    """Native once more: the same source, compiled anew, so that an A/A comparison has code objects of its own.

    Raises:
        LiveRefusal: the source of one is not there, or is no longer what runs.
    """
    made: dict[FunctionType, Code] = {}
    modules: dict[str, CodeType] = {}
    for function in functions:
        own = function.__code__
        try:
            if own.co_filename not in modules:
                modules[own.co_filename] = compiled(Path(own.co_filename).read_text(encoding="utf-8"), own.co_filename)
        except (OSError, SyntaxError, ValueError) as error:
            raise LiveRefusal(f"{own.co_qualname}: its source cannot be compiled again: {told(error)}") from error
        code = code_in(modules[own.co_filename], own.co_qualname, own.co_firstlineno)
        if code != own:
            raise LiveRefusal(f"{own.co_qualname}: {own.co_filename} has changed since it was imported")
        made[function] = Code(code, function.__defaults__, function.__kwdefaults__)
    return made


def _add(parts: Sequence[Part], built: Built) -> None:
    """Put the additions in place: imports first, and again those that needed another addition."""
    waiting = [part for part in parts if part.change.grain == "added" and part.namespace is not None]
    waiting.sort(key=lambda part: part.change.kind != "import")
    while waiting:
        failed: list[tuple[Part, str]] = []
        for part in waiting:
            try:
                _add_one(part, parts, built)
            except LiveRefusal as refusal:
                part.refuse(str(refusal))
            except BaseException as error:
                if signals.came():
                    raise
                failed.append((part, f"raised when it was added: {told(error)}"))
        if len(failed) == len(waiting):
            for part, why in failed:
                part.refuse(why)
            return
        waiting = [part for part, _ in failed]


def _add_one(part: Part, parts: Sequence[Part], built: Built) -> None:
    item, namespace = part.found.new, part.namespace
    if item is None or namespace is None or "@" in part.change.name:
        return
    if item.owner:
        owner = live.class_in(part.change.module, item.owner.split("."))
        nodes = [
            other.found.new.node
            for other in parts
            if other.found.new is not None
            and other.change.module == part.change.module
            and other.change.name.partition("@")[0] == part.change.name
        ]
        value = adding.inside_class(nodes, owner, part.path, namespace, part.key)
        _put(part, owner, part.key, value, built)
        return
    node = item.node
    if item.alias is not None:
        node, _ = adding.one_import(item)
    for key, value in adding.run(node, part.path, namespace).items():
        if key in bound(part):
            _put(part, namespace, key, value, built)


def _put(part: Part, holder: dict[str, Any] | type, key: str, value: Any, built: Built) -> None:
    item = part.found.new
    mark = ast.dump(item.node) if item is not None and item.alias is None else (item.shape if item else None)
    full = part.change.full_name
    there = built._additions.put(holder, key, value, mark, full)
    held = adding.plain((holder if isinstance(holder, dict) else vars(holder))[key])
    if part.change.kind != "import" and adding.is_cache(held):
        built._caches[full] = held
    if there is not None:
        own = adding.plain(value)
        if there.__code__.co_freevars != own.__code__.co_freevars:
            raise LiveRefusal("another arm of this engine has added the same name in other words")
        built.functions[there] = Code(own.__code__, own.__defaults__, own.__kwdefaults__)
        built.names[there] = full


def _make(parts: Sequence[Part], found: Found, built: Built) -> None:
    """Code, defaults and values for what is switched."""
    for part in parts:
        if part.change.grain != "step" or part.namespace is None:
            continue
        try:
            if part.change.kind == "function":
                _make_function(part, found, built)
            else:
                _make_values(part, built)
                built.makers |= found.readers.get(id(part), set()) if part.change.grain == "step" else set()
        except BaseException as error:
            if signals.came():
                raise
            part.refuse(f"its values cannot be worked out: {told(error)}")


def _make_function(part: Part, found: Found, built: Built) -> None:
    each, code = found.functions[id(part)], found.codes[id(part)]
    old, new = part.found.old, part.found.new
    function, namespace = each.function, part.namespace or {}
    defaults, kwdefaults = function.__defaults__, function.__kwdefaults__
    if old is None or new is None or not is_function(old.node) or not is_function(new.node):
        return
    if not same_defaults(old.node, new.node):
        defaults, kwdefaults = defaults_of(new.node, namespace, vars(each.owner) if each.owner is not None else {})
    if code.co_freevars == function.__code__.co_freevars:
        built.functions[function] = Code(code, defaults, kwdefaults)
    else:
        cells = tuple(CellType(each.owner) for _ in code.co_freevars)
        made = FunctionType(code, function.__globals__, function.__name__, defaults, cells)
        made.__kwdefaults__, made.__qualname__ = kwdefaults, function.__qualname__
        built.callables[function] = made
    built.names[function] = part.change.full_name
    if part.change.makes_objects and each.owner is not None:
        built.makers.add(each.owner)


def _make_values(part: Part, built: Built) -> None:
    item, namespace = part.found.new, part.namespace
    if item is None or namespace is None:
        return
    node = adding.one_import(item)[0] if item.alias is not None else item.node
    made = adding.run(node, part.path, namespace)
    values = [(key, made[key]) for key in bound(part) if not _is_same(namespace[key], made[key])]
    if not values:
        part.leave("comes to the same value")
    built.values += [(namespace, key, value) for key, value in values]
    if item.alias is None:
        built._caches |= {f"{part.change.module}.{key}": value for key, value in values if adding.is_cache(value)}


def _is_same(old: Any, new: Any) -> bool:
    if old is new:
        return True
    return type(old) is type(new) and isinstance(new, int | float | str | bytes | None) and repr(old) == repr(new)
