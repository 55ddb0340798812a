"""Findings about this machine, the installed engine and a config's targets, each with its fix."""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from harness.errors import HarnessError, ProfilerError
from harness.instrument.arms import load_arm, load_object
from harness.instrument.scopes import AUTO, parts
from harness.instrument.targets import resolve
from harness.records import machine
from harness.running.foreseen import foresee
from harness.sampling.pyspy import PERMISSION, Recorder
from harness.seams import NATIVE, SEAMS
from harness.selftest.planted import describe, last_result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.config.experiment import Arm
    from harness.config.file import Loaded
    from harness.instrument.targets import Target
    from harness.seams import Place

__all__ = [
    "RUNNERS",
    "Finding",
    "examine_config",
    "examine_engine",
    "examine_generations",
    "examine_historic",
    "examine_machine",
]

Level = Literal["ok", "warning", "fault"]

RUNNERS: Final = {
    ("cpu", "v1"): "vllm.v1.worker.cpu_model_runner:CPUModelRunner",
    ("cuda", "v1"): "vllm.v1.worker.gpu_model_runner:GPUModelRunner",
    ("cpu", "v2"): "vllm.v1.worker.cpu.model_runner:CPUModelRunner",
    ("cuda", "v2"): "vllm.v1.worker.gpu.model_runner:GPUModelRunner",
}
"""Where vLLM keeps the model runner of each device and generation."""
V0_RUNNER: Final = "vllm.worker.model_runner:ModelRunner"


@dataclass(frozen=True)
class Finding:
    """One line: what was examined, what was found, and what to do about it unless all is well."""

    level: Level
    subject: str
    found: str
    mend: str = ""


def examine_machine() -> Iterator[Finding]:
    """Processor and load, and whether py-spy may attach."""
    facts = machine.describe_machine()
    text = f"{facts['cpu']}, {facts['usable_cores']} of {facts['cores']} cores, {facts['memory_gib']} GiB"
    yield Finding("ok", "machine", text)
    native = facts["native_bfloat16"]
    yield Finding(
        "ok", "bfloat16",
        "native" if native else "not native on this CPU: a model in bfloat16 is run in float32 here (engine.dtype)",
    )  # fmt: skip
    load = facts["load_average"][0]
    busy = load > 0.5 * facts["usable_cores"]
    yield Finding(
        "warning" if busy else "ok", "load", f"{load} over the last minute",
        "other work makes intervals wider; wait until it has ended, or measure more passes" if busy else "",
    )  # fmt: skip
    last = last_result(facts)
    line = describe(last, dt.datetime.now(dt.UTC))
    yield Finding(
        "ok" if last and last["passed"] else "warning", "selftest", line,
        "" if last and last["passed"] else "python -m harness selftest (a minute and a half)",
    )  # fmt: skip
    yield _py_spy()


def _py_spy() -> Finding:
    """Attach to a sleeping process of ours, and to one that admits tracers, as the engine of a run does."""
    refused = _attach("")
    if refused is None:
        return Finding("ok", "py-spy", "may attach to processes of this user")
    if _attach("from harness.instrument.ptrace import admit_tracers; admit_tracers()"):
        found, _, mend = str(refused).partition(": ")
        return Finding("warning", "py-spy", found, f"{mend or 'reinstall it'} (only flamegraphs need it)")
    return Finding(
        "warning", "py-spy", "may attach to engines that harness starts, and to no others",
        f"for `harness flame`: {PERMISSION}",
    )  # fmt: skip


def _attach(first: str) -> ProfilerError | None:
    """Why py-spy may not attach to a process that runs `first` and sleeps; None where it may."""
    program = f"{first}\nimport time; print(flush=True); time.sleep(60)"
    sleeper = subprocess.Popen([sys.executable, "-c", program], stdout=-1)  # noqa: S603
    try:
        if sleeper.stdout is not None:
            sleeper.stdout.readline()
        with Recorder(sleeper.pid, rate_hz=100):
            pass
    except ProfilerError as error:
        return error
    finally:
        sleeper.kill()
        sleeper.communicate()
    return None


def examine_engine() -> Iterator[Finding]:
    """Packages, whether vLLM can be imported, and for which device it was built."""
    versions = machine.versions()
    yield Finding("ok", "python", f"{facts_python()}, {', '.join(f'{k} {v}' for k, v in versions.items())}")
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
                function, scope = _function(place), _scope(RUNNERS[device, generation], place.scope)
            except HarnessError as error:
                yield Finding("warning", subject, f"{seam.name} is not there: {error}", "use the other runner")
                continue
            found = f"{seam.name}: {function}, in {scope}"
            if generation == "v2" and not _has_triton():
                yield Finding(
                    "warning", subject, f"{found}; but no Triton to run it", "set host.model_runner: v1, or use a GPU"
                )
            else:
                yield Finding("ok", subject, found)


def _has_triton() -> bool:
    from vllm.triton_utils import HAS_TRITON

    return bool(HAS_TRITON)


def facts_python() -> str:
    """The interpreter's version."""
    return f"Python {machine.describe_machine()['python']}"


