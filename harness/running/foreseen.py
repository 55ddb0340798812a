"""What can be known of a run before its engine starts: whatever is wrong with it is said before there is a folder."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import tempfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from harness.config.experiment import TraceWorkload
from harness.config.numbers import LONGEST
from harness.config.references import dotted, in_file, why_no_module, why_not_in_module
from harness.config.settings import at_arm
from harness.config.sources import Sources
from harness.environments import made_before, recipe_for
from harness.environments.code import installed
from harness.errors import ConfigError, HostError, in_line
from harness.hosts.starting import NOT_INSTALLED, check_arguments, declared_arguments, resolve_model
from harness.hosts.vllm_settings import on_cpu
from harness.instrument.scopes import AUTO, parts
from harness.paths import is_file
from harness.running.changed import prepare
from harness.running.executors import check_executor
from harness.running.grains import choose_grain
from harness.running.servable import check_servable, check_setting
from harness.seams import SEAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.config.experiment import Experiment
    from harness.config.file import Loaded
    from harness.config.micro import Concat, Operations, Sizes
    from harness.config.references import Kind
    from harness.environments import Environment
    from harness.running.grains import Choice

__all__ = ["foresee", "foresee_micro"]

TOKEN_BYTES: Final = 40
"""A token of a list: an integer of Python, and its place in the list."""
ITEM_BYTES: Final = 64
"""An item in a list, an array and a numpy array."""
REQUEST_BYTES: Final = 500
"""A request beside its tokens."""
ROW_BYTES: Final = 300
"""A step of a pass: its row in the tables, which stay in memory until the run ends, and its place in the schedule."""

PLUGINS: Final = "vllm.general_plugins"
"""What vLLM imports in each of its processes before it makes anything."""
RUNNERS: Final = {
    "v1": ("vllm.v1.worker.cpu_model_runner.CPUModelRunner", "vllm.v1.worker.gpu_model_runner.GPUModelRunner"),
    "v2": (
        "vllm.v1.worker.cpu.model_runner.CPUModelRunner",
        "vllm.v1.worker.gpu.model_runner.GPUModelRunner",
        "vllm.v1.worker.mm_encoder_model_runner.MMEncoderModelRunner",
    ),
}
"""Of each generation, all that vLLM may make on a CPU or a CUDA device; older ones lack some."""


def foresee(loaded: Loaded, release: Callable[[str], Environment | None] = made_before) -> Choice:
    """Check all of a config that needs no engine; where it is for vLLM 0.5.4, in the environment that has it.

    Gives the grain that it is compared at.

    Args:
        loaded: the config.
        release: gives the environment that has a release of vLLM, of which a patch or tree changes the files; None
            where it is not there, and the change is then looked at when it is.

    Raises:
        ConfigError: something would fail when the engine has started; with file, line and key.
        HostError: vLLM is not installed.
        SetupError: `release` could not make an environment.
    """
    experiment = loaded.experiment
    try:
        model = resolve_model(str(experiment.engine["model"]), loaded.folder)
        if importlib.util.find_spec("vllm") is None:
            raise HostError(NOT_INSTALLED)
        _check_model(model)
        _check_engine(experiment, model)
        _check_references(loaded)
        _check_size(loaded, model)
    except ConfigError as error:
        raise ConfigError(loaded.place(str(error))) from error
    for index, arm in enumerate(experiment.arms):
        if arm.setting:
            try:
                at = at_arm(loaded, arm)
                if arm.vllm:  # its engine arguments are its own
                    recipe_for(arm.vllm)
                    continue
                _check_engine(at.experiment, resolve_model(str(at.experiment.engine["model"]), loaded.folder))
                check_setting(experiment, arm, at.experiment, installed()[0])
            except ConfigError as error:
                raise ConfigError(loaded.place(f"{loaded.key_of(index)}: {error}")) from error
    found = {arm.name: release(arm.vllm) for arm in experiment.arms if arm.vllm and arm.change}
    there = {name: environment for name, environment in found.items() if environment is not None}
    with tempfile.TemporaryDirectory(prefix="harness-changes-") as folder:
        return choose_grain(loaded, prepare(loaded, Path(folder), environments=there))


def foresee_micro(path: Path, benchmarks: Sequence[Sizes | Operations | Concat]) -> None:
    """Check that the containers of each micro-benchmark fit into memory.

    Raises:
        ConfigError: they do not.
    """
    for benchmark in benchmarks:
        held = benchmark.held_items
        _check_memory(held * ITEM_BYTES, f"{in_line(path)}: {benchmark.benchmark}", f"{held:,} items")


def _check_memory(needed: float, key: str, what: str) -> None:
    """Refuse what does not fit into this machine's memory.

    Args:
        needed: bytes.
        key: of the config, for the message.
        what: needs them, for the message.

    Raises:
        ConfigError: it does not fit.
    """
    there = psutil.virtual_memory().total
    if needed > there:
        have, need = there / 2**30, needed / 2**30
        raise ConfigError(
            f"{key}: {what} need about {need:,.0f} GiB of memory, and this machine has {have:,.0f}: take fewer"
        )


def _check_model(model: str) -> None:
    """Whether the config.json of a model's folder can be read; a name on the hub is not looked up."""
    file = Path(model) / "config.json"
    if is_file(file):
        try:
            whole = isinstance(json.loads(file.read_text(encoding="utf-8")), dict)
        except (OSError, ValueError, RecursionError):
            whole = False
        if not whole:
            raise ConfigError(f"engine.model: {in_line(file)} is no JSON object")


