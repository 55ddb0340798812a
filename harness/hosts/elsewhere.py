"""The processes of an engine that hold no model runner: phases are timed there by an instrument of their own.

Each process has its own clock and its own columns; nothing is subtracted from one process to another.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from harness.hosts.process_instrument import ProcessInstrument
from harness.hosts.vllm_core import BEGIN, END, REMOVE, TIME

if TYPE_CHECKING:
    from harness.hosts.processes import EngineProcesses

__all__ = ["CORE", "FRONT_END", "Elsewhere"]

FRONT_END: Final = "front end"
CORE: Final = "engine core"


class Elsewhere:
    """The processes of one engine that hold no model runner.

    Args:
        engine: vLLM's LLMEngine, in this process.
        processes: of the engine, where its core is not in this process.
        core_apart: whether the core is in another process than its workers.
    """

    def __init__(self, engine: Any, processes: EngineProcesses | None, core_apart: bool) -> None:
        self._processes, self._client = processes, engine.engine_core
        self._here = ""
        self._core_alone = processes is not None and core_apart
        if processes is not None:
            self._here, self._own = FRONT_END, ProcessInstrument.of_front(engine)
        elif core_apart:
            self._here = f"{FRONT_END} and {CORE}"
            self._own = ProcessInstrument.of_core(self._client.engine_core, front_apart=False)

    def describe(self) -> dict[str, Any]:
        """By process what is timed there; empty where all of the engine is in one."""
        found = {self._here: self._own.describe()} if self._here else {}
        return found | ({CORE: self._call(TIME)} if self._core_alone else {})

    def begin(self) -> None:
        """Bind for one pass."""
        if self._core_alone:
            self._call(BEGIN)
        if self._here:
            self._own.begin()

    def end(self) -> dict[str, dict[str, list[Any]]]:
        """Put everything back; the pass's columns by process."""
        found = {self._here: self._own.end()} if self._here else {}
        return found | ({CORE: self._call(END)} if self._core_alone else {})

    def remove(self) -> None:
        """Put back whatever a pass that was cut short has left; an engine that died has left nothing."""
        if self._here:
            self._own.remove()
        if self._core_alone:
            with contextlib.suppress(Exception):
                self._call(REMOVE)

    def _call(self, method: str) -> Any:
        assert self._processes is not None  # noqa: S101 (`_core_alone` says so)
        return self._processes.call(self._client.call_utility, method)
