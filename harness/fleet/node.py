"""What runs on a node: it unpacks what launches need, and runs one launch after the other, alone.

A Ray actor is made of it. It knows nothing of Ray.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.changes.sources import SourceFile
from harness.environments import environment_for
from harness.environments.code import code_digest, code_folder
from harness.fleet.parcel import files_below, pack, unpack
from harness.records.machine import versions
from harness.running.blocks import run_process
from harness.running.place import Place, Process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.fleet.luggage import Luggage

__all__ = ["Node", "Ran"]

LAST: Final = 2000
"""Characters of what a launch said at last."""


class Ran(NamedTuple):
    """A launch that has ended on a node.

    Attributes:
        exit_status: of its process, negative where a signal ended it.
        folder: the parcel of what it wrote; empty where it wrote nothing.
        said: the end of what it said on stderr.
    """

    exit_status: int
    folder: bytes
    said: str


class Node:
    """Runs launches on the machine that it is on."""

    def __init__(self) -> None:
        self._left = contextlib.ExitStack()

    def begin(self, luggage: Luggage, dropped: Sequence[str] = ()) -> str:
        """Unpack what launches need; why this node cannot run them, empty where it can.

        Args:
            luggage: what they need.
            dropped: environment variables that launches do not have, as who starts this process has set them.

        Raises:
            HarnessError: something cannot be made here.
        """
        if why := self._why_other(luggage):
            return why
        for name in dropped:
            os.environ.pop(name, None)
        self._folder = Path(self._left.enter_context(tempfile.TemporaryDirectory(prefix="harness-node-")))
        tree = self._folder / "tree"
        unpack(luggage.files, tree)
        for name, full in luggage.linked.items():
            if not Path(full).is_dir():
                return f"there is no {full}, which is too large to be carried along"
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).symlink_to(full)
        self._config, self._working = tree / luggage.config, tree / luggage.working
        self._working.mkdir(parents=True, exist_ok=True)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [os.environ.get("PYTHONPATH", ""), str(code_folder(self._folder))])
        )
        environments = {}
        for arm, (requirement, wanted) in luggage.releases.items():
            environments[arm] = environment_for(requirement.partition("==")[2], lambda text: None)
            if environments[arm].hash != wanted:
                return f"the environment of {requirement} is made of something else here than where the run was called"
        place = Place({arm: self._unpacked(luggage, arm) for arm in luggage.changed}, environments)
        self._place = self._left.enter_context(place.made())
        return ""

    def run(self, process: Process) -> Ran:
        """Run a launch to its end."""
        folder = self._folder / "launches" / f"{process.number:02d}"
        arguments = [str(folder) if word == str(process.folder) else word for word in process.arguments]
        arguments[arguments.index("run") + 1] = str(self._config)
        said = self._folder / "said"
        command, environment = self._place.command(process._replace(arguments=arguments))
        with said.open("w") as stream:
            start = functools.partial(subprocess.Popen, cwd=self._working, stderr=stream)
            exit_status = run_process(command, environment, start)
        return Ran(exit_status, pack(files_below(folder)), said.read_text(errors="replace")[-LAST:])

    def end(self) -> None:
        """Remove all that was unpacked and made."""
        self._left.close()

    def _unpacked(self, luggage: Luggage, arm: str) -> list[SourceFile]:
        files = []
        for index, file in enumerate(luggage.changed[arm]):
            changed = None
            if file.text is not None:
                changed = self._folder / "changed" / arm / f"{index}.py"
                changed.parent.mkdir(parents=True, exist_ok=True)
                changed.write_bytes(file.text)
            files.append(SourceFile(file.relative, file.module, changed, file.new))
        return files

    @staticmethod
    def _why_other(luggage: Luggage) -> str:
        here = versions()
        for package, version in luggage.versions.items():
            if here.get(package) != version:
                return (
                    f"{package} is {here.get(package, 'not installed')} there, and {version} where the run was called"
                )
        if code_digest() != luggage.code:
            return "its harness is another one than where the run was called"
        return ""
