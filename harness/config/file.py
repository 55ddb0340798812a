"""Reading a config: YAML by the safe loader, `--set` and `--arms` on top, errors with file, line and key."""

from __future__ import annotations

import ast
import difflib
import os
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import yaml
from pydantic import BaseModel, RootModel, ValidationError

from harness.config.experiment import Experiment, TraceWorkload
from harness.config.micro import Concat, Include, Micro, Operations, Sizes
from harness.config.options import FORMER, apply_option, arm_from_here, choose_arms
from harness.errors import ConfigError
from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic_core import ErrorDetails

__all__ = ["Loaded", "kind_of", "load", "load_micro"]

KINDS: Final = ("ablation", "micro")
TAGS: Final = ("synthetic", "trace", *get_args(Sizes.model_fields["benchmark"].annotation), "operations", "concat")
"""Tags of unions of models: pydantic has them in an error's location, and the user's file does not."""

Model = typing.TypeVar("Model", bound=BaseModel)


class Loaded(typing.NamedTuple):
    """A validated config, where relative paths in it start from, and what its author should know of it."""

    experiment: Experiment
    path: Path
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The config file's folder."""
        return self.path.parent

    def whole(self, reference: str) -> str:
        """An arm's reference, with the path made absolute where it names a file."""
        where, _, name = reference.rpartition(":")
        return f"{(self.folder / where).resolve()}:{name}" if where.endswith(".py") else reference


class _Loader(yaml.SafeLoader):
    """Safe, and refuses a key that is given twice, which YAML's own loader accepts."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{self.name}:{key.start_mark.line + 1}: a key is a plain word here")
            if key.value in seen:
                line = key.start_mark.line + 1
                raise ConfigError(f"{self.name}:{line}: {key.value}: already given in line {seen[key.value]}; keep one")
            seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def load(path: Path, overrides: Sequence[str] = (), arms: Sequence[str] = ()) -> Loaded:
    """Read and validate a config.

    Args:
        path: the YAML file.
        overrides: `key.path=value` each, the value read as YAML.
        arms: when given, these arms instead of the config's; the baseline is kept among them.

    Raises:
        ConfigError: one line a fault: file, line, key, and what to write instead.
    """
    raw, tree, sources = _read(path, overrides)
    notes = _renamed(tree, overrides)
    if arms:
        choose_arms(raw, [arm_from_here(arm, path.parent) for arm in arms])
        sources["arms"] = f"--arms {','.join(arms)}"
    if raw.get("kind") == "ablation":
        del raw["kind"]
    experiment = _validate(Experiment, raw, path, tree, sources)
    for location, file, name in _files(experiment):
        if why := _missing(Path(os.path.normpath(path.parent / file)), name):
            raise ConfigError(_located(why, location, path, tree, sources))
    return Loaded(experiment, path, notes)


def kind_of(path: Path) -> str:
    """What a config's `kind` says; `ablation` where it says nothing.

    Raises:
        ConfigError: it cannot be read, or is of a kind that is not there.
    """
    raw, tree, _ = _read(path, ())
    kind = raw.get("kind", "ablation")
    if kind not in KINDS:
        message = f"there is no kind {kind!r}; there are {', '.join(KINDS)}"
        raise ConfigError(_located(message, ["kind"], path, tree, {}))
    return str(kind)


def load_micro(
    path: Path, overrides: Sequence[str] = (), within: tuple[Path, ...] = ()
) -> tuple[str, list[Sizes | Operations | Concat]]:
    """Read and validate a config of kind `micro`, with those that it includes; `within` are those that include it.

    Returns:
        Its title, and its benchmarks.

    Raises:
        ConfigError: one line a fault.
    """
    raw, tree, sources = _read(path, overrides)
    if "include" not in raw:
        benchmark = _validate(Micro, raw, path, tree, sources).root
        return benchmark.title or benchmark.benchmark, [benchmark]
    include = _validate(Include, raw, path, tree, sources)
    handed_on = [f"{key}={raw[key]}" for key in ("seconds", "seed") if key in raw]
    found = []
    for index, name in enumerate(include.include):
        file = path.parent / name
        if not file.is_file() or file.resolve() in (*within, path.resolve()):
            why = "it includes itself" if file.is_file() else f"there is no file {file}"
            raise ConfigError(_located(why, ["include", index], path, tree, sources))
        found += load_micro(file, handed_on, (*within, path.resolve()))[1]
    return include.title or path.stem, found


def _read(path: Path, overrides: Sequence[str]) -> tuple[dict[str, Any], yaml.Node | None, dict[str, str]]:
    """The file's content with overrides applied, its nodes, and which option gave which key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    tree, raw = _parse(text, path)
    sources: dict[str, str] = {}
    for former, key in FORMER.items():
        _rename(raw, former.split("."), key.rpartition(".")[2], path, tree)
    for override in overrides:
        apply_option(raw, override, sources, path.parent)
    return raw, tree, sources


