"""What harness adds to vLLM's engine core where that is in a process of its own: a method that resets it.

There the core is not above its workers' methods, and `pristine.core_of` finds none. vLLM's client can call any method
of the core by its name, so its process begins here, adds one and goes on as vLLM's own.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from harness.instrument.pristine import reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["RESET", "resettable", "run_engine_core"]

RESET: Final = "harness_reset_core"
"""The method's name; it gives why the core could not be reset, or nothing."""

_vllms: Callable[..., Any] | None = None
"""vLLM's own `run_engine_core`, while this one is in its place; a forked process has it as its parent had it."""


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """What runs in the engine core's process. A spawned one finds it by its name."""
    from vllm.v1.engine.core import EngineCore, EngineCoreProc

    setattr(EngineCore, RESET, harness_reset_core)
    (_vllms or EngineCoreProc.run_engine_core)(*args, **kwargs)


def harness_reset_core(self: Any, backwards: bool = False) -> str:
    """As `pristine.reset`, of the core whose method it is."""
    return reset(self, backwards=backwards)


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
