"""Several launches of the engine: each in a process of its own, with another hash seed and environment size.

What is random once per process (memory layout, the order of hash tables) can move a figure further than everything
that varies inside the process; claims beyond one process need several. Kalibera & Jones, "Rigorous benchmarking in
reasonable time" (ISMM 2013); for the environment's size Mytkowicz et al., "Producing wrong data without doing anything
obviously wrong!" (ASPLOS 2009).

Each launch is an ordinary run in its own folder (`launches/02/` is the second); the whole is put together from them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from harness.errors import RecordsError
from harness.instrument.scopes import AUTO
from harness.records.agreement import SIGNATURE, signature_difference
from harness.records.folder import read_facts
from harness.running.blocks import run_process
from harness.running.drawn import draw
from harness.running.run import INTERRUPTED, Outcome, facts_at_end, facts_at_start, seen_to_its_end

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from harness.config.file import Loaded
    from harness.records.folder import RunFolder
    from harness.running.drawn import Launch

__all__ = ["Launches"]

SHARED: Final = ("host", "engine_args", "environment", "workload", "steps", "arms_measured")
"""What the whole run takes from its first launch."""


@dataclass
class Launches:
    """One run of several launches.

    Attributes:
        arguments: of `harness run`: the config and its overrides, without --out.
        first_arguments: further arguments of the first launch only (at launch grain, of each arm's first one).
        announce: is called before each launch with its number, the number of launches, and about how many seconds the
            rest takes (None where that is not known).
        start: starts a process (`subprocess.Popen`, unless a test replaces it).
    """

    loaded: Loaded
    folder: RunFolder
    arguments: Sequence[str]
    command: Sequence[str]
    announce: Callable[[int, int, float | None], None]
    selftest: str = ""
    first_arguments: Sequence[str] = ()
    start: Callable[..., Any] = subprocess.Popen
    facts: dict[str, Any] = field(default_factory=dict)
    what: ClassVar[str] = "launches"
    """What there are several of: a key of run.json, and a word in messages."""

    def execute(self) -> Outcome:
        """Run all launches; the first one that does not complete ends the run, and what was measured is kept."""
        planned = self._draw()
        self.facts = {
            **facts_at_start(self.loaded, self.command, self.selftest),
            self.what: [self._told(launch) for launch in planned],
        }
        self.folder.write_run(self.facts)
        return seen_to_its_end(lambda: self._all(planned), self._record)

    def _record(self, outcome: Outcome) -> None:
        self.facts |= facts_at_end(outcome)
        self.folder.write_run(self.facts)

    def _draw(self) -> Sequence[Launch]:
        protocol = self.loaded.experiment.protocol
        return draw(protocol.launches, protocol.seed)

    def _told(self, launch: Launch) -> dict[str, Any]:
        """What run.json has of a launch that is planned."""
        return dict(vars(launch))

    def _arguments(self, launch: Launch) -> list[str]:
        """Of the launch's process."""
        return [
            *self._run_of(launch),
            *(self.first_arguments if self._is_first(launch) else ()),
            *("--set", "protocol.launches=1", "--set", f"protocol.seed={launch.schedule_seed}"),
        ]

    def _run_of(self, launch: Launch) -> list[str]:
        """The command of the launch's run, without what is its own."""
        return self._command_of(self._path(launch))

    def _command_of(self, path: Path) -> list[str]:
        return [sys.executable, "-m", "harness", "run", *self.arguments, "--out", str(path)]

    def _path(self, launch: Launch) -> Path:
        return self.folder.launch(launch.number)

    def _is_first(self, launch: Launch) -> bool:
        return launch.number == 1

    def _environment(self, launch: Launch) -> dict[str, str]:
        return {**os.environ, **launch.variables}

    def _name(self, launch: Launch) -> str:
        return f"launch {launch.number}"

    def _all(self, planned: Sequence[Launch]) -> Outcome:
        outcome = Outcome("complete", 0)
        began = time.monotonic()
        for done, launch in enumerate(planned):
            left_s = (time.monotonic() - began) / done * (len(planned) - done) if done else None
            self.announce(launch.number, len(planned), left_s)
            found = self._one(launch)
            if found.status != "complete":
                found.message += f"; {launch.number - 1} of {len(planned)} {self.what} were measured and kept before"
                outcome = found
                break
            if found.exit_status and not outcome.exit_status:  # an unequal arm; the others are still worth measuring
                outcome = found
        return outcome

    def _one(self, launch: Launch) -> Outcome:
        """Run one launch to its end, and take over its facts."""
        return self._taken(launch, self._run(self._arguments(launch), self._environment(launch)))

    def _run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run a process to its end; its exit status."""
        exit_status = run_process(arguments, environment, self.start)
        return 1 if exit_status < 0 else exit_status  # a signal ended it

    def _taken(self, launch: Launch, exit_status: int) -> Outcome:
        """Take over the facts of a launch that has ended; how it ended."""
        path = self._path(launch)
        try:
            run = read_facts(path)
            self._take_over(run, path)
        except RecordsError as error:
            status = "interrupted" if exit_status == INTERRUPTED else "failed"
            return Outcome(status, exit_status or 1, f"{self._name(launch)}: {error}")
        message = f"{self._name(launch)}: {run['message']}" if run.get("message") else ""
        status = "interrupted" if exit_status == INTERRUPTED else str(run["status"])
        return Outcome("failed" if status == "running" else status, exit_status, message)

    def _take_over(self, run: dict[str, Any], path: Path) -> None:
        """Take shared facts from the first launch, check that the others did the same work, note unequal arms."""
        if "steps" in self.facts and "steps" in run:
            expected = {key: value for key, value in self.facts["steps"].items() if key in SIGNATURE}
            if difference := signature_difference(expected, run["steps"]):
                raise RecordsError(f"it did other work than the launch before: {difference}")
        for key in SHARED:
            if key in run:
                self.facts.setdefault(key, run[key])
        if self.facts["config"]["scope"] == AUTO and run["config"]["scope"] != AUTO:
            self._find(run)
        self._take_calibration(run)
        equality = self.facts.setdefault("equality", {})
        for arm, found in run.get("equality", {}).items():
            if arm not in equality or equality[arm]["equal"]:
                equality[arm] = found
        self.folder.write_run(self.facts)

    def _find(self, run: dict[str, Any]) -> None:
        """Take the scope that a launch has found: the others do the same work, so they find the same."""
        self.facts["config"] |= {key: run["config"][key] for key in ("scope", "probes")}
        self.facts["scope_found"] = True

    def _take_calibration(self, run: dict[str, Any]) -> None:
        if "calibration" in run:
            costs = [*self.facts.get("calibrations", []), run["calibration"]]
            self.facts["calibrations"] = costs
            self.facts["calibration"] = {key: float(np.mean([cost[key] for cost in costs])) for key in costs[0]}
