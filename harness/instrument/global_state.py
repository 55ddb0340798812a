"""State that all of a process shares, as far as an arm may change it: noted, compared, and put back.

An arm that sets the default dtype or switches garbage collection off changes what is measured of every arm after it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["put_back", "snapshot"]


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_gc(on: bool) -> None:
    (gc.enable if on else gc.disable)()


def _set_handlers(handlers: tuple[Any, ...]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in zip(_SIGNALS, handlers, strict=True):
            if handler is not None:  # None was set by no Python code
                signal.signal(number, handler)


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
_STATE: Final[Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's deterministic algorithms": (
        _deterministic,
        lambda was: torch.use_deterministic_algorithms(was[0], warn_only=was[1]),
    ),
    "torch's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's anomaly mode": (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "torch's matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "torch's default device": (
        lambda: str(torch.get_default_device()),
        lambda was: torch.set_default_device(None if was == "cpu" else was),
    ),
    "numpy's handling of errors": (np.geterr, lambda was: np.seterr(**was)),
    "garbage collection": (gc.isenabled, _set_gc),
    "garbage collection's thresholds": (gc.get_threshold, lambda was: gc.set_threshold(*was)),
    "Python's switch interval": (sys.getswitchinterval, sys.setswitchinterval),
    "Python's recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "Python's profiling function": (sys.getprofile, sys.setprofile),
    "the thread's CPUs": (lambda: os.sched_getaffinity(0), lambda was: os.sched_setaffinity(0, was)),
    "the handlers of signals": (lambda: tuple(map(signal.getsignal, _SIGNALS)), _set_handlers),
    "the working directory": (os.getcwd, os.chdir),
}
"""What it is, how it is read, and how it is set."""


def snapshot() -> dict[str, Any]:
    """All of it as it is now; takes some tens of microseconds."""
    return {name: read() for name, (read, _) in _STATE.items()}


def put_back(before: Mapping[str, Any]) -> list[str]:
    """Put back what is not as it was; gives what that is, in words."""
    changed = []
    for name, (read, write) in _STATE.items():
        if read() != before[name]:
            write(before[name])
            changed.append(name)
    return changed
