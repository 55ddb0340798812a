"""What run.json holds of the config; see `run_schema`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from harness.records.profile_schema import ProfileEntry
from harness.records.recorded import (
    DOTTED,
    LARGEST,
    MANY,
    MOST,
    Amount,
    ArmName,
    Counted,
    Number,
    Probe,
    Recorded,
    Section,
    Share,
)
from harness.seams import SEAMS

__all__ = ["ConfigEntry", "PointEntry"]

LONGEST_VALUE: Final = 200
METRICS: Final = frozenset({"scope", "step", "rest", "sum", "probed_step_ns"})
"""What is measured besides probes (`analysis.metrics`): no probe is called so."""


class ArmEntry(Recorded):
    """An arm of the config."""

    name: ArmName
    reference: str = ""
    patch: str = ""
    tree: str = ""
    revert: bool = False
    only: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
    env: Section = Field(default_factory=dict)
    engine: Section = Field(default_factory=dict)
    host: Section = Field(default_factory=dict)
    vllm: str = ""
    delay_us: Amount | None = None
    ceiling: bool = False


class UntilEntry(Recorded):
    """`protocol.until` of the config."""

    half_width_us: Amount
    max_seconds: Amount


class ProtocolEntry(Recorded):
    """`protocol` of the config."""

    grain: Literal["auto", "step", "pass", "launch"]
    order: Literal["random", "rotate"]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    margin: Share
    bare: bool
    drift: Literal["share", "level"]
    exposed: bool | Annotated[list[Annotated[float, Field(gt=0, le=LARGEST)]], Field(min_length=1)] = False
    until: UntilEntry | None = None
    sync: bool = False
    nvtx: bool = False


class EqualityEntry(Recorded):
    """`equality` of the config: fields of a step's fingerprint that were not compared."""

    ignore: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
    by_design: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)


Value = bool | Number | Annotated[str, Field(max_length=LONGEST_VALUE)]
"""Of a key that is swept."""
Axis = Annotated[list[Value], Field(min_length=2, max_length=MOST)]


class ConfigEntry(Recorded):
    """The config as it was validated; what a reader of records does not use is not looked at."""

    title: str
    seam: str = ""
    swap: Annotated[str, StringConstraints(pattern=rf"^({DOTTED})?$", max_length=300)] = ""
    scope: Annotated[str, StringConstraints(pattern=rf"^{DOTTED}( \+ {DOTTED})*$", max_length=500)]
    baseline: str
    arms: Annotated[list[ArmEntry], Field(min_length=1, max_length=MOST)]
    probes: Annotated[list[Probe], Field(max_length=MOST)]
    protocol: ProtocolEntry
    host: Section = Field(default_factory=dict)
    engine: Section = Field(default_factory=dict)
    workload: Section = Field(default_factory=dict)
    equality: EqualityEntry | None = None
    profile: ProfileEntry | None = None
    sweep: Annotated[dict[str, Axis], Field(max_length=2)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> ConfigEntry:
        if self.seam and self.seam not in SEAMS:
            raise ValueError(f"seam: there is no seam {self.seam!r} in this version of harness")
        names = [arm.name for arm in self.arms]
        for label, values in (("arms", names), ("probes", self.probes)):
            if len(set(values)) < len(values):
                raise ValueError(f"{label}: a name stands there twice")
        if self.baseline not in names:
            raise ValueError(f"baseline: {self.baseline!r} is none of the arms")
        if taken := METRICS.intersection(self.probes):
            raise ValueError(f"probes: {min(taken)!r} is no function")
        return self


class PointEntry(Recorded):
    """A point of a sweep: its number, the value of each key, and which engine served it, counted from 1."""

    number: Counted
    engine: Counted | None = None
    values: Annotated[dict[str, Value], Field(min_length=1, max_length=2)]
