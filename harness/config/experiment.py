"""What a config may say, validated. Reading the file, and errors with line numbers, are in `file`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from harness.config.numbers import Delay, Threads
from harness.config.protocol import Flamegraph, Protocol, Until
from harness.config.references import dotted, why_malformed
from harness.config.workload import Length, Strict, SyntheticWorkload, TraceWorkload, Workload
from harness.errors import in_line
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


MOST_WORKERS: Final = 1_024
LONGEST_VARIABLE: Final = 100_000
"""Bytes of an environment variable, with its name: Linux takes 128 KiB."""


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
    threads: Threads | None = 1
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
        if self.kind == "vllm_v0" and self.device == "cuda":
            raise ValueError("device: vllm_v0 runs on the CPU alone, its kernels being replaced; set cpu or auto")
        return self

    @field_validator("env")
    @classmethod
    def _variables(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not name or "=" in name:
                raise ValueError(f"{in_line(repr(name), 60)} is no name of an environment variable")
            if len(f"{name}={value}".encode()) > LONGEST_VARIABLE:
                raise ValueError(f"{in_line(name, 60)} is longer than an environment variable can be")
        return env


class Arm(Strict):
    """An implementation under a name.

    Attributes:
        name: as it stands in tables.
        reference: module:Class or path/file.py:Class, empty for native.
        delay_us: a busy wait planted behind each call, to see whether the instrument recovers it.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=100)
    reference: str = ""
    delay_us: Delay | None = None

    @field_validator("reference")
    @classmethod
    def _names_a_class(cls, reference: str) -> str:
        if reference and (why := why_malformed(reference)):
            raise ValueError(why)
        return reference


class Experiment(Strict):
    """A whole config.

    `scope` names the runner's methods inside which time counts, joined by `+` where there are several (a list in YAML
    is joined); left out, it is where the seam is.
    """

    title: str = Field(default="", max_length=500)
    host: Host = Host()
    engine: dict[str, Any]
    workload: Workload
    seam: str
    arms: Annotated[list[Arm], Field(min_length=1, max_length=100)]
    baseline: str
    scope: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*( \+ [A-Za-z_]\w*)*$", max_length=500)] = ""
    probes: list[Annotated[str, Field(max_length=300)]] = Field(default_factory=list, max_length=100)
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
            raise ValueError(f"seam: there is no seam {in_line(repr(self.seam), 60)}; there are {', '.join(SEAMS)}")
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
        for names_of, label in ((names, "arms"), (self.probes, "probes"), (parts(self.scope), "scope")):
            if twice := sorted({name for name in names_of if names_of.count(name) > 1}):
                raise ValueError(f"{label}: {', '.join(twice)} is named twice")
        self._check_probes(SEAMS[self.seam].probe, places[self.host.generation].target)
        if self.baseline not in names:
            raise ValueError(f"baseline: {in_line(repr(self.baseline), 60)} is none of the arms ({', '.join(names)})")
        if "model" not in self.engine:
            raise ValueError("engine: `model` is missing: a folder with a config.json, or a hub name")
        if not isinstance(self.engine["model"], str) or not self.engine["model"]:
            raise ValueError(
                f"engine: `model` is {in_line(repr(self.engine['model']), 60)}: write a folder or a hub name"
            )
        for parallel in ("tensor_parallel_size", "pipeline_parallel_size"):
            size = self.engine.get(parallel, 1)
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST_WORKERS:
                raise ValueError(
                    f"engine: {parallel} is {in_line(repr(size), 60)}: write a whole number from 1 to {MOST_WORKERS}"
                )
        if "worker_extension_cls" in self.engine:
            raise ValueError("engine: worker_extension_cls is how harness gets into the engine; leave it out")
        return self

    def _check_probes(self, own: str, target: str) -> None:
        """Each probe is a dotted name, or `own`, which is short for the seam's `target`; none is named twice."""
        known: dict[str, str] = {}
        for probe in self.probes:
            name = target if probe == own else dotted(probe)
            if not all(part.isidentifier() for part in name.split(".")) or "." not in name:
                raise ValueError(
                    f"probes: {in_line(repr(probe), 60)} names no function: write package.module.function, or {own} "
                    "for what the seam swaps"
                )
            if name in known:
                raise ValueError(f"probes: {known[name]} and {probe} are the same function; name it once")
            known[name] = probe


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
        return {"name": name, "reference": reference}
    if isinstance(entry, str) and ":" in entry:
        return {"name": entry.rpartition(":")[2], "reference": entry}
    if isinstance(entry, str):
        return {"name": entry, "reference": place.arms.get(entry, "") if place is not None else ""}
    return entry