def _rename(raw: dict[str, Any], former: Sequence[str], name: str, path: Path, tree: yaml.Node | None) -> None:
    """Put what stands under a key's former name under its present one."""
    section = raw.get(former[0])
    if not isinstance(section, dict) or former[1] not in section:
        return
    if name in section:
        raise ConfigError(_located(f"is the former name of {name}; keep one of them", former, path, tree, {}))
    section[name] = section.pop(former[1])


def _renamed(tree: yaml.Node | None, overrides: Sequence[str]) -> tuple[str, ...]:
    """A note on each former name that the config or an option uses."""
    used = [
        former for former in FORMER
        if _has(tree, former.split(".")) or any(override.startswith(f"{former}=") for override in overrides)
    ]  # fmt: skip
    return tuple(f"{former} is called {FORMER[former]} now" for former in used)


def _has(tree: yaml.Node | None, location: Sequence[str]) -> bool:
    """Whether a file has a key."""
    node = tree
    for part in location:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in pairs if key.value == part), None)
    return node is not None


def _validate(
    model: type[Model], raw: dict[str, Any], path: Path, tree: yaml.Node | None, sources: dict[str, str]
) -> Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [_describe(detail, path, tree, sources, model) for detail in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def _files(experiment: Experiment) -> Iterator[tuple[list[str | int], Path, str]]:
    """Every file that the config names: the key, the path from the config's folder, and the class wanted of it."""
    if isinstance(experiment.workload, TraceWorkload):
        yield ["workload", "file"], experiment.workload.file, ""
    for index, arm in enumerate(experiment.arms):
        where, _, name = arm.reference.rpartition(":")
        if where.endswith(".py"):
            yield ["arms", index], Path(where), name


def _missing(file: Path, name: str) -> str:
    """Why a file is not what the config needs; empty if it is. A Python file is parsed and not run."""
    if not file.is_file():
        return f"there is no file {file}"
    if not name:
        return ""
    try:
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError) as error:
        return f"{file} cannot be read: {error}"
    except SyntaxError as error:
        return f"{file}:{error.lineno}: this is no valid Python: {error.msg}"
    classes = [node.name for node in nodes if isinstance(node, ast.ClassDef)]
    others = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    others |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    if name in (*classes, *others) or "*" in others:  # what a star imports is known only when it runs
        return ""
    return f"{file} has no class {name}; it has {', '.join(classes) or 'none'}"


def _parse(text: str, path: Path) -> tuple[yaml.Node | None, dict[str, Any]]:
    try:
        loader = _Loader(text)
        loader.name = str(path)
        tree = loader.get_single_node()
        raw = loader.construct_document(tree) if tree is not None else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: this is no valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:  # the safe loader's own dates, keys and the like
        raise ConfigError(f"{path}: this is no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}:1: a config is a mapping of keys (engine, workload, seam, arms, ...)")
    return tree, raw


def _describe(
    detail: ErrorDetails, path: Path, tree: yaml.Node | None, sources: dict[str, str], model: type[BaseModel]
) -> str:
    """One line for one fault: where it stands, its key, what is wrong and how to fix it."""
    location = [part for part in detail["loc"] if part not in TAGS]
    message = detail["msg"].removeprefix("Value error, ")
    if not location and (key := message.partition(":")[0]).isidentifier():  # a check across keys names its own
        location, message = [key], message.partition(": ")[2]
    key = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1], detail["loc"])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        message = f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(known)}"
    elif detail["type"] == "missing":
        message = "is missing"
    elif detail["type"] != "value_error":
        given = "" if isinstance(detail["input"], dict | list) else f", not {detail['input']!r}"
        message = f"{message[0].lower()}{message[1:]}{given}"
    return _located(message, location, path, tree, sources)


def _located(message: str, location: Sequence[Any], path: Path, tree: yaml.Node | None, sources: dict[str, str]) -> str:
    """The message behind its file, line and key, or behind the option that gave the key."""
    key = ".".join(str(part) for part in location)
    for source, label in sources.items():
        if key == source or key.startswith(f"{source}."):
            return one_line(f"{label}: {key}: {message}")  # a line break in a key must not look like another fault
    return one_line(f"{path}:{_line(tree, location)}: {key}: {message}")


def _line(tree: yaml.Node | None, location: Iterable[Any]) -> int:
    """The line of the deepest part of `location` that the file has."""
    node, line = tree, 1
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
