"""What an engine is instrumented with: one record, made from the config, passed whole to the process that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ArmSpec", "Instrumentation"]


class ArmSpec(NamedTuple):
    """An arm, before it is loaded.

    Attributes:
        name: under which it is scheduled and reported.
        reference: `module:Class` or `FILE.py:Class`; empty for the host's own implementation.
        delay_ns: a delay planted behind each call, or None.
    """

    name: str
    reference: str
    delay_ns: int | None


@dataclass(frozen=True)
class Instrumentation:
    """What is swapped, what is timed, and where; `as_dict` and `from_dict` take it over an RPC.

    Attributes:
        seam: name of the seam, as in `harness.seams.SEAMS`.
        arms: schedules name them by their index.
        probes: dotted names, and the seam's own short name.
        scope: the runner's methods inside which time counts, joined by `+`.
        sync: wait for the device at the end of each probed call, before its clock stops.
        nvtx: put NVTX ranges around the scope and each arm's function, in every pass.
        step_timeout_s: how long an arm may take for a step; 0 for no limit.
        pulse: the file in which signs of life are put; empty where nobody watches.
    """

    seam: str
    arms: Sequence[ArmSpec]
    probes: Sequence[str]
    scope: str
    sync: bool = False
    nvtx: bool = False
    step_timeout_s: float = 0.0
    pulse: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As plain values, which an RPC can carry and JSON can hold."""
        return {**vars(self), "arms": [list(arm) for arm in self.arms], "probes": list(self.probes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Instrumentation:
        """From what `as_dict` gave."""
        return cls(**{**values, "arms": [ArmSpec(*arm) for arm in values["arms"]]})
