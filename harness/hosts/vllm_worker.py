"""The class that vLLM mixes into every worker (`worker_extension_cls`): the only part that runs in the engine.

Its methods are called by `collective_rpc`, in this process, in an engine's own process and in parallel workers
alike. They take and give plain values, and answer errors as values too, since exception types do not survive
the way back from an engine process.
"""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING, Any

import harness.hosts.vllm_weights  # noqa: F401 (registers load_format "scaled_dummy" in this process)
from harness import signals
from harness.errors import HarnessError
from harness.hosts.adapters import load_adapters
from harness.hosts.origin import started_from
from harness.hosts.starting import engine_dtype
from harness.instrument.finding import find_functions, those_there
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import Instrumentation
from harness.instrument.loops import loop_of
from harness.instrument.pristine import core_of
from harness.instrument.ptrace import admit_tracers, dismiss_tracers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["WorkerExtension"]


def _answer(method: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    @functools.wraps(method)
    def answering(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return {"value": method(self, *args, **kwargs)}
        except HarnessError as error:
            return {"error": [type(error).__name__, str(error)]}

    return answering


class WorkerExtension:
    """Methods that harness adds to vLLM's worker; their names begin with `harness_` to stay out of its way."""

    model_runner: Any
    rank: int
    vllm_config: Any

    @_answer
    def harness_describe(self) -> dict[str, Any]:
        """What is measured here: process, runner, device, model and cache."""
        import torch

        runner, config = self.model_runner, self.vllm_config
        device = runner.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        return {
            "pid": os.getpid(),
            "rank": self.rank,
            "runner": type(runner).__name__,
            "runner_module": type(runner).__module__,
            "generation": loop_of(runner).generation,
            "device": f"{device.type} ({name})" if name else device.type,
            **_cuda_facts(device),
            "torch_threads": torch.get_num_threads(),
            "cpus": sorted(os.sched_getaffinity(0)),
            "model": type(runner.get_model()).__name__,
            "dtype": engine_dtype(config.model_config.dtype),
            "max_model_len": config.model_config.max_model_len,
            "vocab_size": config.model_config.get_vocab_size(),
            "block_size": _block_sizes(runner),
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "async_scheduling": bool(config.scheduler_config.async_scheduling),
            "world_size": config.parallel_config.world_size,
            "core_in_reach": core_of() is not None,
        }

    @_answer
    def harness_started_from(self, variables: Sequence[str]) -> dict[str, Any]:
        """What this process was started from: machine, vLLM, and what it has of these environment variables."""
        return started_from(variables)

    @_answer
    def harness_install(self, instrumentation: dict[str, Any]) -> dict[str, Any]:
        """Find every target and load every arm; nothing is replaced yet. Gives a probe's cost, and what is switched."""
        signals.mark()
        previous = getattr(self, "_harness", None)
        if previous is not None:
            previous.remove()
        loop = loop_of(self.model_runner, core_of())
        self._harness = Instrument(self.model_runner, Instrumentation.from_dict(instrumentation), loop=loop)
        return {"calibration": self._harness.calibrate().as_dict(), "switch": self._harness.describe()}

    @_answer
    def harness_focus(self, scope: str, probes: Sequence[str]) -> None:
        """Time these from the next pass on."""
        self._harness.focus(scope, probes)

    @_answer
    def harness_there(self, names: Sequence[str]) -> list[str]:
        """Of these full names those that lead to a function here."""
        return those_there(names)

    @_answer
    def harness_find(self, pattern: str) -> list[str]:
        """The functions that a pattern names."""
        return find_functions(pattern)

    @_answer
    def harness_look_into(self, names: Sequence[str], depth: int) -> None:
        """Open these functions in passes of kind "look"."""
        self._harness.beside.look_into(names, depth)

    @_answer
    def harness_time_lines(self, names: Sequence[str]) -> None:
        """Time these functions line by line in passes of kind "lines"."""
        self._harness.beside.time_lines(names)

    @_answer
    def harness_checked(self) -> dict[str, Any]:
        """How much checking passes compare."""
        return self._harness.checked

    @_answer
    def harness_fingerprint(self) -> list[list[Any]]:
        """What native served in its last checking pass, as text."""
        return [list(row) for row in self._harness.fingerprint]

    @_answer
    def harness_recover(self) -> None:
        """A step was cut short by an exception: forget what it left between its execution and its sampling."""
        runner, core = self.model_runner, core_of()
        if getattr(runner, "execute_model_state", None) is not None:
            runner.execute_model_state = None
        builder = getattr(getattr(runner, "input_batch", None), "batch_update_builder", None)
        if builder is not None:
            builder.reset()  # it takes no more removals once they have been read, until a step has gone through
        if core is not None and core.batch_queue:
            core.batch_queue.clear()

    @_answer
    def harness_load_adapters(self, adapters: Sequence[tuple[int, int]]) -> None:
        """Make LoRA adapters, each by its number and rank, and load them."""
        load_adapters(self.model_runner, adapters, int(self.vllm_config.model_config.seed or 0))

    @_answer
    def harness_begin(self, kind: Any, schedule: Sequence[int], probed: Sequence[bool]) -> None:
        """Bind the instrument for one pass."""
        self._harness.begin(kind, schedule, probed)

    @_answer
    def harness_admit_profiler(self) -> int:
        """Let any process of this user trace this one; gives this one's id."""
        admit_tracers()
        return os.getpid()

    @_answer
    def harness_dismiss_profiler(self) -> None:
        """Take that leave back."""
        dismiss_tracers()

    @_answer
    def harness_end(self, cut: bool = False) -> dict[str, Any] | None:
        """Put everything back and give the pass's records; None where no pass is under way."""
        instrument = getattr(self, "_harness", None)
        return instrument.end(cut) if instrument is not None and instrument.under_way else None


def _cuda_facts(device: Any) -> dict[str, Any]:
    """Driver, capability and CUDA version of the device, where it is one of CUDA's."""
    import torch

    if device.type != "cuda":
        return {}
    driver = ""
    with contextlib.suppress(Exception):  # vLLM's copy, which raises whatever NVML has to say; the fact is then missing
        from vllm.third_party import pynvml

        pynvml.nvmlInit()
        driver = str(pynvml.nvmlSystemGetDriverVersion())
    return {
        "cuda": torch.version.cuda,
        "compute_capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "driver": driver,
    }


def _block_sizes(runner: Any) -> list[int]:
    """Of each KV-cache group, where a V1 or a V2 runner keeps them."""
    if hasattr(runner, "input_batch"):
        return [table.block_size for table in runner.input_batch.block_table.block_tables]
    return list(runner.block_tables.block_sizes)
