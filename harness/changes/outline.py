"""What a module's text defines, by qualified name, with nothing in it that does not run.

Positions, comments, docstrings and annotations do not count. Blocks for type checkers alone and for `__main__` are no
part of it, and what lies in other blocks (`if`, `try`) belongs to the module or class that the block stands in.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard

from harness.errors import ConfigError, in_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "Function",
    "Item",
    "Outline",
    "at_import",
    "first_line",
    "is_function",
    "never_runs",
    "outline",
    "running",
    "shape",
]

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Shape: TypeAlias = Any
"""Nested tuples of names and values, equal where two nodes do the same."""

IGNORED: Final = frozenset(("ctx", "kind", "type_comment", "type_params", "type_ignores", "returns", "annotation"))
BLOCKS: Final = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While)
FIELD_MAKERS: Final = ("dataclass", "Struct", "NamedTuple", "BaseModel")
"""What makes an `__init__` of a class's annotations: a decorator's or a base's name has one of these in it."""


@dataclass(frozen=True)
class Item:
    """Something that a module or a class defines, or a statement that runs when it is imported.

    Attributes:
        name: its qualified name; of a statement its beginning.
        kind: function, class, constant, class attribute, dataclass field, import or statement.
        node: where it is written.
        shape: what of it runs; of a class only its head.
        owner: the qualified name of the class that it is in; empty in a module.
        alias: of an import the part of the statement that binds this name.
        is_member: whether it is a member of an Enum.
    """

    name: str
    kind: str
    node: ast.stmt
    shape: Shape
    owner: str = ""
    alias: ast.alias | None = None
    is_member: bool = False


@dataclass
class Outline:
    """A module's items, in the order of its text. A name that is defined again has `#2` behind it."""

    tree: ast.Module
    items: dict[str, Item] = field(default_factory=dict)

    def function(self, name: str) -> Function | None:
        """The function of this qualified name, if there is one."""
        item = self.items.get(name)
        return item.node if item is not None and is_function(item.node) else None

    def class_of(self, name: str) -> ast.ClassDef | None:
        """The class of this qualified name, if there is one."""
        item = self.items.get(name)
        return item.node if item is not None and isinstance(item.node, ast.ClassDef) else None

    def add(self, item: Item) -> None:
        """Add an item, under a name of its own."""
        name, count = item.name, 1
        while name in self.items:
            count += 1
            name = f"{item.name}#{count}"
        self.items[name] = item


