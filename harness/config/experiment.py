"""What a config may say, validated. Reading the file, and errors with line numbers, are in `file`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator

from harness.config.workload import Length, Strict, SyntheticWorkload, TraceWorkload, Workload
from harness.instrument.scopes import JOIN, parts
from harness.seams import NATIVE, SEAMS, Place, how_to_get

__all__ = [
    "Arm",
    "Experiment",
    "Flamegraph",
    "Host",
    "Length",
    "Protocol",
    "Strict",
    "SyntheticWorkload",
    "TraceWorkload",
    "Until",
    "Workload",
    "place_of",
]


class Host(Strict):
    """Which engine, and how it is started.

    Attributes:
        kind: the host: vllm is today's, vllm_v0 is vLLM 0.5.4, whose V0 engine the issue measured.
        device: auto takes the device that this build of vLLM is for.
        process: whether the engine lives in this process or in one of its own.
        model_runner: vLLM's V1 or V2 runner; auto leaves the choice to vLLM.
        threads: OpenMP threads on a CPU; null leaves it to vLLM. One, unless there are cores to spare: two
            threads that wait for each other on a shared machine made identical launches differ sixfold.
        env: further environment variables for the engine.
    """

    kind: Literal["vllm", "vllm_v0"] = "vllm"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    process: Literal["in_process", "subprocess"] = "in_process"
    model_runner: Literal["auto", "v1", "v2"] = "auto"
    threads: PositiveInt | None = 1
    env: dict[str, str] = Field(default_factory=dict)

    @property
    def generation(self) -> str:
        """The model runner's, as in `Seam.places`; V1 where vLLM chooses, which the host checks when it has started."""
        if self.kind == "vllm_v0":
            return "v0"
        return "v1" if self.model_runner == "auto" else self.model_runner

    @model_validator(mode="after")
    def _consistent(self) -> Host:
        if self.kind == "vllm_v0" and (self.process, self.model_runner) != ("in_process", "auto"):
            raise ValueError("vllm_v0 is in this process and has one model runner: leave process and model_runner out")
        return self


