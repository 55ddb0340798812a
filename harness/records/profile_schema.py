"""What run.json says of a profile: what was asked for, and the phases that this vLLM has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints

from harness.records.recorded import DOTTED, MANY, Count, Number, Recorded

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AnatomyFacts", "ProfileEntry", "is_profile"]

Label = Annotated[str, StringConstraints(min_length=1, max_length=300)]
FullName = Annotated[str, StringConstraints(pattern=rf"^{DOTTED}$", max_length=300)]


class ProfileEntry(Recorded):
    """The section of the config."""

    into: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
    steps: Annotated[str, StringConstraints(pattern=r"^(\d{0,9}:\d{0,9})?$")] = ""


class PhaseFacts(Recorded):
    """A phase, or a function inside of one."""

    label: Label
    section: Literal["", "arrival", "turn", "output"]
    within: str = ""
    depth: Count = 0


class UntimedFacts(Recorded):
    """A function that is called in an opened phase and has no probe."""

    name: Label
    within: str
    calls_a_pass: Count
    why: str


class ProbeCosts(Recorded):
    """What a probe costs in a process: inside of its own time, and in its caller's."""

    inside_ns: Number
    outside_ns: Number


class ProcessFacts(Recorded):
    """Another process of the engine: the phases that are timed in it, and what a probe costs there."""

    phases: Annotated[dict[FullName, PhaseFacts], Field(max_length=MANY)]
    calibration: ProbeCosts


class AnatomyFacts(Recorded):
    """The phases by the full names of their functions, what was planted behind them, and other processes' phases."""

    phases: Annotated[dict[FullName, PhaseFacts], Field(max_length=MANY)]
    untimed: Annotated[list[UntimedFacts], Field(max_length=MANY)] = Field(default_factory=list)
    delays_ns: Annotated[dict[FullName, Count], Field(max_length=MANY)] = Field(default_factory=dict)
    lines: str = ""
    processes: Annotated[dict[Label, ProcessFacts], Field(max_length=MANY)] = Field(default_factory=dict)


def is_profile(facts: Mapping[str, Any]) -> bool:
    """Whether run.json is of a profile."""
    config = facts.get("config")
    return isinstance(config, dict) and config.get("profile") is not None
