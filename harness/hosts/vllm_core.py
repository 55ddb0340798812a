"""What harness adds to vLLM's engine core where that is in a process of its own: methods that reset and time it.

There the core is not above its workers' methods, and `pristine.core_of` finds none. vLLM's client can call any method
of the core by its name, so its process begins here, adds them and goes on as vLLM's own.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from harness.instrument.pristine import reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["BEGIN", "END", "METHODS", "REMOVE", "RESET", "TIME", "resettable", "run_engine_core"]

RESET: Final = "harness_reset_core"
"""The method's name; it gives why the core could not be reset, or nothing."""
TIME: Final = "harness_time_core"
"""Makes the instrument of a core whose workers are other processes; gives what is timed there."""
BEGIN: Final = "harness_begin_core"
END: Final = "harness_end_core"
REMOVE: Final = "harness_remove_from_core"
INSTRUMENT: Final = "_harness"

_vllms: Callable[..., Any] | None = None
"""vLLM's own `run_engine_core`, while this one is in its place; a forked process has it as its parent had it."""


def harness_reset_core(self: Any, backwards: bool = False) -> str:
    """As `pristine.reset`, of the core whose method it is."""
    return reset(self, backwards=backwards)


def _time(self: Any) -> dict[str, Any]:
    from harness.hosts.process_instrument import ProcessInstrument

    instrument = ProcessInstrument.of_core(self, front_apart=True)
    setattr(self, INSTRUMENT, instrument)
    return instrument.describe()


def _begin(self: Any) -> None:
    getattr(self, INSTRUMENT).begin()


def _end(self: Any) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = getattr(self, INSTRUMENT).end()
    return columns


def _remove(self: Any) -> None:
    if (instrument := vars(self).pop(INSTRUMENT, None)) is not None:
        instrument.remove()


METHODS: Final[Mapping[str, Any]] = {
    RESET: harness_reset_core, TIME: _time, BEGIN: _begin, END: _end, REMOVE: _remove,
}  # fmt: skip
"""What is added, by name."""


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """What runs in the engine core's process. A spawned one finds it by its name."""
    from vllm.v1.engine.core import EngineCore, EngineCoreProc

    for name, method in METHODS.items():
        setattr(EngineCore, name, method)
    (_vllms or EngineCoreProc.run_engine_core)(*args, **kwargs)


@contextlib.contextmanager
def resettable() -> Iterator[None]:
    """Engine cores whose processes begin inside can be reset by `call_utility(RESET)`.

    Those of a vLLM that starts them in another way cannot, and say so when it is called.
    """
    global _vllms
    try:
        from vllm.v1.engine.core import EngineCoreProc
    except ImportError:
        yield
        return
    held = vars(EngineCoreProc).get("run_engine_core")
    if held is None:
        yield
        return
    _vllms = EngineCoreProc.run_engine_core
    EngineCoreProc.run_engine_core = staticmethod(run_engine_core)
    try:
        yield
    finally:
        EngineCoreProc.run_engine_core = held
        _vllms = None
