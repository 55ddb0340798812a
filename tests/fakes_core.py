"""An engine core without an engine: a scheduler with blocks, a V1 runner with a model, turns with and without a queue.

Names and calls are those of vLLM's classes that the recorder and the reset touch, nothing else.
"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCKS = 12


class Block:
    def __init__(self, block_id: int) -> None:
        self.block_id, self.is_null = block_id, False
        self.prev_free_block: Any = None
        self.next_free_block: Any = None


class FreeQueue:
    """vLLM's is a linked list; what counts is the order, and that its maker takes blocks."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        assert all(block.prev_free_block is None and block.next_free_block is None for block in blocks)
        self.blocks = list(blocks)
        for before, after in zip(self.blocks, self.blocks[1:], strict=False):
            before.next_free_block, after.prev_free_block = after, before


class BlockPool:
    def __init__(self, enable_caching: bool = False) -> None:
        self.num_gpu_blocks, self.enable_caching = BLOCKS, enable_caching
        self.blocks = [Block(block_id) for block_id in range(BLOCKS)]
        self.blocks[0].is_null = True
        self.free_block_queue = FreeQueue(self.blocks[1:])

    def get_num_free_blocks(self) -> int:
        return len(self.free_block_queue.blocks)


class Scheduler:
    """A request takes one block, then gives it back at the queue's end."""

    def __init__(self, enable_caching: bool = False) -> None:
        self.kv_cache_manager = SimpleNamespace(block_pool=BlockPool(enable_caching))
        self.waiting: list[SimpleNamespace] = []
        self.running: list[SimpleNamespace] = []
        self.finished_req_ids: set[str] = set()
        self.cache_resets = 0
        self.picks: Callable[[list[str]], object] = lambda names: None

    def add(self, req_id: str, length: int) -> None:
        self.waiting.append(SimpleNamespace(req_id=req_id, left=length, untold=length, block=None))

    def has_unfinished_requests(self) -> bool:
        return bool(self.waiting or self.running)

    def has_requests(self) -> bool:
        return self.has_unfinished_requests() or bool(self.finished_req_ids)

    def reset_prefix_cache(self) -> bool:
        self.cache_resets += 1
        return True

    def schedule(self) -> SimpleNamespace:
        new, self.waiting = self.waiting[:2], self.waiting[2:]
        queue = self.kv_cache_manager.block_pool.free_block_queue
        for request in new:
            request.block = queue.blocks.pop(0)
        self.running += new
        self.picks([request.req_id for request in self.running])
        scheduled = {request.req_id: 1 for request in self.running if request.left}
        for request in self.running:
            request.left -= bool(request.left)
        finished, self.finished_req_ids = self.finished_req_ids, set()
        given = [SimpleNamespace(req_id=request.req_id, blocks=[request.block.block_id]) for request in new]
        return SimpleNamespace(
            scheduled_new_reqs=given,
            num_scheduled_tokens=scheduled,
            total_num_scheduled_tokens=len(scheduled),
            finished_req_ids=finished,
            scheduled_time=object(),
        )  # fmt: skip

    def update_from_output(self, work: Any, output: Any) -> dict[int, Any]:
        for request in [request for request in self.running if request.req_id in work.num_scheduled_tokens]:
            request.untold -= 1
            if not request.untold:
                self.running.remove(request)
                self.kv_cache_manager.block_pool.free_block_queue.blocks.append(request.block)
                self.finished_req_ids.add(request.req_id)
        return {0: SimpleNamespace(tokens=output.tokens.tolist(), timestamp=object())}


class Model(torch.nn.Module):
    def forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return (input_ids + positions).float()


class Runner:
    """V1: one buffer for all steps' inputs, and a row for each request that lives."""

    def __init__(self) -> None:
        self.model: Any = Model()
        self.input_ids = torch.zeros(8, dtype=torch.int32)
        self.input_batch = SimpleNamespace(
            req_ids=[], done=torch.zeros(8, dtype=torch.int32), sampling_metadata=SimpleNamespace(all_greedy=True)
        )
        self._left: torch.Tensor | None = None
        self.wrong: Callable[[torch.Tensor], object] = lambda inputs: None

    def execute_model(self, work: Any) -> Any:
        batch = self.input_batch
        batch.req_ids = [name for name in batch.req_ids if name not in work.finished_req_ids]
        batch.req_ids += [request.req_id for request in work.scheduled_new_reqs]
        count = work.total_num_scheduled_tokens
        if not count:
            return SimpleNamespace(tokens=torch.zeros(0))
        batch.done[:count] += 1
        self.input_ids[:count] = torch.arange(count) + batch.done[:count]
        self.wrong(self.input_ids)
        self._left = self._model_forward(input_ids=self.input_ids[:count], positions=torch.arange(count))
        return None

    def _model_forward(self, **inputs: Any) -> torch.Tensor:
        result: torch.Tensor = self.model(**inputs)
        return result

    def sample_tokens(self, grammar: Any = None) -> SimpleNamespace:
        assert self._left is not None
        return SimpleNamespace(tokens=self._sample(self._left, None))

    def _sample(self, logits: torch.Tensor, spec: Any) -> torch.Tensor:
        return logits.long()


class EngineCore:
    def __init__(self, runner: Any = None, asynchronous: bool = False, enable_caching: bool = False) -> None:
        self.scheduler = Scheduler(enable_caching)
        self.runner = runner or Runner()
        self.batch_queue: deque[tuple[Any, Any]] | None = deque() if asynchronous else None
        self.step_fn = self.step_with_batch_queue if asynchronous else self.step
        self.turns = 0

    def _execute(self, work: Any) -> Any:
        output = self.runner.execute_model(work)
        return self.runner.sample_tokens(None) if output is None else output

    def step(self) -> Any:
        self.turns += 1
        if not self.scheduler.has_requests():
            return {}
        work = self.scheduler.schedule()
        return self.scheduler.update_from_output(work, self._execute(work))

    def step_with_batch_queue(self) -> Any:
        self.turns += 1
        assert self.batch_queue is not None
        if self.scheduler.has_requests():
            work = self.scheduler.schedule()
            self.batch_queue.appendleft((self._execute(work), work))
            if len(self.batch_queue) < 2 and work.total_num_scheduled_tokens:
                return None
        elif not self.batch_queue:
            return None
        output, work = self.batch_queue.pop()
        return self.scheduler.update_from_output(work, output)

    def collective_rpc(self, method: Callable[[], Any]) -> Any:
        return method()

    def serve(self, prefix: str, lengths: Sequence[int]) -> None:
        """Serve requests to the end, as vLLM's client does: the last turn that tells of it is not taken."""
        for index, length in enumerate(lengths):
            self.scheduler.add(f"{prefix}{index}", length)
        while self.scheduler.has_unfinished_requests():
            self.step_fn()
