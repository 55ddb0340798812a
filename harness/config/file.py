"""Reading a config: the file, `--set` and `--arms` on top of it, and all that can be said of it without the engine."""

from __future__ import annotations

import os
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

from harness.config.experiment import Experiment, TraceWorkload
from harness.config.micro import Concat, Include, Micro, Operations, Sizes
from harness.config.options import FORMER, apply_option, arm_from_here, choose_arms, put
from harness.config.origin import Origin
from harness.config.references import in_file, why_not_in_file
from harness.config.source import faults_of, read
from harness.errors import ConfigError, in_line
from harness.paths import why_no_file, why_no_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.config.arms import Arm
    from harness.config.references import Kind

__all__ = ["Loaded", "Replaced", "changed", "kind_of", "load", "load_micro"]

KINDS: Final = ("ablation", "micro")
DEEPEST: Final = 5
"""Levels of micro configs that include others."""
MOST: Final = 1_000
"""Benchmarks that a micro config includes in all."""
MOST_TOLD: Final = 20
"""Faults of one config that are told at once."""

Model = typing.TypeVar("Model", bound=BaseModel)


class Loaded(typing.NamedTuple):
    """A validated config, where relative paths in it start from, and what its author should know of it.

    `added` arms stand before those that the config names: native, where it was added.
    """

    experiment: Experiment
    path: Path
    notes: tuple[str, ...] = ()
    origin: Origin | None = None
    added: int = 0

    @property
    def folder(self) -> Path:
        """The config file's folder."""
        return self.path.parent

    def place(self, message: str) -> str:
        """A message that begins with its key, behind where that key was given."""
        return message if self.origin is None else self.origin.place(message)

    def whole(self, reference: str) -> str:
        """An arm's reference, with the path made absolute where it names a file."""
        where, _, name = reference.rpartition(":")
        return f"{(self.folder / where).resolve()}:{name}" if where.endswith(".py") else reference

    def path_of(self, arm: Arm) -> Path | None:
        """An arm's patch or tree, with its path made absolute; None where it is neither."""
        return (self.folder / arm.change).resolve() if arm.change else None

    def key_of(self, index: int) -> str:
        """The key of an arm by its place in the experiment, as the config's author counts."""
        return f"arms.{index - self.added}"


class Replaced(typing.NamedTuple):
    """What the command line puts in the place of a config's own arms: values by key, and the option of each key.

    The config's seam, swap, arms, baseline, probes, scope and profile are dropped, whether or not others are put there,
    and so is what `dropped` names. `sections` are there afterwards, with or without keys.
    """

    values: Mapping[str, Any]
    labels: Mapping[str, str]
    dropped: Sequence[str] = ()
    sections: Sequence[str] = ()

    def put_in(self, raw: dict[str, Any], origin: Origin) -> None:
        """Replace them in what a file holds."""
        for key in ("seam", "swap", "arms", "baseline", "probes", "scope", *self.dropped):
            raw.pop(key, None)
        if "profile" not in self.sections:
            raw.pop("profile", None)
        for section in self.sections:
            raw[section] = raw.get(section) or {}
        for key, value in self.values.items():
            put(raw, key, value, self.labels.get(key, "ab"))
        origin.options.update(self.labels)


def load(
    path: Path, overrides: Sequence[str] = (), arms: Sequence[str] = (), replaced: Replaced | None = None
) -> Loaded:
    """Read and validate a config.

    Args:
        path: the YAML file.
        overrides: `key.path=value` each, the value read as YAML.
        arms: when given, these arms instead of the config's; the baseline is kept among them.
        replaced: what takes the place of the config's arms and all that belongs to them.

    Raises:
        ConfigError: one line a fault: file, line, key, and what to write instead.
    """
    raw, origin = _read(path, overrides, replaced)
    notes = _renamed(origin, overrides)
    if arms:
        choose_arms(raw, [arm_from_here(arm, path.parent) for arm in arms])
        origin.options["arms"] = f"--arms {in_line(','.join(arms), 120)}"
    if (kind := raw.pop("kind", "ablation")) != "ablation":
        why = f"{in_line(repr(kind), 60)} starts no engine: name a config of an ablation"
        raise ConfigError(origin.at(["kind"], why))
    experiment = _validate(Experiment, raw, origin)
    loaded = Loaded(experiment, path, notes, origin, len(experiment.arms) - len(raw.get("arms", experiment.arms)))
    for key, why in _files(loaded):
        if why:
            raise ConfigError(loaded.place(f"{key}: {in_line(why, 600)}"))
    return loaded


