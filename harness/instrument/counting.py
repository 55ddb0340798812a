"""The counting pass: what each arm makes PyTorch do in a step, and how often probed functions run, whoever calls them.

Counts do not vary as times do.
"""

from __future__ import annotations

import gc
from contextlib import ExitStack
from dataclasses import astuple
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.instrument.counters import COUNTERS, SEEN_CALLS, TRACKED, Counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.instrument.device import Synchronisations
    from harness.instrument.every_call import EveryCall

__all__ = ["Counter"]

_COPYING: Final = frozenset({"to", "_to_copy", "copy_", "lift_fresh"})
"""Operators that can copy to a device. `torch.tensor(data, device=...)` copies where no mode sees it, and shows
as `lift_fresh` of a tensor that is on the device already (torch/csrc/utils/tensor_new.cpp)."""


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered, into the counts of the current step.

    Args:
        synchronisations: watched inside the scope, where there is a device to wait for.
        every_call: the functions whose calls inside the scope are counted.
    """

    def __init__(self, synchronisations: Synchronisations | None = None, every_call: EveryCall | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._synchronisations, self._every_call = synchronisations, every_call
        self._steps: list[Counts] = []
        self._tracked: list[int] = []
        self._in_scope = False

    def begin_step(self) -> None:
        """What follows belongs to a new step."""
        self._tracked.append(gc.get_count()[0])
        self._steps.append(Counts())
        if self._every_call is not None:
            self._every_call.begin_step()

    def take(self) -> dict[str, list[int]]:
        """Give one list a counter (`NAME.seen_calls` for a function), one entry a step, and forget them."""
        steps, self._steps = self._steps, []
        rows = [astuple(step) for step in steps]
        tracked, self._tracked = [*self._tracked, gc.get_count()[0]], []
        seen = {} if self._every_call is None else self._every_call.take()
        return {
            **{name: [row[index] for row in rows] for index, name in enumerate(COUNTERS)},
            TRACKED: [after - before for before, after in pairwise(tracked)],
            **{f"{name}.{SEEN_CALLS}": calls for name, calls in seen.items()},
        }

    def counted(self, function: Callable[..., Any], scope: bool = False) -> Callable[..., Any]:
        """`function` with everything inside counted; with `scope` it is counted for the scope, too."""

        def counting(*args: Any, **kwargs: Any) -> Any:
            if scope:
                return self._scope(function, *args, **kwargs)
            with self:
                return function(*args, **kwargs)

        return counting

    def _scope(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        watch = self._synchronisations
        before = watch.count if watch is not None else 0
        self._in_scope = True
        try:
            with ExitStack() as watching:
                for watched in (watch, self._every_call):
                    if watched is not None:
                        watching.enter_context(watched.watching())
                return function(*args, **kwargs)
        finally:
            self._in_scope = False
            if watch is not None and self._steps:
                self._steps[-1].scope_synchronisations += watch.count - before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count the operator, then let it do its work."""
        result = func(*args, **(kwargs or {}))
        if func.namespace == "aten" and self._steps:
            copied = _copied_bytes(func, args, result)
            step = self._steps[-1]
            step.step_aten_dispatches += 1
            step.step_device_copies += copied is not None
            step.step_device_copy_bytes += copied or 0
            if self._in_scope:
                step.scope_aten_dispatches += 1
                step.scope_device_copies += copied is not None
                step.scope_device_copy_bytes += copied or 0
        return result


def _copied_bytes(func: Any, args: Any, result: Any) -> int | None:
    """Bytes that went from host memory to another device, or None where none did."""
    name = func.overloadpacket.__name__
    if name not in _COPYING:
        return None
    target = next(iter(tree_leaves(result)))
    fresh = name == "lift_fresh"
    source = "cpu" if fresh else args[name == "copy_"].device.type
    return int(target.nbytes) if source == "cpu" and target.device.type != "cpu" else None
