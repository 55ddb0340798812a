"""What a checking pass sees of its steps, and what is wrong with them.

Beside the fingerprint it sees the calls of the functions that arms change, and objects that live on from step to step.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from harness.changes.census import Census
from harness.instrument.checking import Checks, Mismatch, of_faults
from harness.instrument.compiled import why_not_run
from harness.instrument.phases import Phases
from harness.instrument.recorder import Recorder
from harness.instrument.switch import Around, joined
from harness.instrument.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FunctionType

    from harness.instrument.bindings import Bindings
    from harness.instrument.digests import Row
    from harness.instrument.loops import Loop
    from harness.instrument.placing import Placer
    from harness.instrument.switch import Switch

__all__ = ["CheckedSteps"]

CENSUS_STEPS: Final = (1, 4, 16)
"""At whose beginning a checking pass looks for objects that live over a step."""


class CheckedSteps:
    """Records one checking pass after the other, and holds each against native's.

    Args:
        loop: how the runner goes through a step.
        placer: has placed the arms.
        switch: between them.
        changed: the functions that arms change, by their full names.
        left_out: fields of a step's fingerprint that are not compared.
    """

    def __init__(
        self,
        loop: Loop,
        placer: Placer,
        switch: Switch,
        changed: Mapping[str, FunctionType],
        left_out: Sequence[str],
    ) -> None:
        self._loop, self._placer, self._switch, self._changed = loop, placer, switch, changed
        self._checks = Checks(left_out)
        self._recorder = Recorder(loop, loop.core)
        # What arms of V0 are handed and give back is theirs alone, until the model's inputs are made of it.
        whole = placer.functions if loop.generation != "v0" else ()
        self._watching = Watching(changed, self._recorder.call, whole)
        self._outlive: dict[str, int] = {}

    def begin(self, bindings: Bindings) -> None:
        """Bind what records the fingerprint, for one pass."""
        self._recorder.begin(bindings)
        self._watching.where = Phases(self._switch.codes)

    def around(self) -> dict[FunctionType, Around]:
        """What is around the functions that arms change."""
        found = {}
        for function in self._changed.values():
            watched = joined(self._placer.spoiling(function), self._watching.around(function))
            found[function] = Around(watched, watched)
        return found

    def around_values(self) -> Around:
        """What is around values that arms switch: what a seam's object holds itself, or functions under their names."""
        if any(site.function is None for site in self._placer.sites):
            return Around(*[self._watching.around_name(self._placer.short_name)] * 2)
        return Around(*[self._watching.around_named(self._switch.named)] * 2)

    def begin_step(self, step: int) -> None:
        """What follows belongs to a new step."""
        self._watching.begin_step()
        self._look_for_objects(step)

    def _look_for_objects(self, step: int) -> None:
        """Whether objects that an arm would make differently live from one step to another: then none may change."""
        makers = self._placer.makers
        if makers and step in CENSUS_STEPS and not self._outlive:
            census = Census(classes=makers)
            census.take()
            self._outlive = {each.__qualname__: count for each, count in census.objects.items() if count}

    def forget(self) -> None:
        """Forget the calls that a pass which was cut short has left."""
        self._watching.take()

    def seen(self, steps: int) -> dict[str, Any]:
        """What was seen of the functions that arms change, in so many steps; the calls are forgotten."""
        seen = self._watching.take(steps)
        not_run = why_not_run(self._loop.runner, self._changed, seen["calls"], seen["phases"])
        late = {"outlive": dict(self._outlive), "imported": self._placer.imported}
        return {**seen, "not_run": not_run, **late, "cache_hits": self._placer.hits()}

    def mismatches(
        self,
        arms: Sequence[str],
        native: str,
        faults: Mapping[str, str],
        failure: Mapping[str, Any] | None,
        changed: Sequence[str],
    ) -> list[dict[str, Any]]:
        """What is wrong with the pass; an arm that failed, or changed what all share, is not compared further.

        Args:
            arms: of each step, by name.
            native: the name of the host's own.
            faults: what arms did outside of steps, by name.
            failure: what an arm at a seam raised in a step; None where none did.
            changed: of the state that all share, what is not as it was.
        """
        fingerprint = self._recorder.end()
        found = of_faults(faults)
        mismatch: Mismatch | None = None
        if failure is not None:
            mismatch = Mismatch(failure["arm"], failure["step"], f"raised {failure['error']}", True)
        elif changed and arms:
            what = f"changed {', '.join(changed)}, for all that came after it"
            mismatch = Mismatch(arms[-1], len(arms) - 1, what, True)
        elif arms:
            mismatch = self._checks.take(fingerprint, arms, native)
        return found if mismatch is None else [*found, asdict(mismatch)]

    @property
    def facts(self) -> dict[str, Any]:
        """How much is compared, and what is not."""
        return self._checks.facts

    @property
    def reference(self) -> list[Row]:
        """What native served in its last checking pass, as text."""
        return self._checks.reference
