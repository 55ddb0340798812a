"""vLLM 0.5.4 as host, in this process: the engine whose prepare-input the issue measured, without a GPU.

It lives in an environment of its own (`make historic-setup`), since no environment has two versions of vLLM; a run that
asks for it changes to that environment by itself (`go_where_it_is`).
"""

from __future__ import annotations

import dataclasses
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError, HostError, told
from harness.hosts.base import HostInfo, PassResult
from harness.hosts.stack_chunk import call_in_large_chunk
from harness.hosts.starting import DTYPE_SINCE, Environment, check_arguments, dtype_default, engine_dtype
from harness.instrument.finding import find_functions, those_there
from harness.instrument.ptrace import admit_tracers, dismiss_tracers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.config.experiment import Host as HostConfig
    from harness.instrument.calibration import Calibration
    from harness.instrument.instrument import Instrument
    from harness.instrument.instrumentation import Instrumentation
    from harness.instrument.pass_kinds import PassKind
    from harness.workload.requests import Request

__all__ = ["VERSION", "VllmV0Host", "go_where_it_is", "interpreter", "is_here", "is_set_up"]

VERSION: Final = "0.5.4"
HOME: Final = ".venv-historic"
READY: Final = ".ready-historic"
"""Written when everything has been installed, so that an interrupted setup does not count."""
SETUP: Final = "make historic-setup"

ENGINE_DEFAULTS: Final[dict[str, Any]] = {
    "skip_tokenizer_init": True,  # prompts are token ids
    "load_format": "dummy",
    "disable_log_stats": True,
    "disable_custom_all_reduce": True,
    "device": "cpu",
    "num_gpu_blocks_override": 4096,  # nothing is profiled, so the number of KV-cache blocks must be given
}
"""Engine arguments that are set where the config does not say otherwise."""


def is_here() -> bool:
    """Whether this interpreter has that vLLM."""
    try:
        return metadata.version("vllm") == VERSION
    except metadata.PackageNotFoundError:
        return False


def interpreter() -> Path:
    """The Python of the environment that has it: under the working directory, or beside this project's code.

    Raises:
        HostError: there is none, or it is not set up.
    """
    for folder in (Path(), Path(__file__).parents[2]):
        python = folder / HOME / "bin" / "python"
        if python.exists() and (folder / HOME / READY).exists():
            return python.absolute()
    raise HostError(f"host.kind: vllm_v0 is vLLM {VERSION}, which lives in {HOME}/ and is not set up: {SETUP}")


def is_set_up() -> bool:
    """Whether there is an environment that has it."""
    try:
        interpreter()
    except HostError:
        return False
    return True


def go_where_it_is() -> None:
    """Restart this command in the environment that has vLLM 0.5.4; do nothing where that is this one.

    Raises:
        HostError: there is no such environment.
    """
    if not is_here():
        python = str(interpreter())
        if Path(sys.prefix).resolve() == Path(python).parents[1].resolve():
            raise HostError(f"{HOME}/ is set up and has no vLLM {VERSION}: make clean, then {SETUP}")
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(python, [python, "-m", "harness", *sys.argv[1:]])  # noqa: S606 (our own interpreter)


