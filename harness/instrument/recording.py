"""A fingerprint while it is being taken: what is seen is written to the step that it belongs to.

A step begins when it is scheduled. With asynchronous scheduling the next one is scheduled before this one's outputs are
there, so steps are known by their SchedulerOutput, and whoever sees something says which step it is inside of.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

from harness.instrument.fingerprint import Fingerprint
from harness.instrument.leaves import DEPTH, LIMIT, Leaf, Walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Recording", "Step"]

Step = dict[str, Leaf]

CALL_DEPTH: Final = 6
CALL_LIMIT: Final = 5_000
"""How deep, and how many leaves of, each argument and result of a swapped function."""
SELF_DEPTH: Final = 2
SELF_LIMIT: Final = 1_000
"""The same of the object whose method it is, which may hold half the engine."""


class Recording:
    """One pass's steps, as far as they have come.

    Args:
        rows_from: tensors of more elements are kept as one digest a row.
    """

    def __init__(self, rows_from: int) -> None:
        self.fingerprint = Fingerprint()
        self.took_ns = 0
        self._walk = Walk(rows_from)
        self._coming: Step = {}
        """What is seen between steps belongs to the next one."""
        self._inside: list[Step] = []
        """The steps that the calls under way belong to, the innermost last."""
        self._works: dict[int, tuple[Any, Step]] = {}
        """The steps by their SchedulerOutput, which is held so that no other has its id."""
        self._calls: dict[tuple[int, str], int] = {}

    @property
    def is_inside(self) -> bool:
        """Whether a step is under way."""
        return bool(self._inside)

    def arrives(self, request_id: str) -> None:
        """A request has come, and is named before anything is seen of it."""
        self._walk.register([request_id])

    def open(self, work: Any, new_requests: Iterable[str]) -> Step:
        """A new step, with what was seen since the one before."""
        step, self._coming = self._coming, {}
        self.fingerprint.steps.append(step)
        self._works[id(work)] = (work, step)
        self._walk.register(new_requests)
        return step

    def step_of(self, work: Any) -> Step | None:
        """The step that was opened with this SchedulerOutput and is not closed."""
        known = self._works.get(id(work))
        return None if known is None else known[1]

    def close(self, work: Any) -> None:
        """Nothing more will come of this SchedulerOutput."""
        self._works.pop(id(work), None)

    @contextlib.contextmanager
    def inside(self, step: Step | None) -> Iterator[None]:
        """What is seen meanwhile belongs to this step; if to none, to the one around, or the next."""
        if step is None:
            yield
            return
        self._inside.append(step)
        try:
            yield
        finally:
            self._inside.pop()

    def add(self, path: str, value: Any, depth: int = DEPTH, limit: int = LIMIT) -> None:
        """Write down all leaves of a value, as they are now."""
        began = time.perf_counter_ns()
        self._now().update(self._walk.leaves(value, path, depth, limit))
        self.took_ns += time.perf_counter_ns() - began

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        """Write down a call that has returned; see `Recorder.call`."""
        key = (id(self._now()), name)
        index = self._calls[key] = self._calls.get(key, -1) + 1
        path = f"calls.{name}[{index}]"
        owner, rest = name.rpartition(".")[0].rpartition(".")[2], list(args)
        if owner and rest and owner in _classes(rest[0]):
            self.add(f"{path}.self", rest.pop(0), SELF_DEPTH, SELF_LIMIT)
        for place, value in enumerate(rest):
            self.add(f"{path}.args[{place}]", value, CALL_DEPTH, CALL_LIMIT)
        for keyword, value in kwargs.items():
            self.add(f"{path}.{keyword}", value, CALL_DEPTH, CALL_LIMIT)
        self.add(f"{path}.result", result, CALL_DEPTH, CALL_LIMIT)

    def _now(self) -> Step:
        return self._inside[-1] if self._inside else self._coming


def _classes(value: Any) -> set[str]:
    return {kind.__name__ for kind in (value if isinstance(value, type) else type(value)).__mro__}
