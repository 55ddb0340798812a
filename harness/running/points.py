"""The points of a sweep: a run of its own at each, in a process and a folder of its own, one after the other.

What is compared is compared within a point, in one engine; between points nothing is subtracted, so their order does
not matter, and they come in the config's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from harness.running.launches import Launch, Launches, draw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.config.sweep import Point

__all__ = ["Points"]


@dataclass
class Points(Launches):
    """A run of several points.

    Attributes:
        points: of the config's sweep.
    """

    points: Sequence[Point] = field(default_factory=list)
    what: ClassVar[str] = "points"

    def _draw(self) -> Sequence[Launch]:
        return draw(len(self.points), self.loaded.experiment.protocol.seed)

    def _told(self, launch: Launch) -> dict[str, Any]:
        return {"number": launch.number, "values": self._point(launch).values}

    def _arguments(self, launch: Launch) -> list[str]:
        settings = (word for override in self._point(launch).overrides for word in ("--set", override))
        return [*self._run_of(launch), *(self.first_arguments if self._is_first(launch) else ()), *settings]

    def _path(self, launch: Launch) -> Path:
        return self.folder.point(launch.number)

    def _name(self, launch: Launch) -> str:
        return self._point(launch).told

    def _take_over(self, run: dict[str, Any], path: Path) -> None:
        """Note an arm that is not equal at this point; points do different work, so that they share nothing else."""
        equality = self.facts.setdefault("equality", {})
        values = self._point_of(path).told
        for arm, found in run.get("equality", {}).items():
            if not found["equal"]:
                equality[arm] = {**found, "reason": f"at {values}: {found['reason']}"}
            else:
                equality.setdefault(arm, found)
        self.folder.write_run(self.facts)

    def _point(self, launch: Launch) -> Point:
        return self.points[launch.number - 1]

    def _point_of(self, path: Path) -> Point:
        return self.points[int(path.name) - 1]
