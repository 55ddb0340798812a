"""What a config may say of its engine's host: which one, and how it is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from harness.config.numbers import Threads
from harness.config.strict import Strict
from harness.errors import in_line
from harness.seams import SEAMS

if TYPE_CHECKING:
    from harness.seams import Place

__all__ = ["Host", "place_of"]

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
        """The model runner's, as in `Seam.places`; V1 where vLLM chooses, which is checked when it has started."""
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


def place_of(experiment: dict[str, Any]) -> Place | None:
    """Where the seam of a config is, as YAML or run.json has it; None where its seam or host is not valid."""
    seam, host = experiment.get("seam"), experiment.get("host", {})
    try:
        return SEAMS[str(seam)].places[Host.model_validate(host).generation]
    except (KeyError, ValidationError):
        return None  # reported when that field is validated
