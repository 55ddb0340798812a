"""A V2 runner without an engine: the state of vLLM's V2 classes that are touched, and its kernel in numpy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

PAD = -1
MAX_REQS, MAX_BLOCKS, MAX_TOKENS = 8, 16, 256


class BlockTables:
    """vLLM's, for several KV-cache groups; `device` may be `meta`, where nothing can be read."""

    def __init__(self, block_sizes: Sequence[int], enabled: Sequence[bool] | None = None, device: str = "cpu") -> None:
        self.block_sizes = list(block_sizes)
        self._slot_mapping_enabled = list(enabled or [True] * len(block_sizes))
        self.block_tables = [
            SimpleNamespace(gpu=torch.zeros(MAX_REQS, MAX_BLOCKS, dtype=torch.int32, device=device))
            for _ in block_sizes
        ]
        self.num_blocks = np.zeros((len(block_sizes), MAX_REQS), dtype=int)
        self.slot_mappings = torch.zeros(len(block_sizes), MAX_TOKENS, dtype=torch.int64, device=device)
        self.calls = 0

    def append_block_ids(self, req_index: int, new_block_ids: Any, overwrite: bool) -> None:
        for group, block_ids in enumerate(new_block_ids):
            start = 0 if overwrite else self.num_blocks[group, req_index]
            end = self.num_blocks[group, req_index] = start + len(block_ids)
            self.block_tables[group].gpu[req_index, start:end] = torch.tensor(block_ids, dtype=torch.int32)

    def compute_slot_mappings(
        self, idx_mapping: Any, query_start_loc: Any, positions: Any, num_tokens_padded: int, out: Any = None
    ) -> torch.Tensor:
        self.calls += 1
        target = self.slot_mappings if out is None else out
        if target.device.type == "meta":
            return target[:, :num_tokens_padded]
        target.fill_(PAD)
        sequence = np.repeat(np.arange(len(idx_mapping)), np.diff(query_start_loc))
        positions = np.asarray(positions)
        for group, block_size in enumerate(self.block_sizes):
            if self._slot_mapping_enabled[group]:
                table = self.block_tables[group].gpu.numpy()[np.asarray(idx_mapping)]
                slots = table[sequence, positions // block_size] * block_size + positions % block_size
                target[group, : len(slots)] = torch.from_numpy(slots.astype(np.int64))
        return target[:, :num_tokens_padded]


class V2Runner:
    """Prepares in two methods, from rows that requests keep as long as they live."""

    def __init__(self, tables: BlockTables | None = None) -> None:
        self.block_tables = tables or BlockTables([4])
        self.req_states = SimpleNamespace(
            req_id_to_index={},
            num_computed_tokens_np=np.zeros(MAX_REQS, dtype=np.int32),
            num_computed_prefill_tokens=np.zeros(MAX_REQS, dtype=np.int32),
            prefill_len=SimpleNamespace(np=np.zeros(MAX_REQS, dtype=np.int32)),
        )
        self.num_speculative_steps = 0
        self.pcp_manager = None
        self.mapped: torch.Tensor | None = None

    def execute_model(self, work: Any) -> None:
        for req_id, (prompt, blocks) in work.new.items():
            free = set(range(MAX_REQS)) - set(self.req_states.req_id_to_index.values())
            row = self.req_states.req_id_to_index[req_id] = max(free)
            self.req_states.prefill_len.np[row] = prompt
            self.req_states.num_computed_tokens_np[row] = self.req_states.num_computed_prefill_tokens[row] = 0
            self.block_tables.append_block_ids(row, blocks, overwrite=True)
        for req_id, blocks in work.more_blocks.items():
            self.block_tables.append_block_ids(self.req_states.req_id_to_index[req_id], blocks, overwrite=False)
        _, self.mapped = self.prepare_attn(self.prepare_inputs(work))

    def sample_tokens(self) -> None:
        pass

    def prepare_inputs(self, work: Any) -> Any:
        rows = np.array(
            [self.req_states.req_id_to_index[req_id] for req_id in work.num_scheduled_tokens], dtype=np.intp
        )
        counts = np.array(list(work.num_scheduled_tokens.values()), dtype=np.int32)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        first = self.req_states.num_computed_tokens_np[rows]
        positions = np.concatenate([np.arange(f, f + c) for f, c in zip(first, counts, strict=True)])
        device = self.block_tables.slot_mappings.device
        return SimpleNamespace(
            idx_mapping_np=rows, num_scheduled_tokens=counts,
            idx_mapping=torch.from_numpy(rows).to(device), query_start_loc=torch.from_numpy(starts).to(device),
            positions=torch.from_numpy(positions).to(device),
        )  # fmt: skip

    def prepare_attn(self, batch: Any) -> Any:
        mapped = self.block_tables.compute_slot_mappings(
            batch.idx_mapping, batch.query_start_loc, batch.positions, num_tokens_padded=len(batch.positions)
        )
        return (), mapped

    def step(self, scheduled: dict[str, int], new: Any = None, more_blocks: Any = None) -> None:
        """One step: tokens of each request, new ones as {id: (prompt length, blocks a group)}, further blocks."""
        self.execute_model(
            SimpleNamespace(
                num_scheduled_tokens=scheduled, total_num_scheduled_tokens=sum(scheduled.values()),
                new=new or {}, more_blocks=more_blocks or {},
            )
        )  # fmt: skip
        self.sample_tokens()
        for req_id, count in scheduled.items():
            row = self.req_states.req_id_to_index[req_id]
            states = self.req_states
            states.num_computed_tokens_np[row] += count
            done = min(states.num_computed_tokens_np[row], states.prefill_len.np[row])
            states.num_computed_prefill_tokens[row] = done

    def finish(self, req_id: str) -> None:
        self.req_states.req_id_to_index.pop(req_id)
