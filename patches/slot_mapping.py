"""Arms at the seam `slot_mapping`. The contract is `harness.seams.slot_contract.SlotMappingArm`.

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

__all__ = ["Array", "CatFrombuffers", "ExtendArray", "List", "ListWithArray", "Numpy", "NumpyOver256"]


def append_slots(
    slot_mapping: MutableSequence[int], block_table: Sequence[int], first: int, count: int, block_size: int
) -> None:
    """Append the slots of one sequence: the loop of vLLM 0.5.4 (vllm/attention/backends/utils.py)."""
    for i in range(first, first + count):
        block_number = block_table[i // block_size]
        block_offset = i % block_size
        slot_mapping.append(block_number * block_size + block_offset)


def new_array() -> array[int]:
    """An empty array of 8-byte integers."""
    return array(INT64)


class Sequences:
    """An arm that gathers slots sequence by sequence: into which container, how, and how that becomes a tensor.

    vLLM 0.5.4 calls these three one by one, where it made a list, filled it and turned it into a tensor. Today's vLLM
    hands over the batch, so there they are called by `slots`.
    """

    takes: Literal["lists"] = "lists"
    container: Any = list
    append: Any = staticmethod(append_slots)
    tensor: Any = staticmethod(from_list)

    def slots(self, block_tables: BlockLists, first_positions: Ints, counts: Ints, block_size: int) -> torch.Tensor:
        slot_mapping, append = self.container(), self.append
        for block_table, first, count in zip(block_tables, first_positions, counts, strict=True):
            append(slot_mapping, block_table, first, count, block_size)
        result: torch.Tensor = self.tensor(slot_mapping)
        return result


class List(Sequences):
    """One Python list for the batch, then torch.tensor(list): vLLM 0.5.4's way, the issue's `list`."""

    container = list
    tensor = staticmethod(from_list)


class Array(Sequences):
    """One array.array for the batch, then torch.frombuffer(array)."""

    container = staticmethod(new_array)
    tensor = staticmethod(from_array)


class ListWithArray(Sequences):
    """One Python list for the batch, then torch.frombuffer(array(list)): the thread's last candidate."""

    container = list
    tensor = staticmethod(from_list_with_array)


class CatFrombuffers(Sequences):
    """An array.array a sequence, then torch.cat of torch.frombuffers: the issue's ablation, its `array`."""

    container = list  # of arrays
    tensor = staticmethod(joined_frombuffers)

    @staticmethod
    def append(pieces: list[array[int]], block_table: Sequence[int], first: int, count: int, block_size: int) -> None:
        slot_mapping = new_array()
        append_slots(slot_mapping, block_table, first, count, block_size)
        pieces.append(slot_mapping)


class ExtendArray(Sequences):
    """An array.array a sequence, by which one for the batch is extended; then torch.frombuffer. The issue avoids it."""

    container = staticmethod(new_array)
    tensor = staticmethod(from_array)

    @staticmethod
    def append(batch: array[int], block_table: Sequence[int], first: int, count: int, block_size: int) -> None:
        slot_mapping = new_array()
        append_slots(slot_mapping, block_table, first, count, block_size)
        batch.extend(slot_mapping)


class NumpyOver256(Sequences):
    """A list, which numpy extends for sequences of 256 slots and more, then torch.tensor(list): vLLM 0.5.5's way.

    vllm/attention/backends/utils.py after pull request 7377. The list then holds numpy's integers.
    """

    container = list
    tensor = staticmethod(from_list)

    @staticmethod
    def append(slot_mapping: list[int], block_table: Sequence[int], first: int, count: int, block_size: int) -> None:
        if count < 256:
            append_slots(slot_mapping, block_table, first, count, block_size)
            return
        position = np.arange(first, first + count)
        block_number = np.array(block_table)[position // block_size]
        slot_mapping.extend(block_number * block_size + position % block_size)


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