def examine_historic(loaded: Loaded) -> Iterator[Finding]:
    """For a config of vLLM 0.5.4: whether its environment is there, and, inside it, every target."""
    from harness.hosts.vllm_v0 import SETUP, VERSION, is_here

    if not is_here():
        yield Finding("fault", "vllm", f"{VERSION} needs an environment of its own, which is not there", SETUP)
        return
    from harness.hosts.v0.substitutes import import_vllm

    yield Finding("ok", "python", f"{facts_python()}, {', '.join(f'{k} {v}' for k, v in machine.versions().items())}")
    try:
        import_vllm()
    except Exception as error:  # noqa: BLE001 (a broken installation can raise anything)
        yield Finding("fault", "vllm", f"cannot be imported: {type(error).__name__}: {error}", f"make clean; {SETUP}")
        return
    yield Finding("ok", "vllm", f"{VERSION}, for the CPU, its kernels replaced")
    yield from _targets(loaded, V0_RUNNER)


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

    yield _check("model", lambda: resolve_model(str(experiment.engine["model"]), loaded.folder))
    try:
        model = resolve_model(str(experiment.engine["model"]), loaded.folder)
    except HarnessError:
        model = str(experiment.engine["model"])
    yield _check("config", lambda: _foreseen(loaded))
    environment = engine_environment(host, {**experiment.engine, "model": model})
    yield Finding("ok", "environment", " ".join(f"{key}={value}" for key, value in sorted(environment.items())))

    generation = host.generation
    runner_path = RUNNERS.get((installed, generation))
    if runner_path is None:
        yield Finding(
            "fault", "runner", f"harness knows no {generation} runner for {installed}", "use a CPU or CUDA build"
        )
        return
    yield _check("runner", lambda: f"{load_object(runner_path).__module__}.{load_object(runner_path).__name__}")
    if generation == "v2" and not _has_triton():
        yield Finding("fault", "runner", "V2 needs Triton, which this vLLM lacks", "set host.model_runner: v1")
    for option, asked in (("sync", experiment.protocol.sync), ("nvtx", experiment.protocol.nvtx)):
        if asked and installed != "cuda":
            found = f"{option} needs a CUDA device, this vLLM is for {installed}"
            yield Finding("fault", "protocol", found, f"leave protocol.{option} out")
    yield from _targets(loaded, runner_path)


def _foreseen(loaded: Loaded) -> str:
    foresee(loaded)
    return "arguments, sizes and what it names are right, as far as that is known without an engine"


def _check(subject: str, look: Any) -> Finding:
    try:
        return Finding("ok", subject, str(look()))
    except HarnessError as error:
        return Finding("fault", subject, str(error), "fix the config, or use a vLLM that has it")


def _targets(loaded: Loaded, runner_path: str) -> Iterator[Finding]:
    """Seam, scope, probes and arms of a config, in the vLLM that is imported."""
    experiment = loaded.experiment
    seam = SEAMS.get(experiment.seam)
    place = None
    if seam is not None:
        place = seam.places[experiment.host.generation]  # the config would not have been loaded without one
        yield _check("seam", lambda: f"{seam.name}: {_function(place)}")
    if experiment.swap:
        yield _check("swap", lambda: f"{experiment.swap}: {_held(experiment.swap, [])}")
    yield _check("scope", lambda: _scope(runner_path, experiment.scope))
    known: list[Target] = []
    for probe in experiment.probes:
        if seam is not None and place is not None and probe == seam.probe:
            yield Finding("ok", "probe", f"{probe}: {place.target}")
        else:
            yield _check("probe", lambda probe=probe: f"{probe}: {_held(probe, known)}")
    for arm in experiment.arms:
        if arm.name != NATIVE:
            module = place.module if place is not None else ""
            yield _check("arm", lambda arm=arm, module=module: f"{arm.name}: {_arm(arm, module, loaded.folder)}")


def _function(place: Place) -> str:
    """The function at a seam with its parameters, if they are known ones."""
    parameters = importlib.import_module(place.module).check_signature(resolve(place.target).function)
    return f"{place.target.rpartition('.')[2]}({', '.join(parameters)})"


def _scope(runner_path: str, scope: str) -> str:
    if scope == AUTO:
        return "auto: the phases are found from the checking pass"
    runner = load_object(runner_path)
    for method in parts(scope):
        if "." in method:
            resolve(method)
        elif not callable(getattr(runner, method, None)):
            raise HarnessError(f"{runner.__name__} has no method {method!r}")
    return scope if all("." in method for method in parts(scope)) else f"{scope} of {runner.__name__}"


def _held(probe: str, known: list[Target]) -> str:
    """Where a probe's function is; `known` has those of the probes before it, and takes this one."""
    target = resolve(probe)
    if same := next((other.name for other in known if other.is_same(target)), ""):
        raise HarnessError(f"{same} and {probe} are the same function; name it once")
    known.append(target)
    if target.owner is not None:
        return f"method of {target.owner.__name__}"
    places = len(target.module_slots)
    return f"held under {places} name{'' if places == 1 else 's'}"


def _arm(arm: Arm, module: str, folder: Path) -> str:
    if arm.change:
        return os.path.relpath(folder / arm.change)  # `foresee` has looked into it
    where, _, name = arm.reference.rpartition(":")
    in_file = where.endswith(".py")
    reference = f"{folder / where}:{name}" if in_file else arm.reference
    if module:
        importlib.import_module(module).check_arm(load_arm(arm.name, reference))
    elif not callable(load_object(reference)):
        raise HarnessError(f"arm {arm.name!r}: {reference} is no function")
    return os.path.relpath(folder / where) if in_file else arm.reference
