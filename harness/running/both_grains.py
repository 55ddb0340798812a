"""A run whose arms are of both grains: a run of each, in a folder of its own, one after the other.

What is switched in a living engine is compared step by step, and what an engine is started with launch by launch. The
two say different things: an interval within an engine is finer, and holds for that engine; one between launches also
has what differs from engine to engine. So nothing is subtracted between them, and native is measured in each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from harness.config.settings import not_switched
from harness.running.drawn import Launch, draw
from harness.running.launches import Launches
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.config.experiment import Experiment
    from harness.running.grains import Choice

__all__ = ["BothGrains", "Part", "parts_of"]


class Part(NamedTuple):
    """The run of one grain.

    Attributes:
        grain: that, and the name of its folder.
        arms: that it compares with native, or at a seam with one another.
        options: what `harness run` takes beside the whole run's, so that it runs these arms alone.
    """

    grain: Literal["step", "launch"]
    arms: tuple[str, ...]
    options: tuple[str, ...]


def parts_of(experiment: Experiment, choice: Choice) -> list[Part]:
    """Both parts of a run whose arms are of both grains; the one within an engine first, since it is sooner done."""
    step = tuple(arm.name for arm in experiment.arms if arm.name not in choice.apart)
    grain = {"protocol.grain": "step"} if experiment.seam else {}  # without a seam the engine may refuse more
    return [
        Part("step", tuple(name for name in step if name != NATIVE), _options(step, grain)),
        Part("launch", choice.apart, _options(choice.apart, not_switched(experiment))),
    ]


def _options(arms: Sequence[str], values: dict[str, Any]) -> tuple[str, ...]:
    settings = (word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value)}"))
    return ("--arms", ",".join(arms), *settings)


@dataclass
class BothGrains(Launches):
    """A run of both grains.

    Attributes:
        parts: of `parts_of`.
    """

    parts: Sequence[Part] = field(default_factory=list)
    what: ClassVar[str] = "grains"

    def _draw(self) -> Sequence[Launch]:
        return draw(len(self.parts), self.loaded.experiment.protocol.seed)

    def _told(self, launch: Launch) -> dict[str, Any]:
        part = self._part(launch)
        return {"grain": part.grain, "arms": list(part.arms)}

    def _arguments(self, launch: Launch) -> list[str]:
        return [*self._run_of(launch), *self.first_arguments, *self._part(launch).options, "--no-report"]

    def _path(self, launch: Launch) -> Path:
        return self.folder.path / self._part(launch).grain

    def _name(self, launch: Launch) -> str:
        return f"{self._part(launch).grain} grain"

    def _take_over(self, run: dict[str, Any], path: Path) -> None:
        """Note which arms are equal; the two do the same work, and share nothing else."""
        self.facts.setdefault("equality", {}).update(run.get("equality", {}))
        self.folder.write_run(self.facts)

    def _part(self, launch: Launch) -> Part:
        return self.parts[launch.number - 1]
