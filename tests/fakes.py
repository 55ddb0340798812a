"""A clock that only moves when told, and a host without an engine: vLLM's data structures, plain Python steps.

The block table and the runner have the attributes and signatures of vLLM's V1 classes that the seam and the
instrument touch, nothing else.
"""

from __future__ import annotations

import gc
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.hosts.base import HostInfo, PassResult
from harness.instrument.calibration import Calibration
from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.finding import find_functions, those_there
from harness.instrument.instrument import Instrument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.instrument.instrumentation import Instrumentation

BLOCK_SIZE = 4
VOCABULARY = 100


class VirtualClock:
    """Nanoseconds that pass only by `advance`; each reading costs `reading_ns`."""

    def __init__(self, reading_ns: int = 0) -> None:
        self.now_ns = 0
        self.reading_ns = reading_ns

    def __call__(self) -> int:
        self.now_ns += self.reading_ns
        return self.now_ns

    def advance(self, ns: int) -> None:
        self.now_ns += ns


class Buffer:
    """vLLM's CpuGpuBuffer on a CPU: one memory under three names."""

    def __init__(self, *size: int, dtype: torch.dtype) -> None:
        self.cpu = self.gpu = torch.zeros(*size, dtype=dtype)
        self.np = self.cpu.numpy()


class BlockTable:
    """Today's signature."""

    block_size = BLOCK_SIZE

    def __init__(self, max_reqs: int = 16, max_blocks: int = 32, max_tokens: int = 512) -> None:
        self.block_table = Buffer(max_reqs, max_blocks, dtype=torch.int32)
        self.slot_mapping = Buffer(max_tokens, dtype=torch.int64)

    def compute_slot_mapping(self, num_reqs: int, query_start_loc: Any, positions: Any) -> None:
        counts = np.diff(np.asarray(query_start_loc)[: num_reqs + 1])
        sequence = np.repeat(np.arange(num_reqs), counts)
        self._write(sequence, np.asarray(positions))

    def _write(self, sequence: Any, positions: Any) -> None:
        blocks = self.block_table.np[sequence, positions // self.block_size].astype(np.int64)
        self.slot_mapping.np[: len(positions)] = blocks * self.block_size + positions % self.block_size


class OldBlockTable(BlockTable):
    """The signature of vLLM up to 0.18."""

    def compute_slot_mapping(self, req_indices: Any, positions: Any) -> None:  # type: ignore[override]
        self._write(req_indices, positions)


class UnknownBlockTable(BlockTable):
    """A signature that nobody has seen yet."""

    def compute_slot_mapping(self, batch: Any) -> None:  # type: ignore[override]
        raise AssertionError("must not be called")


class Runner:
    """A V1 runner that serves requests one step at a time: whole prompts first, then a token a step.

    `work` is done in `_prepare_inputs`, `forward` in the rest of the step.
    """

    def __init__(
        self,
        table: BlockTable | None = None,
        work: Callable[[], object] = lambda: None,
        forward: Callable[[], object] = lambda: None,
    ) -> None:
        self.table = table or BlockTable()
        self.query_start_loc = Buffer(17, dtype=torch.int32)
        self.requests: dict[str, Any] = {}
        self.input_batch = SimpleNamespace(
            block_table=SimpleNamespace(block_tables=[self.table]),
            num_reqs=0,
            req_ids=[],
            num_computed_tokens_cpu=np.zeros(16, dtype=np.int32),
            num_prompt_tokens=np.zeros(16, dtype=np.int32),
        )
        self.work, self.forward = work, forward
        self.sampled: list[int] = []
        self.blocks_of = 0
        """From which draw requests get their blocks."""

    def execute_model(self, scheduler_output: Any) -> None:
        self._prepare_inputs(scheduler_output)
        self.forward()
        slots = self.table.slot_mapping.cpu[: scheduler_output.total_num_scheduled_tokens]
        ends = np.cumsum(list(scheduler_output.num_scheduled_tokens.values())) - 1
        self.sampled = [int(slots[end]) % VOCABULARY for end in ends]  # tokens depend on the slots

    def sample_tokens(self) -> list[int]:
        return self.sampled

    def _prepare_inputs(self, scheduler_output: Any) -> None:
        self.work()
        counts = np.array(list(scheduler_output.num_scheduled_tokens.values()), dtype=np.int32)
        batch, num_reqs = self.input_batch, len(counts)
        batch.num_reqs, batch.req_ids = num_reqs, list(scheduler_output.num_scheduled_tokens)
        for row, req_id in enumerate(batch.req_ids):
            request = self.requests[req_id]
            batch.num_computed_tokens_cpu[row] = request.computed
            batch.num_prompt_tokens[row] = request.prompt
            blocks = request.block_ids[0]
            self.table.block_table.np[row, : len(blocks)] = blocks
        self.query_start_loc.np[1 : num_reqs + 1] = np.cumsum(counts)
        sequence = np.repeat(np.arange(num_reqs), counts)
        within = np.arange(len(sequence)) - (np.cumsum(counts) - counts)[sequence]
        positions = batch.num_computed_tokens_cpu[sequence] + within
        if isinstance(self.table, OldBlockTable):
            self.table.compute_slot_mapping(sequence, positions)
        else:
            self.table.compute_slot_mapping(
                num_reqs, self.query_start_loc.gpu[: num_reqs + 1], torch.from_numpy(positions)
            )

    def serve(self, lengths: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Serve (prompt, output) lengths to the end; the tokens of each request."""
        rng = np.random.default_rng(self.blocks_of)
        tokens: dict[str, list[int]] = {}
        for index, (prompt, output) in enumerate(lengths):
            blocks = -(-(prompt + output) // BLOCK_SIZE)
            ids = rng.integers(0, 1000, blocks).tolist()
            self.requests[f"r{index}"] = SimpleNamespace(prompt=prompt, output=output, computed=0, block_ids=(ids,))
            tokens[f"r{index}"] = []
        while active := [r for r, request in self.requests.items() if len(tokens[r]) < request.output]:
            scheduled = {r: (self.requests[r].prompt if not tokens[r] else 1) for r in active}
            output = SimpleNamespace(num_scheduled_tokens=scheduled, total_num_scheduled_tokens=sum(scheduled.values()))
            self.execute_model(output)
            for r, token in zip(active, self.sample_tokens(), strict=True):
                tokens[r].append(token)
                self.requests[r].computed += scheduled[r]
        self.requests.clear()
        return list(tokens.values())


def checked(instrument: Instrument, serve: Callable[[], object], *schedules: Sequence[int]) -> list[dict[str, Any]]:
    """Checking passes: native's, which must repeat itself, and then one by each schedule; what these gave."""
    results = []
    for schedule in [[0]] * NATIVE_PASSES + list(schedules):
        instrument.begin("check", schedule)
        serve()
        results.append(instrument.end())
        assert results[-1]["unrestored"] == []
    of_native = [found for result in results[:NATIVE_PASSES] for found in result["mismatches"]]
    assert not [found for found in of_native if found["step"] is not None]
    return results[NATIVE_PASSES:]


class FakeHost:
    """A host on the runner above, with the real instrument.

    `before_pass(index, host)` may raise or change things, to play faults.
    """

    def __init__(
        self,
        clock: Any = None,
        runner: Runner | None = None,
        before_pass: Callable[..., None] = lambda index, host: None,
    ) -> None:
        gc.freeze()  # every pass begins with a collection, which would go through all of torch's objects each time
        self.runner = runner or Runner()
        self.clock = clock or VirtualClock(reading_ns=10)
        self.before_pass = before_pass
        self.engine_args: dict[str, Any] = {"model": "/somewhere/none"}
        self.environment: dict[str, str] = {}
        self.passes: list[str] = []
        self.admits: list[bool] = []
        self.stopped = False
        self.instrument: Instrument | None = None

    def start(self) -> HostInfo:
        details = {"process": "in_process", "torch_threads": 1, "dtype": "float32", "block_size": [BLOCK_SIZE]}
        return HostInfo("fake", "1.0", "Runner", "cpu", "NoModel", VOCABULARY, 100, 1, details)

    def install(self, instrumentation: Instrumentation) -> Calibration:
        now = lambda: getattr(self.clock, "now_ns", 0)  # noqa: E731
        self.instrument = Instrument(self.runner, instrumentation, self.clock, cpu_clock=now)
        return Calibration(inside_ns=0.0, outside_ns=0.0, spread_ns=0.0)

    def switched(self) -> dict[str, Any]:
        assert self.instrument is not None
        return self.instrument.describe()

    def focus(self, scope: str, probes: Sequence[str]) -> None:
        assert self.instrument is not None
        self.instrument.focus(scope, probes)

    def there(self, names: Sequence[str]) -> list[str]:
        return those_there(names)

    def find(self, pattern: str) -> list[str]:
        return find_functions(pattern)

    def time_elsewhere(self, wanted: bool) -> dict[str, Any]:
        """All of it is in this process."""
        return {}

    def look_into(self, names: Sequence[str], depth: int) -> None:
        assert self.instrument is not None
        self.instrument.beside.look_into(names, depth)

    def time_lines(self, names: Sequence[str]) -> None:
        assert self.instrument is not None
        self.instrument.beside.time_lines(names)

    def checked(self) -> dict[str, Any]:
        assert self.instrument is not None
        return self.instrument.checked

    def fingerprint(self) -> list[list[Any]]:
        assert self.instrument is not None
        return [list(row) for row in self.instrument.fingerprint]

    def recover(self) -> bool:
        self.partial()
        self.runner.requests.clear()
        return True

    def run_pass(self, kind: Any, schedule: Any, requests: Any, probed: Any = ()) -> PassResult:
        assert self.instrument is not None
        if kind != "soil":  # they come before each checking pass, and nothing is told of them
            self.passes.append(kind)
        self.runner.blocks_of = int(kind == "soil")  # as `pristine.reset` has the engine hand out others
        self.instrument.begin(kind, schedule, probed)
        if kind != "soil":
            self.before_pass(len(self.passes) - 1, self)
        tokens = self.runner.serve([(len(r.prompt_token_ids), r.output_tokens) for r in requests])
        return PassResult(tokens=tokens, **self.instrument.end())

    def admit_profiler(self) -> int:
        self.admits.append(True)
        return os.getpid()

    def dismiss_profiler(self) -> None:
        self.admits.append(False)

    def partial(self) -> PassResult | None:
        if self.instrument is None or not self.instrument.under_way:
            return None
        return PassResult(tokens=None, **self.instrument.end())

    def stop(self) -> None:
        self.stopped = True
        if self.instrument is not None and self.instrument.under_way:  # a test kept the pass from being ended
            self.instrument.end(cut=True)


class Silent:
    """An observer that shows nothing and remembers."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.advanced = 0
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stage(self, name: str, passes: int, seconds: float | None = None) -> None:
        self.stages.append((name, passes))

    def advance(self) -> None:
        self.advanced += 1