class Arm(Strict):
    """An implementation under a name.

    Attributes:
        name: as it stands in tables.
        reference: module:Class or path/file.py:Class, empty for native.
        delay_us: a busy wait planted behind each call, to see whether the instrument recovers it.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    reference: str = ""
    delay_us: Annotated[float, Field(ge=0)] | None = None


class Until(Strict):
    """Measure until the intervals are narrow enough, at looks that are fixed beforehand and share the error rate.

    Attributes:
        half_width_us: of the interval of every difference in the scope, in us a step, as the report prints it.
        max_seconds: about how long to measure at most.
    """

    half_width_us: PositiveFloat
    max_seconds: PositiveFloat


class Protocol(Strict):
    """How it is measured.

    Attributes:
        groups: in each of them every step runs once under every arm; the unit of resampling, so at least 2.
        seconds: instead, about how long to measure; the number of groups is worked out from the warm-up, and so is
            fixed before anything is measured.
        until: instead, until all intervals are narrow enough.
        launches: how often the engine is started, each time with another hash seed and environment size, and measured
            for as long as the other keys say; intervals then cover the spread between launches.
        warmup: unmeasured passes of each arm alone before that; the first also compares its tokens.
        order: `random` draws each step's order of arms anew; `rotate` goes round in the order of the config.
        grain: where arms change: between steps, or between passes.
        seed: of the order.
        confidence: of all intervals of a report together.
        margin: a difference within this share of the baseline's scope counts as equivalent.
        drift: which level must not shift by more than the margin during the run, or verdicts are withheld: of the
            scope's share of the step (in which changes of the machine's speed cancel), or of the scope itself.
        counters: also count what each arm makes PyTorch do, in a pass of its own for each.
        exposed: also plant delays behind the baseline, to see how much of the seam's time shows up in the engine's
            loop: true for 5 and 20 us, or the delays in microseconds, ascending. They must stand out from the loop's
            noise, so on a GPU they are a good part of a step.
        sync: have each probed call wait for the device before its clock stops: the issue's own way of timing, which
            adds the device's time and changes what is measured. Without it no timer ever waits for a device.
        nvtx: put NVTX ranges around the scope and each arm's function, for Nsight; their cost is in every arm alike.
        step_timeout_s: how long an arm may take for a step, or to be loaded, until it is interrupted.
        bare: measure as many passes again in which only the step is timed; the end-to-end verdict comes from them.
    """

    groups: Annotated[int, Field(ge=2)] = 20
    seconds: PositiveFloat | None = None
    until: Until | None = None
    launches: PositiveInt = 1
    warmup: PositiveInt = 1
    order: Literal["random", "rotate"] = "random"
    grain: Literal["step", "pass"] = "step"
    seed: NonNegativeInt = 0
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.01
    bare: bool = True
    drift: Literal["share", "level"] = "share"
    counters: bool = True
    exposed: bool | Annotated[list[PositiveFloat], Field(min_length=1)] = False
    sync: bool = False
    nvtx: bool = False
    step_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0

    @model_validator(mode="after")
    def _consistent(self) -> Protocol:
        if self.exposed and not self.bare:
            raise ValueError("exposed needs bare steps: leave bare at true")
        if self.exposed and self.grain == "step" and self.order == "rotate":
            raise ValueError("exposed needs order: random, which tells a delay from what follows it")
        if isinstance(self.exposed, list) and sorted(set(self.exposed)) != self.exposed:
            raise ValueError("exposed: write each delay once, from the shortest to the longest")
        if "groups" in self.model_fields_set and not (self.until is None and self.seconds is None):
            other = "until" if self.seconds is None else "seconds"
            raise ValueError(f"groups and {other} both say how long to measure: leave one out")
        if self.until is not None and self.seconds is not None:
            raise ValueError("until and seconds both say how long to measure: leave one out")
        if self.until is not None and self.launches > 1:
            raise ValueError("until stops within one launch: leave launches at 1, or give groups or seconds a launch")
        if self.launches == 2:
            raise ValueError("launches: 2 launches give no interval; take 3 or more (5 or more for narrow ones)")
        return self


class Flamegraph(Strict):
    """How py-spy samples, where flamegraphs are asked for.

    Attributes:
        seconds: about how long each arm is sampled.
        rate_hz: samples a second; null takes up to 200, and up to 50 with native frames, which take long to read: as
            many as a short trial finds to make a step at most twice as long. A rate at which py-spy falls behind leaves
            the engine hardly any time to run between two samples.
        native: also frames of C and C++.
        whole: show all that the process did, and not the scope alone.
        nonblocking: let the engine run on while its stacks are read, which tears them; only where stopping it for each
            sample is out of the question.
    """

    seconds: PositiveFloat = 15.0
    rate_hz: PositiveInt | None = None
    native: bool = False
    whole: bool = False
    nonblocking: bool = False

    @property
    def rate(self) -> int:
        """Samples a second; the highest rate where the config gives none."""
        return self.rate_hz or (50 if self.native else 200)


class Experiment(Strict):
    """A whole config.

    `scope` names the runner's methods inside which time counts, joined by `+` where there are several (a list in YAML
    is joined); left out, it is where the seam is.
    """

    title: str = ""
    host: Host = Host()
    engine: dict[str, Any]
    workload: Workload
    seam: str
    arms: Annotated[list[Arm], Field(min_length=1)]
    baseline: str
    scope: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*( \+ [A-Za-z_]\w*)*$")] = ""
    probes: list[str] = Field(default_factory=list)
    protocol: Protocol = Protocol()
    flamegraph: Flamegraph = Flamegraph()

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if isinstance(value.get("workload"), dict):
            value["workload"] = {"kind": "synthetic", **value["workload"]}
        place = place_of(value)
        if isinstance(value.get("arms"), list):
            value["arms"] = [_arm(entry, place) for entry in value["arms"]]
            first = next(iter(value["arms"]), None)
            if "baseline" not in value and isinstance(first, dict) and "name" in first:
                value["baseline"] = first["name"]
        scope = value.get("scope") or (place.scope if place is not None else "_prepare_inputs")
        value["scope"] = JOIN.join(map(str, scope) if isinstance(scope, list) else parts(str(scope)))
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if self.seam not in SEAMS:
            raise ValueError(f"seam: there is no seam {self.seam!r}; there are {', '.join(SEAMS)}")
        places = SEAMS[self.seam].places
        if self.host.generation not in places:
            raise ValueError(f"seam: {self.seam!r} is not in this runner: {how_to_get(places)}")
        known = [NATIVE, *places[self.host.generation].arms]
        names = [arm.name for arm in self.arms]
        for arm in self.arms:
            if arm.delay_us is not None:
                continue
            if arm.name == NATIVE and arm.reference:
                raise ValueError("arms: `native` is the host's own implementation; give yours another name")
            if arm.name != NATIVE and not arm.reference:
                raise ValueError(
                    f"arms: seam {self.seam!r} has no arm {arm.name!r}; it has {', '.join(known)}, "
                    "or write module:Class or path/file.py:Class"
                )
        for names_of, label in ((names, "arms"), (self.probes, "probes")):
            if twice := sorted({name for name in names_of if names_of.count(name) > 1}):
                raise ValueError(f"{label}: {', '.join(twice)} is named twice")
        if self.baseline not in names:
            raise ValueError(f"baseline: {self.baseline!r} is none of the arms ({', '.join(names)})")
        if "model" not in self.engine:
            raise ValueError("engine: `model` is missing: a folder with a config.json, or a hub name")
        if not isinstance(self.engine["model"], str) or not self.engine["model"]:
            raise ValueError(f"engine: `model` is {self.engine['model']!r}: write a folder or a hub name")
        for parallel in ("tensor_parallel_size", "pipeline_parallel_size"):
            if not isinstance(size := self.engine.get(parallel, 1), int) or size < 1:
                raise ValueError(f"engine: {parallel} is {size!r}: write a whole number from 1")
        if "worker_extension_cls" in self.engine:
            raise ValueError("engine: worker_extension_cls is how harness gets into the engine; leave it out")
        return self


def place_of(experiment: dict[str, Any]) -> Place | None:
    """Where the seam of a config is, as YAML or run.json has it; None where its seam or host is not valid."""
    seam, host = experiment.get("seam"), experiment.get("host", {})
    try:
        return SEAMS[str(seam)].places[Host.model_validate(host).generation]
    except (KeyError, ValidationError):
        return None  # reported when that field is validated


def _arm(entry: Any, place: Place | None) -> Any:
    """An entry of `arms`: a name of the seam's own, a reference, or {name: reference}."""
    if isinstance(entry, dict) and len(entry) == 1 and "name" not in entry:
        ((name, reference),) = entry.items()
        return {"name": str(name), "reference": str(reference)}
    if isinstance(entry, str) and ":" in entry:
        return {"name": entry.rpartition(":")[2], "reference": entry}
    if isinstance(entry, str):
        return {"name": entry, "reference": place.arms.get(entry, "") if place is not None else ""}
    return entry
