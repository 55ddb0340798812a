"""Times phases in a process of the engine that holds no model runner: a front end's, or an engine core's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.instrument.anatomy import phases_of, whole
from harness.instrument.finding import those_there
from harness.instrument.instrument import Instrument, name_of
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.instrument.loops import CoreLoop, FrontLoop
from harness.instrument.scopes import JOIN
from harness.seams import NATIVE

if TYPE_CHECKING:
    from harness.instrument.loops import Loop

__all__ = ["ProcessInstrument"]


class ProcessInstrument:
    """Times the phases that are in this process, where no model runner is.

    Args:
        loop: an engine core's, or a front end's.
        front_apart: whether the front end is in another process than the engine core.
    """

    def __init__(self, loop: Loop, front_apart: bool) -> None:
        self.turn = name_of(loop.turn)
        wanted = phases_of(self.turn, loop.generation)
        held = whole(self.turn, loop.generation, front_apart)
        there = set(those_there([*held, *(phase.name for phase in wanted)]))
        phases = [phase for phase in wanted if phase.name in there]
        self.phases = {phase.name: {"label": phase.label, "section": phase.section} for phase in phases}
        scope = JOIN.join(name for name in held if name in there)
        native = [ArmSpec(NATIVE, "", None)]
        self._instrument = Instrument(loop.runner, Instrumentation("", native, list(self.phases), scope), loop=loop)

    @classmethod
    def of_core(cls, core: Any, front_apart: bool) -> ProcessInstrument:
        """In the process of an engine core whose workers are other processes."""
        return cls(CoreLoop(core), front_apart)

    @classmethod
    def of_front(cls, engine: Any) -> ProcessInstrument:
        """In the process of a front end whose engine core is another process."""
        return cls(FrontLoop(engine), True)

    def describe(self) -> dict[str, Any]:
        """What is timed here, and what a probe costs."""
        return {"phases": self.phases, "turn": self.turn, "calibration": self._instrument.calibrate().as_dict()}

    def begin(self) -> None:
        """Bind for one pass, in which everything is probed."""
        self._instrument.begin("probed", [0])

    def end(self) -> dict[str, list[Any]]:
        """Put everything back; the pass's columns."""
        columns: dict[str, list[Any]] = self._instrument.end(cut=True)["columns"]
        return columns

    def remove(self) -> None:
        """Put back whatever a pass that was cut short has left."""
        if self._instrument.under_way:
            self._instrument.end(cut=True)
        self._instrument.remove()
