"""What run.json holds: checked once, where it is read, whoever wrote it.

What all versions of harness have written is required; what some leave out has a default here, and readers of the plain
data use the same. Keys that this version does not know are let through.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.records.config_schema import ConfigEntry, PointEntry
from harness.records.profile_schema import AnatomyFacts
from harness.records.recorded import (
    MANY,
    NAME,
    Amount,
    Count,
    Counted,
    Load,
    Names,
    Number,
    Recorded,
    Section,
)

__all__ = ["NAME", "RUN_SCHEMA", "MachineFacts", "MicroRunFile", "Number", "Recorded", "RunFile"]

RUN_SCHEMA: Final = 2
"""Version of run.json and of the pass tables."""


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


class GrainFacts(Recorded):
    """A run at launch grain: what was asked for, and why it is at that grain."""

    asked: Literal["auto", "step", "pass", "launch"]
    why: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)


class EnvironmentFacts(Recorded):
    """The environment that an arm's engines were started in, by its hash, and what it has."""

    hash: str
    vllm: str
    torch: str


class BlockEntry(Recorded):
    """A block of launches that has ended: its machine, why it does not count, and whether its engines took turns."""

    number: Counted
    node: str = ""
    lost: str = ""
    together: bool = False


class LaunchEntry(Recorded):
    """A launch that has begun or is planned; at launch grain with its arm and block."""

    number: Counted
    arm: str = ""
    block: Count = 0


class GrainEntry(Recorded):
    """The run of one grain, where arms are of both: the name of its folder, and its arms without native."""

    grain: Literal["step", "launch"]
    arms: Names


class AcrossFacts(Recorded):
    """What was compared between launches, and what was not: `running.across.Across`."""

    leaves: Count = 0
    not_repeated: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
    ignored: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
    cut: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
    only_there: dict[str, list[str]] = Field(default_factory=dict)
    otherwise: dict[str, str] = Field(default_factory=dict)
    launches: dict[str, Count] = Field(default_factory=dict)


MOST_NAMES: Final = 10_000
"""Functions, and fields of a fingerprint, at most: a source tree can change thousands."""
Functions = Annotated[list[str], Field(max_length=MOST_NAMES)]
Calls = Annotated[dict[str, Count], Field(max_length=MOST_NAMES)]


class RefusedEntry(Recorded):
    """What of a change cannot be switched in a living engine."""

    name: str
    why: str = ""


class ChangeFacts(Recorded):
    """An arm that is a patch or a tree: `running.changed.Prepared`."""

    kind: Literal["patch", "tree"]
    file: str
    revert: bool = False
    only: Functions = Field(default_factory=list)
    sha256: str = ""
    title: str = ""
    base: str = ""
    left_out: Functions = Field(default_factory=list)
    needs_build: Functions = Field(default_factory=list)
    changed: Functions = Field(default_factory=list)
    refused: Annotated[list[RefusedEntry], Field(max_length=MOST_NAMES)] = Field(default_factory=list)


class SwitchedArm(Recorded):
    """What one arm puts into the engine, by dotted names."""

    swapped: Functions = Field(default_factory=list)
    called_through: Functions = Field(default_factory=list)
    values: Functions = Field(default_factory=list)
    added: Functions = Field(default_factory=list)
    left: Annotated[list[RefusedEntry], Field(max_length=MOST_NAMES)] = Field(default_factory=list)


class SwitchFacts(Recorded):
    """What is switched at every step, and what that costs."""

    functions: Functions = Field(default_factory=list)
    trampolines: Functions = Field(default_factory=list)
    turns: bool = False
    put_ns: Amount = 0.0
    trampoline_ns: Amount = 0.0
    arms: dict[str, SwitchedArm] = Field(default_factory=dict)


class CheckedFacts(Recorded):
    """How much checking passes compare, and what they leave out."""

    leaves: Count = 0
    not_repeated: Functions = Field(default_factory=list)
    ignored: Functions = Field(default_factory=list)
    cut: Functions = Field(default_factory=list)
    not_reset: str = ""


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
    cached_tokens: Count | None = None


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

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)

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
    given: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
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
    changes: dict[str, ChangeFacts] = Field(default_factory=dict)
    arm: str = ""
    block: Count = 0
    blocks: Annotated[list[BlockEntry], Field(max_length=MANY)] = Field(default_factory=list)
    launches: Annotated[list[LaunchEntry], Field(max_length=10 * MANY)] = Field(default_factory=list)
    points: Annotated[list[PointEntry], Field(max_length=MANY)] = Field(default_factory=list)
    grains: Annotated[list[GrainEntry], Field(max_length=2)] = Field(default_factory=list)
    grain: GrainFacts | None = None
    across: AcrossFacts | None = None
    switch: SwitchFacts = Field(default_factory=SwitchFacts)
    calls: dict[str, Calls] = Field(default_factory=dict)
    called_in: dict[str, Calls] = Field(default_factory=dict)
    cache_hits: dict[str, Calls] = Field(default_factory=dict)
    checked: CheckedFacts = Field(default_factory=CheckedFacts)
    on_other_threads: dict[str, Calls] = Field(default_factory=dict)
    scope_found: bool = False
    anatomy: AnatomyFacts | None = None
    environments: dict[str, EnvironmentFacts] = Field(default_factory=dict)
    started_with: dict[str, Annotated[list[str], Field(max_length=MANY)]] = Field(default_factory=dict)
    by_turns: Literal["", "pass", "steps"] = ""
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
    no_ceiling: dict[str, str] = Field(default_factory=dict)
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
