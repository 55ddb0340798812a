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
        reference: `module:NAME` or `FILE.py:NAME`, of a class at a seam and of a function at `swap`; empty for the
            host's own implementation, and where `folder` has the arm.
        delay_ns: a delay planted behind each call, or None.
        folder: has the files that a patch or a tree changes; empty where the arm is neither.
        only: of these files, the functions that are taken; all where it is empty.
        at: full name of the function behind which the delay is planted; empty for what the seam, or `swap`, names.
    """

    name: str
    reference: str
    delay_ns: int | None
    folder: str = ""
    only: tuple[str, ...] = ()
    at: str = ""

    def as_list(self) -> list[Any]:
        """As plain values, which an RPC can carry and JSON can hold."""
        return [*self[:-2], list(self.only), self.at]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> ArmSpec:
        """From what `as_list` gave."""
        name, reference, delay_ns, *rest = values
        return cls(name, reference, delay_ns, *rest[:1], *map(tuple, rest[1:2]), *rest[2:])


@dataclass(frozen=True)
class Instrumentation:
    """What is swapped, what is timed, and where; `as_dict` and `from_dict` take it over an RPC.

    Attributes:
        seam: name of the seam, as in `harness.seams.SEAMS`; empty where there is none.
        arms: schedules name them by their index.
        probes: dotted names, and the seam's own short name.
        scope: the methods inside which time counts, joined by `+`: the runner's by name, others with dots; or `auto`.
        sync: wait for the device at the end of each probed call, before its clock stops.
        nvtx: put NVTX ranges around the scope and each arm's function, in every pass.
        step_timeout_s: how long an arm may take for a step; 0 for no limit.
        pulse: the file in which signs of life are put; empty where nobody watches.
        swap: dotted name of the function that the arms' functions replace; empty where there is none.
        left_out: fields of a step's fingerprint that are not compared.
        watched: functions that no arm changes, and whose calls checking passes count all the same: the engine was
            started with a change to them. Those that it does not have are passed over.
    """

    seam: str
    arms: Sequence[ArmSpec]
    probes: Sequence[str]
    scope: str
    sync: bool = False
    nvtx: bool = False
    step_timeout_s: float = 0.0
    pulse: str = ""
    swap: str = ""
    left_out: Sequence[str] = ()
    watched: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """As plain values, which an RPC can carry and JSON can hold."""
        return {
            **vars(self),
            "arms": [ArmSpec(*arm).as_list() for arm in self.arms],
            "probes": list(self.probes),
            "left_out": list(self.left_out),
            "watched": list(self.watched),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Instrumentation:
        """From what `as_dict` gave."""
        arms = [ArmSpec.from_list(arm) for arm in values["arms"]]
        return cls(
            **{
                **values,
                "arms": arms,
                "left_out": tuple(values.get("left_out", ())),
                "watched": tuple(values.get("watched", ())),
            }
        )
