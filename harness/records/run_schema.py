"""What run.json holds: checked once, where it is read, whoever wrote it.

What all versions of harness have written is required; what some leave out has a default here, and readers of the plain
data use the same. Keys that this version does not know are let through.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from harness.seams import SEAMS

__all__ = ["NAME", "RUN_SCHEMA", "MachineFacts", "MicroRunFile", "Number", "Recorded", "RunFile"]

RUN_SCHEMA: Final = 2
"""Version of run.json and of the pass tables."""
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
"""An arm's name, as in a config (`config.experiment.Arm`): files are named after it."""
METRICS: Final = frozenset({"scope", "step", "rest", "sum", "probed_step_ns"})
"""What is measured besides probes (`analysis.metrics`): no probe is called so."""

LARGEST: Final = 10**15
"""No time in nanoseconds, and no count, is larger: this is eleven days."""
MOST: Final = 100
"""Arms, and probes, at most, as in a config: they are columns and rows of tables."""
MANY: Final = 1000
"""Entries of a list or section that is shown whole, at most."""
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Counted = Annotated[int, Field(ge=1, le=LARGEST)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
ArmName = Annotated[str, StringConstraints(pattern=NAME, max_length=100)]
Probe = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*([.:][A-Za-z_]\w*)*$", max_length=300)]
Names = Annotated[list[ArmName], Field(max_length=MANY)]
Section = Annotated[dict[str, Any], Field(max_length=MANY)]
Load = Annotated[list[Amount], Field(min_length=1)]


class Recorded(BaseModel):
    """A section: no value is converted, and unknown keys are let through."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class MachineFacts(Recorded):
    """`records.machine.describe_machine`."""

    cpu: str
    cores: Counted | None
    usable_cores: Counted
    memory_gib: Amount
    system: str
    python: str
    load_average: Load
    native_bfloat16: bool | None = None


class ArmEntry(Recorded):
    """An arm of the config."""

    name: ArmName
    reference: str = ""
    delay_us: Amount | None = None


class UntilEntry(Recorded):
    """`protocol.until` of the config."""

    half_width_us: Amount
    max_seconds: Amount


class ProtocolEntry(Recorded):
    """`protocol` of the config."""

    grain: Literal["step", "pass"]
    order: Literal["random", "rotate"]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    margin: Share
    bare: bool
    drift: Literal["share", "level"]
    exposed: bool | Annotated[list[Annotated[float, Field(gt=0, le=LARGEST)]], Field(min_length=1)] = False
    until: UntilEntry | None = None
    sync: bool = False
    nvtx: bool = False


class ConfigEntry(Recorded):
    """The config as it was validated; what a reader of records does not use is not looked at."""

    title: str
    seam: str
    scope: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*( \+ [A-Za-z_]\w*)*$", max_length=500)]
    baseline: str
    arms: Annotated[list[ArmEntry], Field(min_length=1, max_length=MOST)]
    probes: Annotated[list[Probe], Field(max_length=MOST)]
    protocol: ProtocolEntry
    host: Section = Field(default_factory=dict)
    engine: Section = Field(default_factory=dict)
    workload: Section = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> ConfigEntry:
        if self.seam not in SEAMS:
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


class DetailsEntry(Recorded):
    """What a host says of itself beyond the named facts."""

    process: str = ""
    torch_threads: Count = 1
    substituted: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
    generation: str = ""
    dtype: str = ""
    dtype_since: str = ""
    block_size: Annotated[list[Count], Field(max_length=MANY)] = Field(default_factory=list)


class HostFacts(Recorded):
    """`hosts.base.HostInfo`."""

    engine: str
    version: str
    runner: str
    device: str
    model: str
    world_size: Counted
    max_model_len: Count | None = None
    details: DetailsEntry


class WorkFacts(Recorded):
    """What was served in a pass."""

    requests: Count
    prompt_tokens: Count
    output_tokens: Count
    clipped: Count = 0


class StepsFacts(Recorded):
    """The steps of a pass."""

    count: Annotated[int, Field(ge=1, le=10**7)]
    num_reqs: list[Count]
    num_tokens: list[Count]
    num_prefills: list[Count]

    @model_validator(mode="after")
    def _as_many(self) -> StepsFacts:
        for key in ("num_reqs", "num_tokens", "num_prefills"):
            if (found := len(getattr(self, key))) != self.count:
                raise ValueError(f"{key}: there are {found:,} values for {self.count:,} steps")
        return self


class CalibrationFacts(Recorded):
    """What a probe costs."""

    inside_ns: Number
    outside_ns: Number
    spread_ns: Number


class EqualityFacts(Recorded):
    """Whether an arm computes what native computes."""

    equal: bool
    reason: str = ""


class PlanFacts(Recorded):
    """`running.planning.Plan`."""

    groups: Count
    expected_s: Amount
    asked_s: Amount | None = None
    fit: Count | None = None

    @model_validator(mode="after")
    def _both(self) -> PlanFacts:
        if self.fit is not None and self.asked_s is None:
            raise ValueError("asked_s: is missing, though there is fit")
        return self


class StoppedFacts(Recorded):
    """Where a run with `until` stopped; the width is infinite where nothing could be compared."""

    groups: Count
    half_width_us: Annotated[float, Field(ge=0)]
    narrow_enough: bool


class RecordingFacts(BaseModel):
    """`sampling.sampled.Recording`, which takes no other keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rate_hz: Counted
    native: bool
    nonblocking: bool
    samples: Count
    errors: Count
    behind_s: Amount
    seconds: Amount
    scope_samples: Count
    whole: bool
    step_samples: Count = 0
    passes: Count = 0
    steps: Count = 0
    step_us: Amount = 0.0
    sampled_step_us: Amount = 0.0


class RunFile(Recorded):
    """The whole of run.json, of a run in any state."""

    schema_: Literal[2] = Field(alias="schema")
    status: Literal["running", "complete", "failed", "interrupted"]
    command: Annotated[list[str], Field(max_length=MANY)]
    config_file: str
    config: ConfigEntry
    machine: MachineFacts
    versions: Annotated[dict[str, str], Field(max_length=MANY)]
    message: str = ""
    exit_status: int = 0
    selftest: str = ""
    load_average_at_end: Load | None = None
    host: HostFacts | None = None
    engine_args: Section = Field(default_factory=dict)
    environment: Section = Field(default_factory=dict)
    workload: WorkFacts | None = None
    steps: StepsFacts | None = None
    calibration: CalibrationFacts | None = None
    equality: dict[str, EqualityFacts] = Field(default_factory=dict)
    arms_measured: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
    arm_sources: dict[str, str] = Field(default_factory=dict)
    passes_done: Count = 0
    passes_planned: Count = 0
    plan: PlanFacts | None = None
    checked_after_groups: Annotated[list[Count], Field(max_length=MANY)] = Field(default_factory=list)
    checked_at_end: bool = False
    looks: Annotated[list[Count], Field(max_length=MANY)] = Field(default_factory=list)
    stopped: StoppedFacts | None = None
    other_threads: Count = 0
    not_counted: Names = Field(default_factory=list)
    not_traced: Names = Field(default_factory=list)
    flamegraphs: dict[str, RecordingFacts] = Field(default_factory=dict)
    flamegraphs_missing: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> RunFile:
        names = {arm.name for arm in self.config.arms}
        if strange := sorted(set(self.flamegraphs) - names):
            raise ValueError(f"flamegraphs: {strange[0]!r} is none of the arms")
        if len(set(self.arms_measured)) < len(self.arms_measured):
            raise ValueError("arms_measured: a name stands there twice")
        return self


class MicroRunFile(Recorded):
    """run.json of micro-benchmarks."""

    schema_: Literal[2] = Field(alias="schema")
    kind: Literal["micro"]
    status: Literal["running", "complete", "failed", "interrupted"]
    title: str
    again: str
    machine: MachineFacts
    versions: Annotated[dict[str, str], Field(max_length=MANY)]
    message: str = ""
    selftest: str = ""
    load_average_at_end: Load | None = None
