"""Launch grain: each launch is an engine that was started with one arm's change in it, and runs that arm alone.

For a change that cannot be switched in a living engine. Every arm, native too, is started from an overlay of the
installed package; the order of arms is drawn in blocks, each of which has every arm once, so that what changes slowly
on the machine falls on all of them. Hash seed and environment size are drawn for each launch as ever.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.config.launched import OPTION, Launched
from harness.config.settings import options_of
from harness.errors import RecordsError
from harness.instrument.scopes import AUTO
from harness.records.agreement import SIGNATURE, signature_difference
from harness.running.across import Across
from harness.running.changed import facts_of, installed_root
from harness.running.launches import SHARED, Launch, Launches, draw
from harness.running.overlay import make_overlay, path_with, remove_overlays
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from harness.environments import Environment
    from harness.running.changed import Prepared
    from harness.running.run import Outcome

__all__ = ["FEWEST", "OVERLAYS", "ArmLaunches", "draw_arms"]

FEWEST: Final = 5
"""Launches of each arm, where the config does not say how many."""
OVERLAYS: Final = "overlays"
ORDER: Final = 3
"""Beside the seed, so that the order of arms is drawn independently of the rest."""


@dataclass(frozen=True)
class ArmLaunch(Launch):
    """A launch that runs one arm."""

    arm: str = NATIVE


def draw_arms(arms: Sequence[str], blocks: int, seed: int) -> list[ArmLaunch]:
    """Draw all launches, in blocks of all arms in random order; the same seed gives the same ones."""
    rng = np.random.default_rng([seed, ORDER])
    order = [arms[index] for _ in range(blocks) for index in rng.permutation(len(arms))]
    return [ArmLaunch(**vars(launch), arm=arm) for launch, arm in zip(draw(len(order), seed), order, strict=True)]


@dataclass
class ArmLaunches(Launches):
    """A run at launch grain.

    Attributes:
        prepared: the arms' changed files, by arm; native is not among them.
        why: why it is at launch grain, a reason each.
        environments: by arm, of those with a release of vLLM of their own, where that is.
        note: is told what a user wants to know at once.
        root: the folder that holds the installed package.
    """

    prepared: Mapping[str, Prepared] = field(default_factory=dict)
    why: Sequence[str] = ()
    environments: Mapping[str, Environment] = field(default_factory=dict)
    note: Callable[[str], None] = lambda text: None
    root: Path | None = None

    def __post_init__(self) -> None:
        experiment = self.loaded.experiment
        protocol = experiment.protocol
        count = protocol.launches if protocol.launches > 1 else FEWEST
        asked = protocol.grain
        protocol = protocol.model_copy(update={"grain": "launch", "launches": count})
        self.loaded = self.loaded._replace(experiment=experiment.model_copy(update={"protocol": protocol}))
        self._given = {"asked": asked, "why": list(self.why)}
        self._options = {arm.name: options_of(experiment, arm) for arm in experiment.arms}
        self._across = Across(experiment.equality.left_out, [arm.name for arm in experiment.arms if arm.setting])
        self._found = Launched("", experiment.scope, tuple(experiment.probes), self._watched())
        self._overlays: dict[str, Path] = {}
        self._measured: list[str] = []

    @property
    def a_run(self) -> int:
        """Launches of each arm."""
        return self.loaded.experiment.protocol.launches

    def _watched(self) -> tuple[str, ...]:
        """The functions that changes touch, and that native has as well."""
        changes = [change for each in self.prepared.values() for change in each.changes if change.kind == "function"]
        return tuple(dict.fromkeys(change.full_name for change in changes if change.how == "changed"))

    @staticmethod
    def _own(prepared: Prepared) -> list[str]:
        """An arm's changed functions that a pass can reach; what makes objects ran when the engine started."""
        changes = [change for change in prepared.changes if (change.kind, change.how) == ("function", "changed")]
        return [change.full_name for change in changes if not change.makes_objects]

    def _draw(self) -> Sequence[Launch]:
        experiment = self.loaded.experiment
        names = [NATIVE, *(arm.name for arm in experiment.arms if arm.name != NATIVE)]
        return draw_arms(names, experiment.protocol.launches, experiment.protocol.seed)

    def _all(self, planned: Sequence[Launch]) -> Outcome:
        self.facts |= {
            "grain": self._given,
            "changes": facts_of(self.prepared),
            "environments": {
                name: {"hash": each.hash, "vllm": each.version, "torch": each.torch}
                for name, each in self.environments.items()
            },
            "started_with": {name: self._own(each) for name, each in self.prepared.items()},
        }
        self.folder.write_run(self.facts)
        folder, root = self.folder.path / OVERLAYS, self.root or installed_root()
        try:
            for name in dict.fromkeys(launch.arm for launch in planned if isinstance(launch, ArmLaunch)):
                files = self.prepared[name].sources.files if name in self.prepared else ()
                of_arm = self.environments[name].packages_root if name in self.environments else root
                self._overlays[name] = make_overlay(of_arm, files, folder / name)
            outcome = super()._all(planned)
        finally:
            remove_overlays(folder)
        if outcome.status == "complete" and self._across.struck:
            reasons = "; ".join(f"arm {name!r} {reason}" for name, reason in self._across.struck.items())
            told = f"not equal to native, so without figures: {reasons}"
            return dataclasses.replace(outcome, exit_status=1, message=told)
        return outcome

    def _name(self, launch: Launch) -> str:
        assert isinstance(launch, ArmLaunch)  # noqa: S101 (`_draw` gives no others)
        return f"launch {launch.number} ({launch.arm})"

    def _is_needed(self, launch: Launch) -> bool:
        return getattr(launch, "arm", NATIVE) not in self._across.struck

    def _arguments(self, launch: Launch) -> list[str]:
        assert isinstance(launch, ArmLaunch)  # noqa: S101 (`_draw` gives no others)
        settings = (word for option in self._options[launch.arm] for word in ("--set", option))
        python, *arguments = super()._arguments(launch)
        if launch.arm in self.environments:
            python = str(self.environments[launch.arm].python)
        return [python, *arguments, *settings, OPTION, self._found._replace(arm=launch.arm).as_text()]

    def _is_first(self, launch: Launch) -> bool:
        assert isinstance(launch, ArmLaunch)  # noqa: S101 (`_draw` gives no others)
        of_arm = [each["number"] for each in self.facts["launches"] if each["arm"] == launch.arm]
        return bool(launch.number == min(of_arm))

    def _environment(self, launch: Launch) -> dict[str, str]:
        assert isinstance(launch, ArmLaunch)  # noqa: S101 (`_draw` gives no others)
        environment = super()._environment(launch)
        if launch.arm in self.environments:
            environment |= self.environments[launch.arm].variables(environment)
        return environment | path_with(self._overlays[launch.arm], environment)

    def _take_over(self, run: dict[str, Any], path: Path) -> None:
        """Take what a launch found: shared facts from native's first one, the scope from the very first."""
        arm = str(run.get("arm", NATIVE))
        if self._found.scope == AUTO and run["config"]["scope"] != AUTO:
            self._find(run)
        same = {key: value for key, value in self.facts.get("steps", {}).items() if key in SIGNATURE}
        if arm == NATIVE:
            known = self._across.natives > 0
            if known and "steps" in run and (difference := signature_difference(same, run["steps"])):
                raise RecordsError(f"it did other work than native's launch before: {difference}")
            for key in SHARED:
                if key in run and not known:
                    self.facts[key] = run[key]
        elif (
            self._across.natives and arm in self._across.settings and "steps" in run
            and (difference := signature_difference(same, run["steps"]))
        ):  # fmt: skip
            self._across.struck.setdefault(arm, f"does other work than native: {difference}")
        for key in SHARED:
            if key in run:
                self.facts.setdefault(key, run[key])
        if run.get("arms_measured") and arm not in self._measured:
            self._measured.append(arm)
        self.facts["arms_measured"] = list(self._measured)
        self._take_calibration(run)
        self.facts.setdefault("calls", {}).setdefault(arm, run.get("calls", {}).get(NATIVE, {}))
        if run["status"] == "complete":
            self._judge(int(path.name), arm, path, run.get("checked", {}).get("not_repeated", []))
        self.folder.write_run(self.facts)

    def _find(self, run: dict[str, Any]) -> None:
        """Time in every launch what the first one has found."""
        super()._find(run)
        config = run["config"]
        self._found = self._found._replace(scope=config["scope"], probes=tuple(config["probes"]))

    def _judge(self, number: int, arm: str, path: Path, not_repeated: Sequence[str]) -> None:
        """Hold an arm's launches against native's, as far as there are any."""
        before, otherwise = set(self._across.struck), set(self._across.otherwise)
        self._across.take(number, arm, path, not_repeated)
        for name in self._across.struck.keys() - before:
            self.note(f"{name} is struck: {self._across.struck[name]}")
        for name in self._across.otherwise.keys() - otherwise:
            self.note(f"{name} computes otherwise than native, as a setting may: {self._across.otherwise[name]}")
        self.facts["across"] = facts = self._across.facts()
        self.facts["checked"] = {
            key: facts[key] for key in ("leaves", "not_repeated", "ignored", "cut") if key in facts
        }
        equality = {NATIVE: {"equal": True, "reason": ""}}
        equality |= {name: {"equal": True, "reason": ""} for name in self._across.compared}
        equality |= {name: {"equal": False, "reason": reason} for name, reason in self._across.struck.items()}
        self.facts["equality"] = equality
