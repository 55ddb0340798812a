"""A run at launch grain, as `harness run` and `harness ab` carry it out."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.last_resort import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.config.file import Loaded
    from harness.environments import Environment
    from harness.records.folder import RunFolder
    from harness.running.blocks import Runner
    from harness.running.run import Outcome

__all__ = ["ByLaunch", "may_go_on", "release_for"]


def release_for(requirement: str) -> Environment:
    """The environment with a release of vLLM, which is made where there is none; what takes long is told.

    Raises:
        HarnessError: it cannot be made.
    """
    from harness.environments import environment_for

    return environment_for(requirement, say)


def may_go_on(loaded: Loaded) -> bool:
    """Whether what an engine refused to switch is compared at launch grain instead, without being asked for."""
    from harness.running.changed import prepare
    from harness.running.grains import why_no_launches

    if loaded.experiment.protocol.grain != "auto":
        return False
    with tempfile.TemporaryDirectory(prefix="harness-changes-") as scratch:
        return not why_no_launches(loaded, prepare(loaded, Path(scratch)))


@dataclass
class ByLaunch:
    """Runs each arm in engines of its own, launch by launch; each shows its own progress.

    Attributes:
        given: arguments of `harness run` that read the same config.
        typed: the command line.
        only_first: further arguments of each arm's first launch.
        tested: one line on this machine's last selftest.
        why: why it is at launch grain.
        before: run.json of an earlier run in this folder, which this one goes on with.
        runner: runs the blocks; None for this machine.
    """

    loaded: Loaded
    folder: RunFolder
    given: list[str]
    typed: list[str]
    only_first: tuple[str, ...]
    tested: str
    why: Sequence[str] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    runner: Runner | None = None

    def __call__(self) -> Outcome:
        """Run all launches."""
        from harness.cli.output import announce_part
        from harness.running.arm_launches import ArmLaunches
        from harness.running.changed import FOLDER, prepare

        def announce(number: int, planned: int, left_s: float | None) -> None:
            announce_part(f"launch {number} of {planned}: {launches.facts['launches'][number - 1]['arm']}", left_s)

        changes = self.folder.path / FOLDER
        shutil.rmtree(changes, ignore_errors=True)  # what an engine before refused to switch: a patch applies once
        environments = {arm.name: release_for(arm.vllm) for arm in self.loaded.experiment.arms if arm.vllm}
        launches = ArmLaunches(
            self.loaded, self.folder, self.given, self.typed, announce, self.tested, self.only_first,
            prepared=prepare(self.loaded, changes, environments=environments), environments=environments,
            why=self.why, note=say, before=self.before, runner=self.runner,
        )  # fmt: skip
        reasons = f", since this cannot be switched in a living engine: {'; '.join(self.why)}" if self.why else ""
        many = "until differences are known well enough" if launches.until else f"{launches.a_run} of each arm"
        say(f"launch grain{reasons}. Engines are started in turn, {many}")
        return launches.execute()