def changed(loaded: Loaded, values: Mapping[str, Any]) -> Loaded:
    """A config with other values under some keys with dots, validated again.

    Raises:
        ConfigError: it is not valid with them; one line a fault.
    """
    raw = loaded.experiment.model_dump(mode="json", exclude_defaults=True)
    raw.setdefault("protocol", {})["grain"] = loaded.experiment.protocol.grain
    for key, value in values.items():
        put(raw, key, value, key)
    experiment = _validate(Experiment, raw, Origin(loaded.path))
    return loaded._replace(experiment=experiment, origin=None, notes=())


def kind_of(path: Path) -> str:
    """What a config's `kind` says; `ablation` where it says nothing.

    Raises:
        ConfigError: it cannot be read, or is of a kind that is not there.
    """
    raw, origin = _read(path, ())
    kind = raw.get("kind", "ablation")
    if kind not in KINDS:
        raise ConfigError(origin.at(["kind"], f"there is no kind {in_line(repr(kind))}; there are {', '.join(KINDS)}"))
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
    raw, origin = _read(path, overrides)
    if "include" not in raw:
        benchmark = _validate(Micro, raw, origin).root
        return benchmark.title or benchmark.benchmark, [benchmark]
    include = _validate(Include, raw, origin)
    handed_on = [f"{key}={raw[key]}" for key in ("seconds", "seed") if key in raw]
    found: list[Sizes | Operations | Concat] = []
    for index, name in enumerate(include.include):
        file = path.parent / name
        why = why_no_file(file) or ("it includes itself" if file.resolve() in (*within, path.resolve()) else "")
        if not why and len(within) > DEEPEST:
            why = f"it is included through more than {DEEPEST} others"
        if why:
            raise ConfigError(origin.at(["include", index], in_line(why, 600)))
        found += load_micro(file, handed_on, (*within, path.resolve()))[1]
        if len(found) > MOST:
            raise ConfigError(origin.at(["include"], f"more than {MOST} benchmarks in all; write fewer"))
    return include.title or path.stem, found


def _read(path: Path, overrides: Sequence[str], replaced: Replaced | None = None) -> tuple[dict[str, Any], Origin]:
    """The file's content with overrides applied, and where each of it comes from."""
    tree, raw = read(path)
    origin = Origin(path, tree)
    if not isinstance(raw, dict):
        raise ConfigError(origin.at([], "a config is a mapping of keys (engine, workload, seam, arms, ...)"))
    for former, key in FORMER.items():
        _rename(raw, former.split("."), key.rpartition(".")[2], origin)
    if replaced is not None:
        replaced.put_in(raw, origin)
    for override in overrides:
        apply_option(raw, override, origin.options, path.parent)
    return raw, origin


def _rename(raw: dict[str, Any], former: Sequence[str], name: str, origin: Origin) -> None:
    """Put what stands under a key's former name under its present one."""
    section = raw.get(former[0])
    if not isinstance(section, dict) or former[1] not in section:
        return
    if name in section:
        raise ConfigError(origin.at(former, f"is the former name of {name}; keep one of them"))
    section[name] = section.pop(former[1])


def _renamed(origin: Origin, overrides: Sequence[str]) -> tuple[str, ...]:
    """A note on each former name that the config or an option uses."""
    used = [
        former for former in FORMER
        if origin.has(former.split(".")) or any(override.startswith(f"{former}=") for override in overrides)
    ]  # fmt: skip
    return tuple(f"{former} is called {FORMER[former]} now" for former in used)


def _validate(model: type[Model], raw: dict[str, Any], origin: Origin) -> Model:
    if lines := [origin.at(location, why) for location, why in faults_of(raw)]:
        raise ConfigError(*dict.fromkeys(lines))
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [origin.describe(detail, model) for detail in error.errors(include_url=False)]
        raise ConfigError(*dict.fromkeys(lines[:MOST_TOLD])) from None


def _files(loaded: Loaded) -> Iterator[tuple[str, str]]:
    """What is wrong with the files that the config names: the key, and why."""
    experiment, folder = loaded.experiment, loaded.folder
    if isinstance(experiment.workload, TraceWorkload):
        yield "workload.file", why_no_file(Path(os.path.normpath(folder / experiment.workload.file)))
    kind: Kind = "function" if experiment.swap else "class"
    for index, arm in enumerate(experiment.arms):
        where, _, name = arm.reference.rpartition(":")
        if in_file(arm.reference):
            yield loaded.key_of(index), why_not_in_file(Path(os.path.normpath(folder / where)), name, kind)
        if arm.patch:
            yield loaded.key_of(index), why_no_file(Path(os.path.normpath(folder / arm.patch)))
        if arm.tree:
            yield loaded.key_of(index), why_no_folder(Path(os.path.normpath(folder / arm.tree)))