def _check_engine(experiment: Experiment, model: str) -> None:
    if declared := declared_arguments():
        check_arguments(experiment.engine, declared, installed()[1])
    check_executor(experiment)
    host, build = experiment.host, installed()[0]
    if host.kind != "vllm" or not build:
        return
    if host.device not in ("auto", build):
        raise ConfigError(
            f"host.device: {host.device} was asked for, and this vLLM is for {build}; "
            "install the other build (`make setup EXTRA=cpu|cuda`) or set auto"
        )
    check_servable(experiment, build, model)
    for option in ("sync", "nvtx"):
        if build == "cpu" and getattr(experiment.protocol, option):
            raise ConfigError(f"protocol.{option}: it needs a CUDA device, and this vLLM is for cpu; leave it out")


def _check_references(loaded: Loaded) -> None:
    """Whether arms, `swap`, probes and the scope's methods are there, as far as it can be told without an import.

    Arms of files are looked at when loading.
    """
    experiment = loaded.experiment
    kind: Kind = "function" if experiment.swap else "class"
    for index, arm in enumerate(experiment.arms):
        if arm.reference and not in_file(arm.reference) and (why := why_not_in_module(arm.reference, kind)):
            raise ConfigError(f"{loaded.key_of(index)}: {why}")
    probes = enumerate(experiment.probes)
    names = [(f"probes.{index}: {probe}", probe) for index, probe in probes if probe != experiment.swapped]
    names += [("scope", method) for method in parts(experiment.scope) if "." in method]
    names += [("swap", experiment.swap)] if experiment.swap else []
    for key, name in names:
        if why := why_no_module(name):
            raise ConfigError(f"{key}: {why}")
    if any(not plugin.value.startswith("vllm.") for plugin in entry_points(group=PLUGINS)):
        return  # they can give vLLM's modules and classes whatever they like
    sources = Sources()
    for key, name in names:
        if why := sources.why_no_function(dotted(name)):
            raise ConfigError(f"{key}: {why}")
    _check_methods(experiment, sources)


def _check_methods(experiment: Experiment, sources: Sources) -> None:
    """Whether the scope's methods of the model runner are there."""
    generation = experiment.host.generation
    left_open = experiment.any_runner and not on_cpu(experiment.host)  # on a CPU vLLM takes the one without Triton
    own = [*RUNNERS["v1"], *RUNNERS["v2"]] if left_open else RUNNERS.get(generation, ())
    runners = own if experiment.engine.get("worker_cls", "auto") == "auto" else ()
    # The seam's own are the host's to check: where they are gone, the seam has changed.
    known = [AUTO, *(parts(SEAMS[experiment.seam].places[generation].scope) if experiment.seam else ())]
    for method in parts(experiment.scope):
        if "." not in method and method not in known and (why := sources.why_no_method(runners, method)):
            raise ConfigError(f"scope: on vLLM's {'' if left_open else f'{generation} '}model runners {why}")


def _check_size(loaded: Loaded, model: str) -> None:
    """Whether the requests, and the records of all passes, fit into memory."""
    experiment, workload = loaded.experiment, loaded.experiment.workload
    longest = _longest(experiment.engine, model)
    if isinstance(workload, TraceWorkload):
        from harness.workload.trace import read_lengths

        lengths = read_lengths(workload, loaded.folder)
        count = len(lengths)
        prompts = float(sum(min(prompt, longest) for prompt, _ in lengths))
        outputs = [min(output, longest) for _, output in lengths]
        generated, steps = float(sum(outputs)), float(max(outputs))
    else:
        count = workload.requests
        prompts = count * min(workload.prompt_tokens.mean, longest)
        steps = min(workload.output_tokens.mean, longest)
        generated = count * steps
    # What is generated is held twice: by the engine, and as what every arm is compared with.
    held = count * REQUEST_BYTES + TOKEN_BYTES * (prompts + 2 * generated)
    key = "workload.requests" if workload.requests is not None else "workload.file"
    _check_memory(held, key, f"{count:,} requests of {prompts + generated:,.0f} tokens")
    protocol = experiment.protocol
    if protocol.seconds is None and protocol.until is None:
        passes = protocol.groups * (len(experiment.arms) + 1) * (1 + protocol.bare)
        _check_memory(
            passes * steps * ROW_BYTES, "protocol.groups", f"{passes:,} passes of at least {steps:,.0f} steps"
        )


def _longest(engine: dict[str, Any], model: str) -> int:
    """Tokens that a request has at most, as far as that is known: longer ones are clipped to it."""
    found = engine.get("max_model_len")
    if found is None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            text = (Path(model) / "config.json").read_text(encoding="utf-8")
            found = json.loads(text).get("max_position_embeddings")
    return min(found, LONGEST) if isinstance(found, int) and found > 1 else LONGEST
