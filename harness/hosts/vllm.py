"""vLLM as host: `vllm.LLM` with our class as `worker_extension_cls`, driven by `collective_rpc`.

The same calls reach an engine in this process, one in a process of its own and parallel workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import errors
from harness.children import ENGINE_OWNER, end_forks_with_engine_owner, tied_to_this_process
from harness.hosts.base import HostInfo, PassResult
from harness.hosts.elsewhere import Elsewhere
from harness.hosts.origin import check_alike, started_from
from harness.hosts.processes import EngineProcesses
from harness.hosts.stack_chunk import call_in_large_chunk
from harness.hosts.starting import (
    DTYPE_SINCE,
    NOT_INSTALLED,
    Environment,
    check_arguments,
    dtype_default,
)
from harness.hosts.tokenizer import MADE, lacks_tokenizer, write_tokenizer
from harness.hosts.vllm_core import RESET, resettable
from harness.hosts.vllm_requests import adapters_of, answers_of, sampling_params
from harness.hosts.vllm_settings import (
    ENGINE_DEFAULTS,
    EXTENSION,
    engine_environment,
    executor_default,
    on_cpu,
    on_ray,
)
from harness.hosts.workers import as_far_as_all, columns_beyond_first, merge_workers
from harness.instrument.calibration import Calibration
from harness.instrument.events import uncollected
from harness.instrument.pristine import OUT_OF_REACH, is_core, reset
from harness.instrument.pulse import SIZE, Pulse, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.config.experiment import Host as HostConfig
    from harness.instrument.instrumentation import Instrumentation
    from harness.instrument.pass_kinds import PassKind
    from harness.workload.requests import Adapter, Request

__all__ = ["VllmHost"]

end_forks_with_engine_owner()


class VllmHost:
    """vLLM in this process, or in processes of its own.

    Args:
        host: the config's section.
        engine: arguments for `vllm.LLM`, passed on untouched (the model's path already resolved).
    """

    def __init__(self, host: HostConfig, engine: dict[str, Any]) -> None:
        self._config = host
        self._dtype = dtype_default(engine) if on_cpu(host) else {}
        defaults = {**ENGINE_DEFAULTS, **self._dtype, **executor_default(host, engine)}
        self.engine_args = {**defaults, **engine, "worker_extension_cls": EXTENSION}
        self.environment = engine_environment(host, engine)
        self._llm: Any = None
        self._switched: dict[str, Any] = {}
        self._core_apart, self._not_reset = False, ""
        self._processes = EngineProcesses() if host.process == "subprocess" else None
        own = {} if self._processes is None else {ENGINE_OWNER: str(os.getpid())}
        self._environment = Environment({**self.environment, **own})
        self._adapters: set[Adapter] = set()
        self._elsewhere: Elsewhere | None = None
        self._tokenizer: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> HostInfo:
        """Import vLLM and start the engine.

        Raises:
            HostError: vLLM is missing, or the engine did not start.
            ConfigError: an engine argument or the device that this vLLM does not have.
        """
        if importlib.util.find_spec("vllm") is None:
            raise errors.HostError(NOT_INSTALLED)
        self._environment.set()
        self._adapters = set()
        try:
            with uncollected():
                import torch
                from vllm import LLM, __version__
                from vllm.engine.arg_utils import EngineArgs
                from vllm.platforms import current_platform
        except Exception as error:
            raise errors.HostError(f"vLLM is installed but cannot be imported: {errors.told(error)}") from error
        check_arguments(self.engine_args, (field.name for field in dataclasses.fields(EngineArgs)), __version__)
        if self._config.device not in ("auto", current_platform.device_type):
            raise errors.ConfigError(
                f"host.device: {self._config.device} was asked for, this vLLM is for {current_platform.device_type}; "
                "install the other build (`make setup EXTRA=cpu|cuda`) or set auto"
            )
        if current_platform.is_cpu() and self._config.threads not in (None, torch.get_num_threads()):
            torch.set_num_threads(self._config.threads)  # torch was imported before the environment was set
        try:
            with tied_to_this_process(), resettable():
                self._llm = LLM(**self.engine_args, **self._own_tokenizer())
        except Exception as error:
            raise errors.HostError(f"the engine did not start: {errors.told(error)}") from error
        finally:  # also of an engine that did not start, or was interrupted while it did
            if self._processes is not None:
                self._processes.gather()
        if on_ray(self.engine_args):
            names = list(self.environment)
            check_alike(started_from(names), self._rpc("harness_started_from", names))
        facts = self._rpc("harness_describe")[0]
        self._core_apart, self._not_reset = not facts.pop("core_in_reach"), ""
        named = {f.name for f in dataclasses.fields(HostInfo)}
        details = {key: value for key, value in facts.items() if key not in named}
        details |= {"process": self._config.process}
        if self._tokenizer is not None:
            details["tokenizer"] = MADE
        if self._dtype:
            details["dtype_since"] = DTYPE_SINCE
        return HostInfo(
            "vllm", __version__, details=details,
            **{key: facts[key] for key in named & facts.keys()},
        )  # fmt: skip

    def _own_tokenizer(self) -> dict[str, str]:
        """A tokenizer for a model that has none, where one is wanted; it lies in a folder until the engine stops."""
        if not lacks_tokenizer(self.engine_args):
            return {}
        self._tokenizer = tempfile.TemporaryDirectory(prefix="harness-tokenizer-")
        model = json.loads((Path(self.engine_args["model"]) / "config.json").read_text(encoding="utf-8"))
        write_tokenizer(Path(self._tokenizer.name), model)
        return {"tokenizer": self._tokenizer.name}

    def install(self, instrumentation: Instrumentation) -> Calibration:
        """Find every target and load every arm in each worker; the first worker's probe cost."""
        with self._watched(instrumentation) as watched:
            installed = self._rpc("harness_install", watched.as_dict())[0]
        self._switched = installed["switch"]
        return Calibration(**installed["calibration"])

    def switched(self) -> dict[str, Any]:
        """What is switched, as the first worker has it."""
        return self._switched

    def focus(self, scope: str, probes: Sequence[str]) -> None:
        """Time this scope and these probes from the next pass on."""
        self._rpc("harness_focus", scope, list(probes))

    def there(self, names: Sequence[str]) -> list[str]:
        """Of these full names those that lead to a function in the first worker's process."""
        return list(self._rpc("harness_there", list(names))[0])

    def find(self, pattern: str) -> list[str]:
        """The functions that a pattern names, in the first worker's process."""
        return list(self._rpc("harness_find", pattern)[0])

    def look_into(self, names: Sequence[str], depth: int) -> None:
        """Open these functions in passes of kind "look"."""
        self._rpc("harness_look_into", list(names), depth)

    def time_lines(self, names: Sequence[str]) -> None:
        """Time these functions line by line in passes of kind "lines"."""
        self._rpc("harness_time_lines", list(names))

    def time_elsewhere(self, wanted: bool) -> dict[str, Any]:
        """From now on time the processes without a model runner in probed passes, or no longer."""
        if self._elsewhere is not None:
            self._elsewhere.remove()
        engine = self._llm.llm_engine
        self._elsewhere = Elsewhere(engine, self._processes, self._core_apart) if wanted else None
        return self._elsewhere.describe() if self._elsewhere is not None else {}

    def checked(self) -> dict[str, Any]:
        """How much checking passes compare: the first worker's leaves, without what any worker does not repeat."""
        answers: list[dict[str, Any]] = self._rpc("harness_checked")
        facts = answers[0]
        if not facts:
            return {}
        reasons = [answer["not_reset"] for answer in answers]
        if self._core_apart:  # a worker can tell only of itself then
            reasons = [self._not_reset, *(reason for reason in reasons if reason != OUT_OF_REACH)]
        return {
            **facts,
            "not_repeated": sorted({field for answer in answers for field in answer["not_repeated"]}),
            "not_reset": next(filter(None, reasons), ""),
        }

    def fingerprint(self) -> list[list[Any]]:
        """What native served in its last checking pass, of one worker after the other."""
        return [row for rows in self._rpc("harness_fingerprint") for row in rows]

    def recover(self) -> bool:
        """Give up the requests of a pass that an exception ended; an engine of its own process has died of it."""
        if self._llm is None or self._processes is not None:
            return False
        self.partial()
        self._rpc("harness_recover")
        engine = self._llm.llm_engine
        engine.abort_request(list(engine.output_processor.request_states), internal=True)
        while engine.has_unfinished_requests():
            engine.step()
        return True

    @contextlib.contextmanager
    def _watched(self, instrumentation: Instrumentation) -> Iterator[Instrumentation]:
        """With a pulse that is seen here, where calls into an engine of its own process wait for their answers.

        Its file is needed only until all workers have it open.
        """
        if self._processes is None or not instrumentation.step_timeout_s:
            yield instrumentation
            return
        with tempfile.NamedTemporaryFile(prefix="harness-pulse-") as pulse:
            pulse.write(bytes(SIZE))
            pulse.flush()
            names = [arm.name for arm in instrumentation.arms]
            self._processes.watch = Watch(Pulse(pulse.name), instrumentation.step_timeout_s, names)
            yield dataclasses.replace(instrumentation, pulse=pulse.name)

    def run_pass(
        self, kind: PassKind, schedule: Sequence[int], requests: Sequence[Request], probed: Sequence[bool] = ()
    ) -> PassResult:
        """Serve all requests once."""
        prompts = [{"prompt_token_ids": request.prompt_token_ids} for request in requests]
        params = [sampling_params(request) for request in requests]
        adapters = adapters_of(requests)
        if missing := {request.adapter for request in requests if request.adapter is not None} - self._adapters:
            self._rpc("harness_load_adapters", [list(adapter) for adapter in sorted(missing)])
            self._adapters |= missing
        if self._core_apart:
            why_not = self._reset_core(backwards=kind == "soil")
            self._not_reset = self._not_reset or why_not
        self._rpc("harness_begin", kind, [int(arm) for arm in schedule], [bool(step) for step in probed])
        elsewhere = self._elsewhere if kind == "probed" else None
        if elsewhere is not None:
            elsewhere.begin()
        if self._processes is None:
            outputs = call_in_large_chunk(self._llm.generate, prompts, params, use_tqdm=False, **adapters)
        else:
            outputs = self._processes.call(self._generate_together, prompts, params, adapters)
        processes = elsewhere.end() if elsewhere is not None else {}
        of_workers = self._rpc("harness_end")
        records = merge_workers(of_workers)
        if elsewhere is not None:
            records["processes"] = processes | columns_beyond_first(of_workers)
        if self._core_apart and kind == "check":  # no worker can tell of the core then
            records["not_reset"] = self._reset_core(backwards=False)
        return PassResult(**answers_of(requests, outputs), **records)

    def _reset_core(self, backwards: bool) -> str:
        """Put an engine core in its first state that no worker can reach; why that cannot be done, if so."""
        client = self._llm.llm_engine.engine_core
        if self._processes is None:
            core = getattr(client, "engine_core", None)
            return reset(core if is_core(core) else None, backwards=backwards)
        try:
            return str(self._processes.call(client.call_utility, RESET, backwards))
        except errors.HostError:  # the engine died
            raise
        except Exception:  # noqa: BLE001 (a client can have no such call, and the core no such method)
            return OUT_OF_REACH

    def _generate_together(self, prompts: list[Any], params: list[Any], adapters: dict[str, Any]) -> list[Any]:
        """Serve on an engine in a process of its own, which would begin with whatever has arrived.

        While paused it gathers all requests, so that step i is the same work in every pass.
        """
        self._llm.sleep(level=0)
        self._llm.enqueue(prompts, params, use_tqdm=False, **adapters)
        self._llm.wake_up(tags=["scheduling"])
        outputs: list[Any] = self._llm.wait_for_completion(use_tqdm=False)
        return outputs

    def admit_profiler(self) -> int:
        """Let a profiler attach to the process that runs the first worker's model runner; the process's id."""
        return int(self._rpc("harness_admit_profiler")[0])

    def dismiss_profiler(self) -> None:
        """Take that leave back."""
        self._rpc("harness_dismiss_profiler")

    def partial(self) -> PassResult | None:
        """What the pass that was cut short had measured; None where the engine is gone."""
        if self._llm is None:
            return None
        try:
            self.time_elsewhere(False)
            answers = as_far_as_all(answer for answer in self._rpc("harness_end", True) if answer is not None)
            return PassResult(tokens=None, **merge_workers(answers)) if answers else None
        except Exception:  # noqa: BLE001 (the engine may be gone in any way; the caller has the first error)
            return None

    def stop(self) -> None:
        """Shut the engine down, and put the environment back."""
        self._environment.put_back()
        self._elsewhere = None
        if self._tokenizer is not None:
            self._tokenizer.cleanup()
        llm, self._llm = self._llm, None
        if llm is None:
            if self._processes is not None:
                self._processes.end()
            return
        try:
            with contextlib.suppress(Exception):  # an engine that died cannot be shut down twice
                llm.llm_engine.engine_core.shutdown()
        finally:  # also where a second Ctrl-C came meanwhile
            if self._processes is not None:
                self._processes.end()
        if self._processes is None:
            from vllm.distributed import cleanup_dist_env_and_memory

            del llm
            with contextlib.suppress(Exception):
                cleanup_dist_env_and_memory()

    def _rpc(self, method: str, *args: Any) -> list[Any]:
        values = []
        rpc = self._llm.collective_rpc
        answers = rpc(method, args=args) if self._processes is None else self._processes.call(rpc, method, args=args)
        for answer in answers:
            if "error" in answer:
                kind, message = answer["error"]
                raise getattr(errors, kind)(message)
            values.append(answer["value"])
        return values
