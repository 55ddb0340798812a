"""The points of a sweep: a run at each, in a folder of its own, one after the other.

Points whose engines are alike run in one process and share its engine, whose start would take longer than many a
point. What is compared is compared within a point; between points nothing is subtracted, so their order does not
matter.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from harness.errors import RecordsError
from harness.records.folder import read_facts
from harness.running.drawn import Launch, draw
from harness.running.launches import Launches
from harness.running.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.config.sweep import Point

__all__ = ["OPTION", "Points"]

OPTION: Final = "--points"
"""Of `harness run`, for the process of one engine: the numbers of its points."""


@dataclass
class Points(Launches):
    """A run of several points.

    Attributes:
        engines: all points of the config's sweep: of each engine those that it serves.
    """

    engines: Sequence[Sequence[Point]] = field(default_factory=list)
    what: ClassVar[str] = "points"

    def __post_init__(self) -> None:
        together = (point for points in self.engines for point in points)
        self._points = sorted(together, key=lambda point: point.number)
        self._engine_of = {point.number: i for i, points in enumerate(self.engines, 1) for point in points}

    def _draw(self) -> Sequence[Launch]:
        return draw(len(self._points), self.loaded.experiment.protocol.seed)

    def _told(self, launch: Launch) -> dict[str, Any]:
        values = self._point(launch.number).values
        return {"number": launch.number, "values": values, "engine": self._engine_of[launch.number]}

    def _all(self, planned: Sequence[Launch]) -> Outcome:
        whole = Outcome("complete", 0)
        began, measured = time.monotonic(), 0
        for points in self.engines:
            launches = [planned[point.number - 1] for point in points]
            left_s = (time.monotonic() - began) / measured * (len(planned) - measured) if measured else None
            self.announce(launches[0].number, len(planned), left_s)
            ended = self._run(self._arguments_of(launches), self._environment(launches[0]))
            for launch in launches:
                found = self._taken(launch, self._exit_status(launch, ended))
                if found.status != "complete":
                    found.message += f"; {measured} of {len(planned)} {self.what} were measured and kept before"
                    return found
                measured += 1
                if found.exit_status and not whole.exit_status:  # an unequal arm; the other points are still worth it
                    whole = found
        return whole

    def _arguments_of(self, launches: Sequence[Launch]) -> list[str]:
        """Of the process that serves these points."""
        numbers = ",".join(str(launch.number) for launch in launches)
        first = self.first_arguments if self._is_first(launches[0]) else ()
        return [*self._command_of(self.folder.path), *first, OPTION, numbers]

    def _exit_status(self, launch: Launch, of_process: int) -> int:
        """Of a point: its own, where its run came to an end, since the process has had others besides."""
        try:
            run = read_facts(self._path(launch))
        except RecordsError:
            return of_process
        return of_process if run["status"] == "running" else int(run.get("exit_status", of_process))

    def _path(self, launch: Launch) -> Path:
        return self.folder.point(launch.number)

    def _name(self, launch: Launch) -> str:
        return self._point(launch.number).told

    def _take_over(self, run: dict[str, Any], path: Path) -> None:
        """Note an arm that is not equal at this point; points do different work, so that they share nothing else."""
        equality = self.facts.setdefault("equality", {})
        values = self._point(int(path.name)).told
        for arm, found in run.get("equality", {}).items():
            if not found["equal"]:
                equality[arm] = {**found, "reason": f"at {values}: {found['reason']}"}
            else:
                equality.setdefault(arm, found)
        self.folder.write_run(self.facts)

    def _point(self, number: int) -> Point:
        return self._points[number - 1]
