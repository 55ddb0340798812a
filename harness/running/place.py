"""What engines are started from on a machine: an overlay for each arm's changed files, and its release of vLLM."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.running.changed import installed_root
from harness.running.overlay import make_overlay, path_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.changes.sources import SourceFile
    from harness.environments import Environment

__all__ = ["Place", "Process"]


class Process(NamedTuple):
    """One launch as a process, wherever it runs.

    Attributes:
        number: of the launch.
        arm: whose engine it is.
        arguments: of Python.
        variables: that it has beside those of the process that starts it.
        folder: where it writes what it measures, by its own arguments.
    """

    number: int
    arm: str
    arguments: list[str]
    variables: dict[str, str]
    folder: Path


@dataclass
class Place:
    """What arms' engines are started from.

    Attributes:
        files: by arm, its changed files; arms that change none need not be there.
        environments: by arm, of those with a release of vLLM of their own, where that is.
        root: the folder that holds the installed package; None for this Python's own.
    """

    files: Mapping[str, Sequence[SourceFile]] = field(default_factory=dict)
    environments: Mapping[str, Environment] = field(default_factory=dict)
    root: Path | None = None
    _folder: Path | None = None
    _overlays: dict[str, Path] = field(default_factory=dict)

    @contextlib.contextmanager
    def made(self) -> Iterator[Place]:
        """Overlays can be made meanwhile; they are removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="harness-overlays-", ignore_cleanup_errors=True) as folder:
            self._folder = Path(folder)
            yield self
            self._overlays.clear()

    def command(self, process: Process) -> tuple[list[str], dict[str, str]]:
        """The arguments and all variables of a process.

        Raises:
            RecordsError: the overlay of its arm cannot be made.
        """
        environment = {**os.environ, **process.variables}
        own = self.environments.get(process.arm)
        if own is not None:
            environment |= own.variables(environment)
        python = str(own.python) if own is not None else sys.executable
        return [python, *process.arguments], environment | path_with(self._overlay(process.arm), environment)

    def _overlay(self, arm: str) -> Path:
        if arm not in self._overlays:
            assert self._folder is not None  # noqa: S101 (inside of `made` alone)
            root = self.root or installed_root()
            of_arm = self.environments[arm].packages_root if arm in self.environments else root
            self._overlays[arm] = make_overlay(of_arm, self.files.get(arm, ()), self._folder / arm)
        return self._overlays[arm]
