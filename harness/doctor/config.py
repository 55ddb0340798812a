"""A config: whether its engine can be started, and has all that the config names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.doctor.engine import RUNNERS, examine_phases, has_triton, python
from harness.doctor.finding import Finding, check
from harness.doctor.targets import examine_targets
from harness.errors import HarnessError
from harness.instrument.arms import load_object
from harness.records import machine
from harness.running.foreseen import foresee

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.config.file import Loaded

__all__ = ["examine_config", "examine_historic"]

V0_RUNNER: Final = "vllm.worker.model_runner:ModelRunner"


def examine_historic(loaded: Loaded) -> Iterator[Finding]:
    """For a config of vLLM 0.5.4: whether its environment is there, and, inside it, every target."""
    from harness.hosts.vllm_v0 import SETUP, VERSION, is_here

    if not is_here():
        yield Finding("fault", "vllm", f"{VERSION} needs an environment of its own, which is not there", SETUP)
        return
    from harness.hosts.v0.substitutes import import_vllm

    yield Finding("ok", "python", f"{python()}, {', '.join(f'{k} {v}' for k, v in machine.versions().items())}")
    try:
        import_vllm()
    except Exception as error:  # noqa: BLE001 (a broken installation can raise anything)
        yield Finding("fault", "vllm", f"cannot be imported: {type(error).__name__}: {error}", f"make clean; {SETUP}")
        return
    yield Finding("ok", "vllm", f"{VERSION}, for the CPU, its kernels replaced")
    yield from examine_phases(("v0",), _model_class(loaded))
    yield from examine_targets(loaded, V0_RUNNER)


def _model_class(loaded: Loaded) -> str:
    """The full name of the class that vLLM 0.5.4 has for a config's model; empty where that is not known."""
    from vllm import ModelRegistry

    from harness.hosts.starting import resolve_model

    try:
        folder = Path(resolve_model(str(loaded.experiment.engine["model"]), loaded.folder))
        (architecture, *_) = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
        found = ModelRegistry.load_model_cls(str(architecture))
    except (HarnessError, OSError, ValueError, LookupError, TypeError):
        return ""
    return "" if found is None else f"{found.__module__}.{found.__qualname__}"


def examine_config(loaded: Loaded) -> Iterator[Finding]:
    """Whether every target of the config is in this vLLM, with the signature that is expected."""
    from vllm.platforms import current_platform

    from harness.hosts.starting import resolve_model
    from harness.hosts.vllm_settings import engine_environment

    experiment = loaded.experiment
    host = experiment.host
    installed = str(current_platform.device_type)
    wrong = host.device not in ("auto", installed)
    yield Finding(
        "fault" if wrong else "ok", "device", f"{host.device} -> {installed}",
        f"this vLLM is for {installed}: set host.device: auto, or install the other build" if wrong else "",
    )  # fmt: skip

    yield check("model", lambda: resolve_model(str(experiment.engine["model"]), loaded.folder))
    try:
        model = resolve_model(str(experiment.engine["model"]), loaded.folder)
    except HarnessError:
        model = str(experiment.engine["model"])
    yield check("config", lambda: _foreseen(loaded))
    environment = engine_environment(host, {**experiment.engine, "model": model})
    yield Finding("ok", "environment", " ".join(f"{key}={value}" for key, value in sorted(environment.items())))

    generation = host.generation
    left_open = experiment.any_runner and installed == "cuda"
    runner_path = RUNNERS.get((installed, generation))
    if runner_path is None:
        yield Finding(
            "fault", "runner", f"harness knows no {generation} runner for {installed}", "use a CPU or CUDA build"
        )
        return
    chooses = ", unless vLLM chooses the V2 runner (host.model_runner: auto)" if left_open else ""
    yield check("runner", lambda: f"{load_object(runner_path).__module__}.{load_object(runner_path).__name__}{chooses}")
    if generation == "v2" and not has_triton():
        yield Finding("fault", "runner", "V2 needs Triton, which this vLLM lacks", "set host.model_runner: v1")
    for option, asked in (("sync", experiment.protocol.sync), ("nvtx", experiment.protocol.nvtx)):
        if asked and installed != "cuda":
            found = f"{option} needs a CUDA device, this vLLM is for {installed}"
            yield Finding("fault", "protocol", found, f"leave protocol.{option} out")
    yield from examine_targets(loaded, runner_path)


def _foreseen(loaded: Loaded) -> str:
    foresee(loaded)
    return "arguments, sizes and what it names are right, as far as that is known without an engine"