class VllmV0Host:
    """vLLM 0.5.4.

    Args:
        host: the config's section.
        engine: arguments for vLLM's `EngineArgs`, passed on untouched (the model's path already resolved).
    """

    def __init__(self, host: HostConfig, engine: dict[str, Any]) -> None:
        self._config = host
        self._dtype = dtype_default(engine)
        self.engine_args = {**ENGINE_DEFAULTS, **self._dtype, **engine}
        threads = {} if host.threads is None else {"OMP_NUM_THREADS": str(host.threads)}
        self.environment = {
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_HOST_IP": "127.0.0.1",  # a process group of one needs no address of a network
            "TOKENIZERS_PARALLELISM": "false",
            **({"HF_HUB_OFFLINE": "1"} if Path(str(engine["model"])).is_dir() else {}),
            **threads,
            **host.env,
        }
        self._environment = Environment(self.environment)
        self._engine: Any = None
        self._instrument: Instrument | None = None
        self._unfinished: set[str] = set()
        self._served = 0

    def start(self) -> HostInfo:
        """Import vLLM, with replacements for what needs a CUDA build, and start the engine.

        Raises:
            HostError: another vLLM is installed here, or the engine did not start.
            ConfigError: an engine argument that 0.5.4 does not have.
        """
        if not is_here():
            raise HostError(f"this environment has no vLLM {VERSION}: {SETUP}")
        if self._config.device == "cuda":
            raise ConfigError("host.device: vllm_v0 runs on the CPU alone, its kernels being replaced; set cpu or auto")
        self._environment.set()
        try:
            import torch

            from harness.hosts.v0.substitutes import import_vllm

            import_vllm()
            from vllm import EngineArgs, LLMEngine

            from harness.hosts.v0.worker import CpuExecutor
        except Exception as error:
            raise HostError(f"vLLM {VERSION} is installed but cannot be imported: {told(error)}") from error
        check_arguments(self.engine_args, (field.name for field in dataclasses.fields(EngineArgs)), VERSION)
        if self._config.threads is not None:
            torch.set_num_threads(self._config.threads)
        try:
            arguments = EngineArgs(**self.engine_args, distributed_executor_backend=CpuExecutor)
            self._engine = LLMEngine.from_engine_args(arguments)
        except Exception as error:
            raise HostError(f"the engine did not start: {told(error)}") from error
        return self._describe()

    def _describe(self) -> HostInfo:
        import torch

        from harness.hosts.v0.substitutes import SUBSTITUTED

        runner = self._worker.model_runner
        model, scheduler = runner.model_config, runner.scheduler_config
        return HostInfo(
            engine="vllm",
            version=VERSION,
            runner=type(runner).__name__,
            device=str(runner.device),
            model=type(runner.model).__name__,
            vocab_size=model.get_vocab_size(),
            max_model_len=model.max_model_len,
            world_size=1,
            details={
                "pid": os.getpid(),
                "runner_module": type(runner).__module__,
                "generation": "v0",
                "model_class": f"{type(runner.model).__module__}.{type(runner.model).__qualname__}",
                "process": "in_process",
                "torch_threads": torch.get_num_threads(),
                "cpus": sorted(os.sched_getaffinity(0)),
                "dtype": engine_dtype(model.dtype),
                **({"dtype_since": DTYPE_SINCE} if self._dtype else {}),
                "block_size": [runner.block_size],
                "max_num_batched_tokens": scheduler.max_num_batched_tokens,
                "max_num_seqs": scheduler.max_num_seqs,
                "chunked_prefill": scheduler.chunked_prefill_enabled,
                "padded_as_for_graphs": not model.enforce_eager,
                "substituted": list(SUBSTITUTED),
            },
        )

    @property
    def _worker(self) -> Any:
        return self._engine.model_executor.driver_worker

    def install(self, instrumentation: Instrumentation) -> Calibration:
        """Find every target and load every arm, and measure what a probe costs."""
        from harness.instrument.instrument import Instrument
        from harness.instrument.loops import V0Loop

        if self._instrument is not None:
            self._instrument.remove()
        loop = V0Loop(self._worker, self._engine)
        self._instrument = Instrument(loop.runner, instrumentation, loop=loop)
        return self._instrument.calibrate()

    def switched(self) -> dict[str, Any]:
        """What is switched."""
        return {} if self._instrument is None else self._instrument.describe()

    def focus(self, scope: str, probes: Sequence[str]) -> None:
        """Time this scope and these probes from the next pass on."""
        assert self._instrument is not None  # noqa: S101 (install comes first)
        self._instrument.focus(scope, probes)

    def there(self, names: Sequence[str]) -> list[str]:
        """Of these full names those that lead to a function here."""
        return those_there(names)

    def find(self, pattern: str) -> list[str]:
        """The functions that a pattern names."""
        return find_functions(pattern)

    def time_elsewhere(self, wanted: bool) -> dict[str, Any]:
        """All of it is in this process."""
        return {}

    def look_into(self, names: Sequence[str], depth: int) -> None:
        """Open these functions in passes of kind "look"."""
        assert self._instrument is not None  # noqa: S101 (install comes first)
        self._instrument.beside.look_into(names, depth)

    def time_lines(self, names: Sequence[str]) -> None:
        """Time these functions line by line in passes of kind "lines"."""
        assert self._instrument is not None  # noqa: S101 (install comes first)
        self._instrument.beside.time_lines(names)

    def checked(self) -> dict[str, Any]:
        """How much checking passes compare."""
        return {} if self._instrument is None else self._instrument.checked

    def fingerprint(self) -> list[list[Any]]:
        """What native served in its last checking pass."""
        return [] if self._instrument is None else [list(row) for row in self._instrument.fingerprint]

    def recover(self) -> bool:
        """Give up the requests of a pass that an exception ended."""
        self.partial()
        while self._engine.has_unfinished_requests():
            self._engine.step()
        return True

    def run_pass(
        self, kind: PassKind, schedule: Sequence[int], requests: Sequence[Request], probed: Sequence[bool] = ()
    ) -> PassResult:
        """Serve all requests once."""
        assert self._instrument is not None  # noqa: S101 (install comes first)
        self._as_at_first()
        self._instrument.begin(kind, schedule, probed)
        tokens = call_in_large_chunk(self._serve, requests)
        return PassResult(tokens=tokens, **self._instrument.end())

    def _as_at_first(self) -> None:
        """Number sequences anew, and put free blocks in their first order: vLLM hands out first what came back last."""
        self._engine.seq_counter.reset()
        for scheduler in self._engine.scheduler:
            allocator = getattr(scheduler.block_manager, "gpu_allocator", None)
            free = getattr(allocator, "free_blocks", None)
            if free is not None:  # the second block manager and prefix caching keep theirs in another way
                free.sort(key=lambda block: block.block_number)

    def _serve(self, requests: Sequence[Request]) -> list[list[int]]:
        """All are there before the first step, so that step i is the same work in every pass."""
        from vllm import SamplingParams

        names = [f"{self._served}-{index}" for index in range(len(requests))]
        self._served += 1
        for name, request in zip(names, requests, strict=True):
            sampling = SamplingParams(
                temperature=0.0, max_tokens=request.output_tokens, ignore_eos=True, detokenize=False
            )
            self._engine.add_request(name, {"prompt_token_ids": request.prompt_token_ids}, sampling)
            self._unfinished.add(name)
        tokens: dict[str, list[int]] = {}
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                if output.finished:
                    tokens[output.request_id] = list(output.outputs[0].token_ids)
                    self._unfinished.discard(output.request_id)
        return [tokens[name] for name in names]

    def admit_profiler(self) -> int:
        """Let a profiler attach to this process."""
        admit_tracers()
        return os.getpid()

    def dismiss_profiler(self) -> None:
        """Take that leave back."""
        dismiss_tracers()

    def partial(self) -> PassResult | None:
        """What the pass that was cut short had measured; its requests are given up."""
        if self._engine is not None and self._unfinished:
            self._engine.abort_request(list(self._unfinished))
            self._unfinished.clear()
        if self._instrument is None or not self._instrument.under_way:
            return None
        return PassResult(tokens=None, **self._instrument.end())

    def stop(self) -> None:
        """Let go of the engine, and put the environment back."""
        self._environment.put_back()
        engine, self._engine, self._instrument = self._engine, None, None
        if engine is not None:
            from vllm.distributed import destroy_distributed_environment, destroy_model_parallel

            del engine
            destroy_model_parallel()
            destroy_distributed_environment()
