"""Records the fingerprint of a pass: what every step is given, prepares and gives back, from inside the running engine.

A step is one that runs the model, as in `loops.py`, so steps have the numbers that they have in a pass's records.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from harness.instrument.recording import Recording, Step
from harness.instrument.rows import ROWS_FROM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.instrument.bindings import Bindings
    from harness.instrument.fingerprint import Fingerprint
    from harness.instrument.loops import Batch, Loop

__all__ = ["Recorder"]

STATES: Final = ("input_batch", "req_states")
"""What V1's and V2's runners keep from step to step."""


class Recorder:
    """Records one pass after the other.

    Args:
        loop: how the runner goes through a step; None in an engine core whose workers are other processes.
        core: vLLM's engine core, where it is in reach (`pristine.core_of`); without it, or for another engine, there is
            what the worker sees.
        state: whether the runner's own state is recorded after each step, which is half of the cost.
        rows_from: tensors of more elements are kept as one digest a row.
    """

    def __init__(
        self, loop: Loop | None, core: Any | None = None, state: bool = True, rows_from: int = ROWS_FROM
    ) -> None:
        self._loop: Loop = loop or _NoRunner()
        self._runner, self._core = self._loop.runner, core
        self._state, self._rows_from = state, rows_from
        self._recording = Recording(rows_from)
        self._executed: Step | None = None
        self._hooks: list[Any] = []

    @property
    def took_ns(self) -> int:
        """How long recording itself took in this pass."""
        return self._recording.took_ns

    def begin(self, bindings: Bindings) -> None:
        """Bind for one pass, ended by `end` and by restoring the bindings, in any order."""
        self.end()
        self._recording, self._executed = Recording(self._rows_from), None

        def bind(owner: Any, method: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
            if callable(found := getattr(owner, method, None)):
                bindings.bind(owner, method, wrapper(found))

        generation, runner = self._loop.generation, self._runner
        model: Any = getattr(runner, "model", None)
        if self._core is not None:
            bind(self._core.scheduler, "add_request", self._arriving)
            bind(self._core.scheduler, "schedule", self._scheduling)
            bind(self._core.scheduler, "update_from_output", self._updating)
        bind(*self._loop.execute, self._executing)
        if self._loop.sample is not None:
            bind(*self._loop.sample, self._sampling)
        if generation == "v1" and hasattr(runner, "_model_forward"):  # the model itself may be a CUDA graph
            bind(runner, "_model_forward", self._before_model)
        elif hasattr(model, "register_forward_pre_hook"):
            self._hooks.append(model.register_forward_pre_hook(self._hook, with_kwargs=True))
        if generation == "v1":
            bind(runner, "_sample", self._around_sampler)
        else:
            bind(model, "compute_logits", self._noting("logits"))
        if generation == "v2":
            bind(runner, "prepare_inputs", self._noting("batch"))
            bind(runner, "prepare_attn", self._noting("batch.attention"))
            bind(getattr(runner, "cudagraph_manager", None), "run_fullgraph", self._before_model)
            bind(runner, "sample", self._noting("sampled"))
        elif generation == "v0":
            bind(model, "sample", self._noting("sampled"))

    def end(self) -> Fingerprint:
        """Take the hooks off that are not in the bindings, and give what was recorded."""
        while self._hooks:
            self._hooks.pop().remove()
        return self._recording.fingerprint

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        """Add a call of a swapped function, once it has returned: its arguments as they are now, and its result.

        It belongs to the step under way; between steps, as in `schedule`, to the one that comes.

        Args:
            name: as the report names it; `Class.method` tells that the first argument is the object itself.
            args: the arguments by place.
            kwargs: the arguments by name.
            result: what it returned.
        """
        self._recording.call(name, args, kwargs, result)

    # The engine core.

    def _open(self, work: Any) -> Step | None:
        """A new step; None where the model does not run."""
        if not self._loop.is_step(work):
            return None
        step = self._recording.open(work, [request.req_id for request in getattr(work, "scheduled_new_reqs", ())])
        if self._loop.generation != "v0":
            with self._recording.inside(step):
                self._recording.add("scheduler_output", work)
        return step

    def _arriving(self, add_request: Callable[..., Any]) -> Callable[..., Any]:
        """Requests have their names before anything is seen of them."""

        def recorded(request: Any, *args: Any, **kwargs: Any) -> Any:
            self._recording.arrives(request.request_id)
            return add_request(request, *args, **kwargs)

        return recorded

    def _scheduling(self, schedule: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            work = schedule(*args, **kwargs)
            self._open(work)
            return work

        return recorded

    def _updating(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(work: Any, output: Any, *args: Any, **kwargs: Any) -> Any:
            recording = self._recording
            step = recording.step_of(work)
            if step is None:
                return update(work, output, *args, **kwargs)
            with recording.inside(step):
                recording.add("model_output", output)
                result = update(work, output, *args, **kwargs)
                recording.add("outputs", result)
            recording.close(work)
            return result

        return recorded

    # The worker.

    def _executing(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(work: Any, *args: Any, **kwargs: Any) -> Any:
            step = self._recording.step_of(work)
            if step is None:
                step = self._open(work)
                self._recording.close(work)
            self._executed = step
            with self._recording.inside(step):
                result = execute(work, *args, **kwargs)
                if result is not None or self._loop.sample is None:
                    self._add_state()
            return result

        return recorded

    def _sampling(self, sample: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            with self._recording.inside(self._executed):
                result = sample(*args, **kwargs)
                self._add_state()
            return result

        return recorded

    def _add_state(self) -> None:
        for name in STATES if self._state and self._recording.is_inside else ():
            if (held := getattr(self._runner, name, None)) is not None:
                self._recording.add(f"state.{name}", held)

    def _before_model(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            self._hook(None, args, kwargs)
            return forward(*args, **kwargs)

        return recorded

    def _hook(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._recording.is_inside:  # a model that runs for nothing, to keep its neighbours company
            return
        self._recording.add("model", {**{f"arg{place}": arg for place, arg in enumerate(args)}, **kwargs})
        self._recording.add("context", _forward_context())
        batch = getattr(self._runner, "input_batch", None)
        self._recording.add("sampling", getattr(batch, "sampling_metadata", None))

    def _around_sampler(self, sample: Callable[..., Any]) -> Callable[..., Any]:
        noted = self._noting("sampled")(sample)

        def recorded(logits: Any, *args: Any, **kwargs: Any) -> Any:
            if self._recording.is_inside:
                self._recording.add("logits", logits)
            return noted(logits, *args, **kwargs)

        return recorded

    def _noting(self, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Wraps a function whose result is recorded."""

        def wrapper(call: Callable[..., Any]) -> Callable[..., Any]:
            def recorded(*args: Any, **kwargs: Any) -> Any:
                result = call(*args, **kwargs)
                if self._recording.is_inside:
                    self._recording.add(path, result)
                return result

            return recorded

        return wrapper


class _NoRunner:
    """The loop of an engine core whose runner is in another process."""

    generation = "core"
    core: Any = None
    turn: tuple[Any, str] | None = None
    runner: Any = None
    execute: tuple[Any, str] = (None, "")
    sample: tuple[Any, str] | None = None

    def is_step(self, work: Any) -> bool:
        """`work` is vLLM's SchedulerOutput."""
        return bool(work.total_num_scheduled_tokens)

    def batch(self, work: Any) -> Batch:
        """Not known without the runner's own batch."""
        raise NotImplementedError


def _forward_context() -> Any:
    """The engine's own record of this forward pass: attention metadata, slot mappings, batch descriptor."""
    module: Any = sys.modules.get("vllm.forward_context")
    try:
        return None if module is None else module.get_forward_context()
    except AssertionError:  # none is set
        return None
