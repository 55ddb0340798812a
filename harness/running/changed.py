"""The changed files of a config's patches and source trees, and what their text alone tells of them.

Called twice: before there is a run's folder, so that what does not apply is refused, and for the run's own folder. An
arm with a release of its own is held against that release's files, and any other against those that are installed.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from harness.changes.compare import compare
from harness.changes.sources import from_patch, from_tree, text_of
from harness.config.modules import find_module
from harness.errors import ConfigError, HostError, in_line
from harness.hosts.starting import NOT_INSTALLED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.changes.compare import Change
    from harness.changes.sources import SourceFile, Sources
    from harness.config.arms import Arm
    from harness.config.file import Loaded
    from harness.environments import Environment

__all__ = ["FOLDER", "Prepared", "facts_of", "folders_of", "installed_root", "prepare"]

FOLDER: Final = "changes"
"""Where a run's folder has the changed files, a folder for each arm."""
PACKAGE: Final = "vllm"
NEAR: Final = 3


@dataclass(frozen=True)
class Prepared:
    """An arm that is a patch or a tree, with its changed files in a folder of their own.

    Attributes:
        arm: of the config.
        folder: has the changed files, under their paths below the package's parent.
        sources: which files they are, and what else it touches.
        changes: what they change that the arm takes, as their text tells.
        left: what `only` leaves out.
    """

    arm: Arm
    folder: Path
    sources: Sources
    changes: tuple[Change, ...]
    left: tuple[Change, ...] = ()

    @property
    def refused(self) -> tuple[Change, ...]:
        """What cannot be switched in a living engine, whatever that engine is; the engine itself may refuse more."""
        return tuple(change for change in self.changes if change.grain == "launch")

    def facts(self) -> dict[str, Any]:
        """For run.json."""
        return {
            "kind": "patch" if self.arm.patch else "tree",
            "file": self.arm.change,
            "revert": self.arm.revert,
            "only": list(self.arm.only),
            "sha256": self.sources.sha256,
            "title": self.sources.title,
            "base": self.sources.base,
            "left_out": list(self.sources.left_out),
            "needs_build": list(self.sources.needs_build),
            "changed": [change.full_name for change in self.changes if change.grain != "launch"],
            "refused": [{"name": change.full_name, "why": change.why} for change in self.refused],
        }


def prepare(
    loaded: Loaded,
    into: Path,
    root: Path | None = None,
    environments: Mapping[str, Environment] = MappingProxyType({}),
) -> dict[str, Prepared]:
    """The changed files of each arm that is a patch or a tree, in `into/ARM/`.

    Args:
        loaded: the config.
        into: is made, where there is such an arm.
        root: the folder that holds the installed package; found without importing it where it is not given.
        environments: by arm, of those with a release of vLLM of their own, where that is. An arm whose release is not
            there is left out: nothing can be said of its change.

    Raises:
        ConfigError: a patch does not apply, a tree has no such package, or `only` names what is not changed; behind the
            file, line and key.
        HostError: vLLM is not installed.
    """
    found = {}
    for index, arm in enumerate(loaded.experiment.arms):
        path = loaded.path_of(arm)
        if path is None or (arm.vllm and arm.name not in environments):
            continue
        of_arm = environments[arm.name].packages_root if arm.vllm else root or installed_root()
        try:
            found[arm.name] = _prepared(arm, path, of_arm, into / arm.name)
        except ConfigError as error:
            raise ConfigError(loaded.place(f"{loaded.key_of(index)}: {error}")) from error
        except OSError as error:
            why = f"{in_line(path)} cannot be read: {in_line(error.strerror or error)}"
            raise ConfigError(loaded.place(f"{loaded.key_of(index)}: {why}")) from error
    return found


def folders_of(prepared: Mapping[str, Prepared]) -> dict[str, Path]:
    """By arm, where its changed files are."""
    return {name: each.folder for name, each in prepared.items()}


def facts_of(prepared: Mapping[str, Prepared]) -> dict[str, Any]:
    """What run.json has of them under `changes`."""
    return {name: each.facts() for name, each in prepared.items()}


def installed_root() -> Path:
    """The folder that holds the installed vLLM, found without importing it.

    Raises:
        HostError: it is not installed.
    """
    spec = find_module(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        raise HostError(NOT_INSTALLED)
    return Path(folders[0]).parent


def _prepared(arm: Arm, path: Path, root: Path, into: Path) -> Prepared:
    if arm.patch:
        sources = from_patch(path, root, into, revert=arm.revert, package=PACKAGE)
    else:
        sources = from_tree(path, root, into, only=arm.only, package=PACKAGE)
    changes = [change for file in sources.files for change in _compared(file, root)]
    telling = [change for change in changes if change.grain != "nothing"]
    if not telling:
        raise ConfigError(f"{in_line(path)} changes nothing that runs: comments, docstrings and types alone")
    chosen = tuple(_chosen(telling, arm.only, path))
    return Prepared(arm, into, sources, chosen, tuple(change for change in telling if change not in chosen))


def _compared(file: SourceFile, root: Path) -> Iterator[Change]:
    old = "" if file.new else text_of(root / file.relative)
    new = "" if file.changed is None else text_of(file.changed)
    yield from compare(file.module, old, new)


def _chosen(changes: Sequence[Change], only: Sequence[str], path: Path) -> Iterator[Change]:
    """Those that `only` names: functions, or classes and modules with all that is in them; all where it is empty.

    Raises:
        ConfigError: a name stands for none of them.
    """
    for name in only:
        if not any(change.is_named([name]) for change in changes):
            known = [change.name or change.full_name for change in changes]
            near = difflib.get_close_matches(name.rpartition(".")[2], [each.rpartition(".")[2] for each in known], NEAR)
            told = [each for each in known if each.rpartition(".")[2] in near] or known
            raise ConfigError(
                f"only: {in_line(path)} changes no {in_line(name, 100)}; it changes {in_line(', '.join(told), 200)}"
            )
    yield from (change for change in changes if not only or change.is_named(only))
