"""YAML to plain values: what neither a config nor run.json could hold is refused here, with its line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import yaml

from harness.errors import ConfigError, in_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["faults_of", "parse_value", "read"]

LARGEST: Final = 1_000_000
"""Bytes of a config file. A larger one is another kind of file."""
DEEPEST: Final = 40
"""Levels of nesting. What reads values by recursion gives up at some hundred of them."""
MOST: Final = 100_000
"""Values in a config, with what aliases repeat: a few lines of them can stand for millions."""
INT64: Final = 2**63
TOO_DEEP: Final = f"it is nested more than {DEEPEST} levels deep"
INVALID: Final = "this is no valid YAML: "


class _FaultError(Exception):
    """What is wrong with a YAML text, and in which line (None where that is not known)."""

    def __init__(self, why: str, mark: yaml.error.Mark | None) -> None:
        super().__init__(why)
        self.why, self.line = why, None if mark is None else mark.line + 1


class _Loader(yaml.SafeLoader):
    """Safe, and refuses a key that is given twice, which YAML's own loader accepts, and nesting without end."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _FaultError(TOO_DEEP, self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (_FaultError, yaml.MarkedYAMLError):
            raise
        except Exception as error:  # what a value is made of can fail in any way: dates, numbers, tags that do not fit
            why = f"{INVALID}{in_line(getattr(node, 'value', ''), 40)} is no value: {in_line(error)}"
            raise _FaultError(why, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _FaultError("a key is a plain word here", key.start_mark)
            if key.value in seen:
                why = f"{in_line(key.value)}: already given in line {seen[key.value]}; keep one"
                raise _FaultError(why, key.start_mark)
            seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def read(path: Path) -> tuple[yaml.Node | None, Any]:
    """Read a YAML file: its nodes, which know their lines, and its value.

    Raises:
        ConfigError: it cannot be read, or is no valid YAML; one line with the file and, where it is known, the line.
    """
    name = in_line(path)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name}: cannot be read: {in_line(getattr(error, 'strerror', None) or error)}") from error
    if len(content) > LARGEST:
        raise ConfigError(f"{name}: cannot be read: it has more than {LARGEST:,} bytes, and so is no config")
    try:
        return _load(text)
    except _FaultError as fault:
        where = name if fault.line is None else f"{name}:{fault.line}"
        raise ConfigError(f"{where}: {fault.why}") from fault


def parse_value(text: str, label: str) -> Any:
    """A value from the command line, read as YAML; `label` names the option in an error.

    Raises:
        ConfigError: it is no valid YAML.
    """
    try:
        return _load(text)[1]
    except _FaultError as fault:
        raise ConfigError(f"{label}: the value is no valid YAML: {fault.why.removeprefix(INVALID)}") from fault


def _load(text: str) -> tuple[yaml.Node | None, Any]:
    try:
        loader = _Loader(text)
        tree = loader.get_single_node()
        if tree is None:
            return None, None
        _extent(tree, {})  # before it is constructed: what holds itself has no end
        return tree, loader.construct_document(tree)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _FaultError(f"{INVALID}{in_line(error.problem or error)}", mark) from error
    except yaml.YAMLError as error:  # a character that YAML does not have
        raise _FaultError(f"{INVALID}{in_line(' '.join(str(error).split()))}", None) from error


def _extent(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many values a node stands for, and how deep they are nested, with what its aliases repeat.

    `known` has those of nodes by identity; None where one is being looked at.
    """
    if id(node) in known:
        extent = known[id(node)]
        if extent is None:
            raise _FaultError("it holds itself by an alias", node.start_mark)
        return extent
    known[id(node)] = None
    below: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        below = [each for pair in node.value for each in pair]
    elif isinstance(node, yaml.SequenceNode):
        below = node.value
    extents = [_extent(each, known) for each in below]
    values, depth = 1 + sum(values for values, _ in extents), 1 + max((depth for _, depth in extents), default=0)
    if values > MOST:
        raise _FaultError(f"its aliases stand for more than {MOST:,} values", node.start_mark)
    if depth > DEEPEST:
        raise _FaultError(TOO_DEEP, node.start_mark)
    known[id(node)] = values, depth
    return values, depth


def faults_of(value: Any, location: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What JSON, and so run.json, cannot hold: where it stands, and what is wrong.

    Args:
        value: of a config, from its file and its options.
        location: the keys that lead to it.
    """
    if len(location) > DEEPEST:
        yield location[:3], f"is nested more than {DEEPEST} levels deep"
    elif isinstance(value, dict):
        for key, below in value.items():
            if isinstance(key, str) and not _why_no_text(key):
                yield from faults_of(below, (*location, key))
            else:
                yield location, f"the key {in_line(repr(key), 40)} is no text: write it in quotes"
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from faults_of(below, (*location, index))
    elif why := _why_not_plain(value):
        yield location, why


def _why_not_plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return _why_no_text(value)
    if isinstance(value, int):
        return "" if -INT64 <= value < INT64 else "is a number of more than 64 bits"
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"is {value}: write a finite number"
    return f"is of type {type(value).__name__}: write text, a number, a list or a mapping"


def _why_no_text(text: str) -> str:
    if "\0" in text:
        return "holds a NUL character, which no file, variable or argument can have"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate)"
    return ""
