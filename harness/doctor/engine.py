"""The installed vLLM: whether it can be imported, for which device it is, and which seams its runners have."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

from harness.doctor.finding import Finding
from harness.doctor.targets import function_at, scope_in
from harness.errors import HarnessError
from harness.instrument.anatomy import phases_of
from harness.instrument.finding import those_there
from harness.records import machine
from harness.seams import SEAMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["RUNNERS", "examine_engine", "examine_generations", "examine_phases", "has_triton", "python"]

RUNNERS: Final = {
    ("cpu", "v1"): "vllm.v1.worker.cpu_model_runner:CPUModelRunner",
    ("cuda", "v1"): "vllm.v1.worker.gpu_model_runner:GPUModelRunner",
    ("cpu", "v2"): "vllm.v1.worker.cpu.model_runner:CPUModelRunner",
    ("cuda", "v2"): "vllm.v1.worker.gpu.model_runner:GPUModelRunner",
}
"""Where vLLM keeps the model runner of each device and generation."""


def examine_engine() -> Iterator[Finding]:
    """Packages, whether vLLM can be imported, and for which device it was built."""
    versions = machine.versions()
    yield Finding("ok", "python", f"{python()}, {', '.join(f'{k} {v}' for k, v in versions.items())}")
    if importlib.util.find_spec("vllm") is None:
        yield Finding("fault", "vllm", "not installed", "make setup (CPU), or make setup EXTRA=cuda (GPU)")
        return
    try:
        import vllm
        from vllm.platforms import current_platform
    except Exception as error:  # noqa: BLE001 (a broken installation can raise anything)
        text = " ".join(str(error).split())[:200]
        mend = "make clean setup: it leaves out the packages that break a CPU build of vLLM"
        yield Finding("fault", "vllm", f"cannot be imported: {type(error).__name__}: {text}", mend)
        return
    yield Finding("ok", "vllm", f"{vllm.__version__}, for {current_platform.device_type}")


def examine_generations() -> Iterator[Finding]:
    """Each seam and its scope in each generation of model runners that this vLLM has, whatever a config asks for."""
    from vllm.platforms import current_platform

    device = str(current_platform.device_type)
    for seam in SEAMS.values():
        for generation, place in seam.places.items():
            if generation == "v0":  # in vLLM 0.5.4, which has its own environment
                continue
            subject = f"{generation} runner"
            if (device, generation) not in RUNNERS:
                yield Finding("warning", subject, f"harness knows none for {device}")
                continue
            try:
                function, scope = function_at(place), scope_in(RUNNERS[device, generation], place.scope)
            except HarnessError as error:
                yield Finding("warning", subject, f"{seam.name} is not there: {error}", "use the other runner")
                continue
            found = f"{seam.name}: {function}, in {scope}"
            if generation == "v2" and not has_triton():
                yield Finding(
                    "warning", subject, f"{found}; but no Triton to run it", "set host.model_runner: v1, or use a GPU"
                )
            else:
                yield Finding("ok", subject, found)


def examine_phases(generations: Sequence[str] = ("v1", "v2"), model: str = "") -> Iterator[Finding]:
    """Of each generation of model runners the phases of a turn that this vLLM has, by which profiles tell its time.

    Args:
        generations: that this vLLM may have.
        model: the full name of the model's class, of which V0's forward phase is a method; empty where it is unknown.
    """
    for generation in generations:
        phases = phases_of("turn", generation, model)
        there = those_there([phase.name for phase in phases])
        lacking = [phase.name for phase in phases if phase.name not in there]
        found = f"{generation} runner: {len(there)} of {len(phases)} functions are there"
        if lacking:
            yield Finding("ok" if there else "warning", "phases", f"{found}; not {', '.join(lacking)}")
        else:
            yield Finding("ok", "phases", found)


def has_triton() -> bool:
    """Whether vLLM has a Triton that works, without which no V2 runner does."""
    from vllm.triton_utils import HAS_TRITON

    return bool(HAS_TRITON)


def python() -> str:
    """The interpreter's version."""
    return f"Python {machine.describe_machine()['python']}"
