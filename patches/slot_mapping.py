"""Arms at the seam `slot_mapping`. The contract is `harness.seams.slot_mapping.SlotMappingArm`.

What differs from arm to arm is only the container that slots are gathered in, and how it becomes a tensor
(`patches.conversions`).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from patches.conversions import INT64, from_array, from_list, from_list_with_array, from_numpy, joined_frombuffers

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

    import torch

    BlockLists: TypeAlias = Sequence[Sequence[int]]
    Ints: TypeAlias = Sequence[int]
    IntArray: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any]]]

__all__ = ["Array", "CatFrombuffers", "List", "ListWithArray", "Numpy"]


def append_slots(
    slot_mapping: MutableSequence[int], block_table: Sequence[int], first: int, count: int, block_size: int
) -> None:
    """Append the slots of one sequence: the loop of vLLM 0.5.4 (vllm/attention/backends/utils.py)."""
    for i in range(first, first + count):
        block_number = block_table[i // block_size]
        block_offset = i % block_size
        slot_mapping.append(block_number * block_size + block_offset)


class List:
    """One Python list for the batch, then torch.tensor(list): vLLM 0.5.4's way, the issue's `list`."""

    takes: Literal["lists"] = "lists"

    def slots(self, block_tables: BlockLists, first_positions: Ints, counts: Ints, block_size: int) -> torch.Tensor:
        slot_mapping: list[int] = []
        for block_table, first, count in zip(block_tables, first_positions, counts, strict=True):
            append_slots(slot_mapping, block_table, first, count, block_size)
        return from_list(slot_mapping)


class Array:
    """One array.array for the batch, then torch.frombuffer(array)."""

    takes: Literal["lists"] = "lists"

    def slots(self, block_tables: BlockLists, first_positions: Ints, counts: Ints, block_size: int) -> torch.Tensor:
        slot_mapping = array(INT64)
        for block_table, first, count in zip(block_tables, first_positions, counts, strict=True):
            append_slots(slot_mapping, block_table, first, count, block_size)
        return from_array(slot_mapping)


class ListWithArray:
    """One Python list for the batch, then torch.frombuffer(array(list)): the thread's last candidate."""

    takes: Literal["lists"] = "lists"

    def slots(self, block_tables: BlockLists, first_positions: Ints, counts: Ints, block_size: int) -> torch.Tensor:
        slot_mapping: list[int] = []
        for block_table, first, count in zip(block_tables, first_positions, counts, strict=True):
            append_slots(slot_mapping, block_table, first, count, block_size)
        return from_list_with_array(slot_mapping)


class CatFrombuffers:
    """An array.array a sequence, then torch.cat of torch.frombuffers: the issue's ablation, its `array`."""

    takes: Literal["lists"] = "lists"

    def slots(self, block_tables: BlockLists, first_positions: Ints, counts: Ints, block_size: int) -> torch.Tensor:
        pieces: list[array[int]] = []
        for block_table, first, count in zip(block_tables, first_positions, counts, strict=True):
            slot_mapping = array(INT64)
            append_slots(slot_mapping, block_table, first, count, block_size)
            pieces.append(slot_mapping)
        return joined_frombuffers(pieces)


class Numpy:
    """Whole-batch numpy on the block table that vLLM keeps as a numpy array anyway; no loop, no list."""

    takes: Literal["arrays"] = "arrays"

    def slots(
        self, block_tables: IntArray, first_positions: IntArray, counts: IntArray, block_size: int
    ) -> torch.Tensor:
        sequence = np.repeat(np.arange(len(counts)), counts)
        starts = np.cumsum(counts) - counts  # index of each sequence's first token in the batch
        position = np.arange(len(sequence)) + (first_positions - starts)[sequence]
        block_number = block_tables[sequence, position // block_size].astype(np.int64)
        return from_numpy(block_number * block_size + position % block_size)
