"""What only a device needs: its own clock, a watch on synchronisations, NVTX ranges. All use CUDA through PyTorch.

None of it is on the timed path: events are recorded and synchronisations counted in passes of their own, and ranges
are there only where they were asked for, in every arm alike.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch

from harness.errors import ConfigError
from harness.instrument.device_columns import DEVICE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DeviceClock", "Synchronisations", "on_cuda", "ranged", "synchronizer"]

SYNCHRONISING: Final = "called a synchronizing CUDA operation"
"""How PyTorch's sync debug mode begins its warning (c10/cuda/CUDAFunctions.cpp)."""


def on_cuda(runner: Any) -> bool:
    """Whether a model runner's tensors are on a CUDA device."""
    device = getattr(runner, "device", None)
    return device is not None and torch.device(device).type == "cuda"


class Event(Protocol):
    """The part of `torch.cuda.Event` that is used."""

    def record(self) -> None:
        """Have the device note the time when it gets here on the current stream."""
        ...

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds of the device from this event to another one; both must have been reached."""
        ...


def _cuda_event() -> Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


class DeviceClock:
    """When the device gets to the beginning and the end of each step and of the scope in it, by CUDA events.

    An event notes the time at which all work before it on the stream is done and the host has recorded it, whichever is
    later. So the time between two events is that in which the device worked, or waited for the host.
    """

    def __init__(self, event: Callable[[], Event] | None = None, wait: Callable[[], Any] | None = None) -> None:
        self._event, self._wait = event or _cuda_event, wait or torch.cuda.synchronize
        self._steps: list[tuple[Event, list[tuple[Event, Event]], list[Event]]] = []

    def begin_step(self) -> None:
        """The host begins with a step."""
        self._steps.append((self._recorded(), [], []))

    def ending(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, after which the step that has begun is over, as far as the host is concerned."""

        def then_ended(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if self._steps:
                self._steps[-1][2].append(self._recorded())
            return result

        return then_ended

    def scoped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """One of the scope's functions, between two events."""

        def between(*args: Any, **kwargs: Any) -> Any:
            start = self._recorded()
            result = function(*args, **kwargs)
            if self._steps:
                self._steps[-1][1].append((start, self._recorded()))
            return result

        return between

    def forget(self) -> None:
        """Forget whatever a pass that was cut short has left."""
        self._steps = []

    def take(self) -> dict[str, list[int]]:
        """Give one list a column of `DEVICE_COLUMNS`, one entry a step, in nanoseconds of the device, and forget them.

        `device_gap_ns` is from the end of the step before to the beginning of this one (0 for the first),
        `device_scope_ns` is within the scope, `device_step_ns` from this step's beginning to its end. A step that an
        exception cut short is left out.
        """
        steps, self._steps = self._steps, []
        columns: dict[str, list[int]] = {name: [] for name in DEVICE_COLUMNS}
        if not steps:
            return columns
        self._wait()
        before: Event | None = None
        for begin, scopes, ends in steps:
            if not ends:
                break
            end = ends[-1]
            columns["device_gap_ns"].append(_ns(before, begin) if before is not None else 0)
            columns["device_scope_ns"].append(sum(_ns(start, stop) for start, stop in scopes))
            columns["device_step_ns"].append(_ns(begin, end))
            before = end
        return columns

    def _recorded(self) -> Event:
        event = self._event()
        event.record()
        return event


def _ns(start: Event, stop: Event) -> int:
    return round(start.elapsed_time(stop) * 1e6)


class Synchronisations:
    """Counts where the host waits for the device, by PyTorch's sync debug mode.

    The mode sees copies to pageable memory and back, `item`, `nonzero` and the like; an explicit
    `torch.cuda.synchronize` or a wait for an event it does not see (torch.cuda.set_sync_debug_mode's documentation).
    """

    def __init__(self) -> None:
        self.count = 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count what happens inside; other warnings are passed on."""
        mode = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:
            torch.cuda.set_sync_debug_mode(mode)
            for warning in caught:
                if str(warning.message).startswith(SYNCHRONISING):
                    self.count += 1
                else:
                    warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def synchronizer(runner: Any) -> Callable[[], Any]:
    """A function that waits until the runner's device has done all that it was given.

    Raises:
        ConfigError: there is no such device.
    """
    if not on_cuda(runner):
        raise ConfigError("protocol.sync: the engine is on no CUDA device: nothing to wait for; leave it out")
    return torch.cuda.synchronize


def ranged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` inside an NVTX range, as Nsight Systems shows them.

    Raises:
        ConfigError: this PyTorch has no NVTX.
    """
    nvtx: Any = torch.cuda.nvtx
    push, pop = nvtx.range_push, nvtx.range_pop
    try:
        nvtx.mark(name)
    except RuntimeError as error:
        raise ConfigError("--nvtx: this PyTorch was built without NVTX (it is a CPU build); leave it out") from error

    def in_range(*args: Any, **kwargs: Any) -> Any:
        push(name)
        try:
            return function(*args, **kwargs)
        finally:
            pop()

    return in_range
