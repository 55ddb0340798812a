"""How each generation of model runners goes through a step: which calls are timed, and what was in the batch."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from harness.errors import SeamError

__all__ = ["Batch", "CoreLoop", "FrontLoop", "Loop", "V0Loop", "V1Loop", "V2Loop", "loop_of"]


class Batch(NamedTuple):
    """A step's signature: what makes step i of two passes the same work."""

    num_reqs: int
    num_tokens: int
    num_prefills: int


class Loop(Protocol):
    """What the instrument must know of a host's loop.

    Attributes:
        generation: of the runner, as in `harness.seams.Seam.places`.
        runner: the object whose methods are the scope, and which seams are found on.
        execute: (object, method) of the call that executes the model for one step.
        sample: (object, method) of the call that ends the same step, where that is another call.
        core: vLLM's EngineCore, where it is in this process and its turns can be told.
        turn: (object, method) of one turn of the engine core: it schedules, executes, samples and updates. None where
            the core is out of reach; the step is then the model runner's alone.
    """

    generation: str
    runner: Any
    execute: tuple[Any, str]
    sample: tuple[Any, str] | None
    core: Any
    turn: tuple[Any, str] | None

    def is_step(self, work: Any) -> bool:
        """Whether `execute(work, ..)` will run the model (vLLM also calls it only to report that requests ended)."""
        ...

    def batch(self, work: Any) -> Batch:
        """What was in the step, once `execute` has returned."""
        ...


class V1Loop:
    """vllm/v1/worker/gpu_model_runner.py, and cpu_model_runner.py below it."""

    generation = "v1"

    def __init__(self, runner: Any, core: Any = None) -> None:
        self.runner, self.core = runner, core
        self.turn = (core, "step_fn") if callable(getattr(core, "step_fn", None)) else None
        self.execute = (runner, "execute_model")
        self.sample = (runner, "sample_tokens") if hasattr(runner, "sample_tokens") else None

    def is_step(self, work: Any) -> bool:
        """`work` is vLLM's SchedulerOutput."""
        return bool(work.total_num_scheduled_tokens)

    def batch(self, work: Any) -> Batch:
        """From the persistent batch, which `execute_model` has brought up to date."""
        batch = self.runner.input_batch
        count = batch.num_reqs
        prefills = batch.num_computed_tokens_cpu[:count] < batch.num_prompt_tokens[:count]
        return Batch(len(work.num_scheduled_tokens), int(work.total_num_scheduled_tokens), int(prefills.sum()))


class V2Loop(V1Loop):
    """vllm/v1/worker/gpu/model_runner.py, which keeps its requests in rows of `req_states`."""

    generation = "v2"

    def batch(self, work: Any) -> Batch:
        """From the requests' rows: a request prefills until its whole prompt has been computed."""
        states = self.runner.req_states
        rows = [states.req_id_to_index[req_id] for req_id in work.num_scheduled_tokens]
        prefills = states.num_computed_prefill_tokens[rows] < states.prefill_len.np[rows]
        return Batch(len(rows), int(work.total_num_scheduled_tokens), int(prefills.sum()))


class V0Loop:
    """vllm/worker/worker_base.py of vLLM 0.5.4: the worker prepares and executes a step in one call.

    Args:
        worker: vLLM's.
        engine: its LLMEngine, of which each step is a turn, from the scheduler to the outputs; None where that is out
            of reach.
    """

    generation = "v0"
    sample: tuple[Any, str] | None = None
    core = None

    def __init__(self, worker: Any, engine: Any = None) -> None:
        self.runner = worker.model_runner
        self.execute = (worker, "execute_model")
        self.turn: tuple[Any, str] | None = (engine, "step") if engine is not None else None

    def is_step(self, work: Any) -> bool:
        """`work` is vLLM's ExecuteModelRequest, or None to end a loop of workers."""
        return work is not None and bool(work.seq_group_metadata_list)

    def batch(self, work: Any) -> Batch:
        """From what the scheduler gave; a group is a request, of one sequence where one sample was asked for."""
        groups = work.seq_group_metadata_list
        sequences = sum(len(group.seq_data) for group in groups)
        prefills = sum(group.is_prompt for group in groups)
        return Batch(sequences, sum(group.token_chunk_size for group in groups), prefills)


class CoreLoop:
    """An engine core whose workers are other processes (vllm/v1/engine/core.py): it schedules, waits and updates.

    Args:
        core: vLLM's EngineCore.
    """

    generation = "core"

    def __init__(self, core: Any) -> None:
        self.core, self.runner = core, core.model_executor
        self.turn: tuple[Any, str] | None = (core, "step_fn")
        self.execute = (self.runner, "execute_model")
        self.sample = (self.runner, "sample_tokens") if hasattr(self.runner, "sample_tokens") else None

    def is_step(self, work: Any) -> bool:
        """`work` is vLLM's SchedulerOutput."""
        return bool(work.total_num_scheduled_tokens)

    def batch(self, work: Any) -> Batch:
        """From what was scheduled; the scheduler's requests have been moved on by it already."""
        requests = self.core.scheduler.requests
        prefills = 0
        for req_id, tokens in work.num_scheduled_tokens.items():
            request = requests.get(req_id)
            prefills += request is not None and request.num_computed_tokens - tokens < request.num_prompt_tokens
        return Batch(len(work.num_scheduled_tokens), int(work.total_num_scheduled_tokens), prefills)


class FrontLoop:
    """The front end of an engine whose core is another process: a step is what comes out of one of the core's turns.

    Args:
        engine: vLLM's LLMEngine (vllm/v1/engine/llm_engine.py).
    """

    generation = "front"
    core = None
    turn: tuple[Any, str] | None = None
    sample: tuple[Any, str] | None = None

    def __init__(self, engine: Any) -> None:
        self.runner = engine.output_processor
        self.execute = (self.runner, "process_outputs")

    def is_step(self, work: Any) -> bool:
        """`work` is a list of vLLM's EngineCoreOutput."""
        return bool(work)

    def batch(self, work: Any) -> Batch:
        """Which of them were prefills is not known here."""
        return Batch(len(work), sum(len(output.new_token_ids) for output in work), 0)


def loop_of(runner: Any, core: Any = None) -> Loop:
    """The loop of a vLLM runner, recognised by where the runner keeps its requests; `core` is its EngineCore, if known.

    Raises:
        SeamError: neither a V1 nor a V2 runner.
    """
    if hasattr(runner, "input_batch"):
        return V1Loop(runner, core)
    if hasattr(runner, "req_states"):
        return V2Loop(runner, core)
    raise SeamError(f"{type(runner).__module__}.{type(runner).__name__} is neither a V1 nor a V2 model runner of vLLM")