def is_function(node: ast.AST | None) -> TypeGuard[Function]:
    """Whether a node defines a function, an asynchronous one too."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def first_line(node: ast.stmt) -> int:
    """The line that CPython gives as the first of its code: that of its first decorator."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def outline(module: str, text: str) -> Outline:
    """What a module's text defines.

    Raises:
        ConfigError: it is no Python.
    """
    try:
        made = Outline(ast.parse(text))
    except (SyntaxError, ValueError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ConfigError(f"{module}{line} is no valid Python: {in_line(getattr(error, 'msg', error))}") from error
    _take(made, made.tree.body, "", None)
    return made


def shape(value: Any, *, hollow: bool = False) -> Shape:
    """What of a node runs. `hollow`: of functions and classes in it only that they are there."""
    if isinstance(value, list):
        return tuple(shape(item, hollow=hollow) for item in value if not _is_inert(item))
    if not isinstance(value, ast.AST):
        return value
    if hollow and (is_function(value) or isinstance(value, ast.ClassDef)):
        return (type(value).__name__, getattr(value, "name", ""))
    if isinstance(value, ast.Constant):
        return ("Constant", type(value.value).__name__, repr(value.value))
    if isinstance(value, ast.AnnAssign) and value.value is not None:
        return ("Assign", (shape(value.target),), shape(value.value))
    fields = (shape(getattr(value, name, None), hollow=hollow) for name in value._fields if name not in IGNORED)
    return (type(value).__name__, *fields)


def at_import(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions in a statement that are worked out when the module is imported: not the bodies of functions."""
    if is_function(node) or isinstance(node, ast.Lambda):
        inside: Iterable[ast.AST] = [
            *getattr(node, "decorator_list", ()),
            *node.args.defaults,
            *(default for default in node.args.kw_defaults if default is not None),
        ]
    elif isinstance(node, ast.AnnAssign):
        inside = [node.value] if node.value is not None else []
    elif isinstance(node, ast.If) and never_runs(node.test):
        inside = node.orelse
    else:
        inside = ast.iter_child_nodes(node)
    if isinstance(node, ast.expr) and not isinstance(node, ast.Lambda):
        yield node
    for child in inside:
        yield from at_import(child)


def running(node: ast.AST, *, into_classes: bool = True) -> Iterator[ast.stmt]:
    """A statement and the statements in it that run when it does: not the bodies of functions."""
    if isinstance(node, ast.stmt):
        yield node
    if is_function(node) or (isinstance(node, ast.ClassDef) and not into_classes):
        return
    inside = node.orelse if isinstance(node, ast.If) and never_runs(node.test) else ast.iter_child_nodes(node)
    for child in inside:
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from running(child, into_classes=into_classes)


def never_runs(test: ast.expr) -> bool:
    """Whether a block is for type checkers alone, or for `__main__`."""
    said = ast.unparse(test)
    return (said.endswith("TYPE_CHECKING") and not said.startswith("not ")) or said == "__name__ == '__main__'"


def _is_inert(node: Any) -> bool:
    """Whether a statement does nothing: `pass`, a docstring, a bare annotation."""
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _take(into: Outline, body: Sequence[ast.stmt], prefix: str, owner: ast.ClassDef | None) -> None:
    inside = prefix.removesuffix(".")
    for node in body:
        if is_function(node):
            if not any(_last_name(decorator) == "overload" for decorator in node.decorator_list):
                into.add(Item(prefix + _name_of(node), "function", node, shape(node), inside))
        elif isinstance(node, ast.ClassDef):
            # What is in a class that is defined again is not taken apart.
            what = shape(node) if prefix + node.name in into.items else _head(node)
            into.add(Item(prefix + node.name, "class", node, what, inside))
            if prefix + node.name + "#2" not in into.items:
                _take(into, node.body, f"{prefix}{node.name}.", node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            _take_import(into, node, prefix)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            _take_assignment(into, node, prefix, owner)
        elif isinstance(node, ast.If) and never_runs(node.test):
            _take(into, node.orelse, prefix, owner)
        elif not _is_inert(node):
            into.add(Item(prefix + _beginning(node), "statement", node, shape(node, hollow=True), inside))
            for inner in _defined_in(node) if isinstance(node, BLOCKS) else ():
                _take(into, [inner], prefix, owner)


def _defined_in(block: ast.AST) -> Iterator[ast.stmt]:
    """The functions and classes of a block, however deep in other blocks."""
    for child in ast.iter_child_nodes(block):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child
        elif isinstance(child, ast.stmt | ast.ExceptHandler):
            yield from _defined_in(child)


def _take_import(into: Outline, node: ast.Import | ast.ImportFrom, prefix: str) -> None:
    inside = prefix.removesuffix(".")
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return
    for alias in node.names:
        if alias.name == "*":
            into.add(Item(prefix + _beginning(node), "statement", node, shape(node), inside))
            continue
        source = (node.module, node.level) if isinstance(node, ast.ImportFrom) else None
        name = prefix + (alias.asname or alias.name)
        into.add(Item(name, "import", node, ("import", source, alias.name), inside, alias))


def _take_assignment(into: Outline, node: ast.Assign | ast.AnnAssign, prefix: str, owner: ast.ClassDef | None) -> None:
    inside = prefix.removesuffix(".")
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    is_field = owner is not None and isinstance(node, ast.AnnAssign) and _makes_fields(owner)
    if node.value is None and not is_field:
        return
    if not all(_is_name(target) for target in targets):
        into.add(Item(prefix + _beginning(node), "statement", node, shape(node), inside))
        return
    if is_field and isinstance(node, ast.AnnAssign):
        into.add(Item(prefix + ast.unparse(node.target), "dataclass field", node, _field(node, owner), inside))
        return
    kind = "constant" if owner is None else "class attribute"
    is_member = owner is not None and any(_last_name(base).endswith(("Enum", "Flag")) for base in owner.bases)
    for target in targets:
        name, what = prefix + ast.unparse(target).strip("()"), (shape(target), shape(node.value))
        into.add(Item(name, kind, node, what, inside, is_member=is_member))


def _is_name(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(isinstance(item, ast.Name) for item in target.elts)
    return isinstance(target, ast.Name)


def _field(node: ast.AnnAssign, owner: ast.ClassDef | None) -> Shape:
    said = ast.unparse(node.annotation)
    marks = tuple(mark for mark in ("ClassVar", "InitVar", "KW_ONLY") if mark in said)
    bases = " ".join(ast.unparse(base) for base in owner.bases) if owner is not None else ""
    # msgspec and pydantic read the annotation when they decode; a dataclass does not.
    decoded = said if "Struct" in bases or "BaseModel" in bases else ""
    return (marks, decoded, shape(node.value))


def _makes_fields(owner: ast.ClassDef) -> bool:
    said = [_last_name(decorator) for decorator in owner.decorator_list] + [_last_name(base) for base in owner.bases]
    return any(maker in name for name in said for maker in FIELD_MAKERS)


def _head(node: ast.ClassDef) -> Shape:
    return tuple(shape(part) for part in (node.bases, node.keywords, node.decorator_list))


def _last_name(node: ast.expr) -> str:
    """`jit` of `@triton.jit(...)`."""
    if isinstance(node, ast.Call | ast.Subscript):
        return _last_name(node.func if isinstance(node, ast.Call) else node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _name_of(node: Function) -> str:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Attribute) and decorator.attr in ("setter", "deleter", "getter"):
            return f"{node.name}@{decorator.attr}"
    return node.name


def _beginning(node: ast.stmt, most: int = 60) -> str:
    return in_line(" ".join(ast.unparse(node).split())[:most])
