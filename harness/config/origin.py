"""Where a value of a config comes from, so that an error names its file and line, or the option that gave it."""

from __future__ import annotations

import difflib
import types
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, get_args

import yaml
from pydantic import BaseModel, RootModel

from harness.config.micro import Sizes
from harness.errors import in_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

__all__ = ["Origin"]

TAGS: Final = ("synthetic", "trace", *get_args(Sizes.model_fields["benchmark"].annotation), "operations", "concat")
"""Tags of unions of models: pydantic has them in an error's location, and the user's file does not."""


@dataclass(frozen=True)
class Origin:
    """Where a config comes from.

    Attributes:
        path: its file.
        tree: the file's nodes.
        options: by key, the option of the command line that gave its value.
    """

    path: Path
    tree: yaml.Node | None = None
    options: dict[str, str] = field(default_factory=dict)

    def at(self, location: Sequence[str | int], message: str) -> str:
        """The message behind its file, line and key, or behind the option that gave the key."""
        key = ".".join(in_line(part, 60) for part in location)
        said = f"{key}: {message}" if key else message
        exact = ".".join(map(str, location))
        for option, label in self.options.items():
            if exact == option or exact.startswith(f"{option}."):
                return f"{label}: {said}"
        return f"{in_line(self.path)}:{self._line(location)}: {said}"

    def place(self, message: str) -> str:
        """A message that names its key itself, `engine.model: ...`, behind where that key was given."""
        key, separator, rest = message.partition(": ")
        if not separator or not all(part.replace("-", "_").isidentifier() or part.isdigit() for part in key.split(".")):
            return f"{in_line(self.path)}: {message}"
        return self.at([int(part) if part.isdigit() else part for part in key.split(".")], rest)

    def describe(self, detail: ErrorDetails, model: type[BaseModel]) -> str:
        """One line for one fault that pydantic found: where it stands, its key, what is wrong and how to fix it."""
        location = _location(detail["loc"], model)
        message = detail["msg"].removeprefix("Value error, ")
        keys = message.partition(":")[0].split(".")
        if not location and all(key.isidentifier() for key in keys):  # a check across keys names its own
            location, message = [*keys], message.partition(": ")[2]
        if detail["type"] == "extra_forbidden":
            known = _known_keys(model, location[:-1], detail["loc"])
            near = difflib.get_close_matches(str(location[-1])[:100], known, n=1)
            message = (
                f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(known)}"
            )
        elif detail["type"].startswith("union_tag"):  # of a union whose members one key tells apart
            context = detail["ctx"]
            location.append(context["discriminator"].strip("'"))
            given = (
                f"there is no {in_line(context['tag'], 60)!r}; there are {context['expected_tags']}"
                if "tag" in context
                else ""
            )
            message = given or "is missing"
        elif detail["type"] == "missing":
            message = "is missing"
        elif detail["type"] != "value_error":
            given = "" if isinstance(detail["input"], dict | list) else f", not {in_line(repr(detail['input']), 60)}"
            message = f"{message[0].lower()}{message[1:]}{given}"
        return self.at(location, in_line(message, 600))

    def has(self, location: Sequence[str]) -> bool:
        """Whether the file has a key."""
        node = self.tree
        for part in location:
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            node = next((value for key, value in pairs if key.value == part), None)
        return node is not None

    def _line(self, location: Iterable[Any]) -> int:
        """The line of the deepest part of `location` that the file has."""
        node, line = self.tree, 1
        for part in location:
            if isinstance(node, yaml.MappingNode):
                match = next(((k, v) for k, v in node.value if k.value == str(part)), None)
                if match is None:
                    break
                line, node = match[0].start_mark.line + 1, match[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line


def _location(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[int | str]:
    """An error's location as the user's file has it: without a tag, which stands first or behind `workload`."""
    tag = 0 if issubclass(model, RootModel) else 1 if loc[:1] == ("workload",) else None
    return [part for index, part in enumerate(loc) if index != tag or part not in TAGS]


def _known_keys(root: type[BaseModel], location: Sequence[Any], full: Sequence[Any]) -> list[str]:
    """The keys that the model at `location` has; the tag of a union picks its member."""
    models: list[type[BaseModel]] = [root]
    if issubclass(root, RootModel):
        members = _models_in(root.model_fields["root"].annotation)
        models = [model for model in members if full[0] in get_args(model.model_fields["benchmark"].annotation)]
    for part in location:
        models = [
            inner for model in models if part in model.model_fields
            for inner in _models_in(model.model_fields[part].annotation)
        ] or models  # fmt: skip
    kinds = [model for model in models if model.model_fields.get("kind") and model.__name__.lower().startswith(
        tuple(str(part) for part in full if isinstance(part, str)))]  # fmt: skip
    return sorted({name for model in kinds or models for name in model.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.GenericAlias) or typing.get_origin(annotation) is not None:
        return [model for part in typing.get_args(annotation) for model in _models_in(part)]
    return []
