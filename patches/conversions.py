"""From a Python container to an int64 CPU tensor: what arms differ in, and what the micro-benchmarks time alone."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    IntArray: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

__all__ = [
    "INT64",
    "from_array",
    "from_list",
    "from_list_or_array",
    "from_list_with_array",
    "from_numpy",
    "guarded_from_array",
    "joined_frombuffers",
]

INT64 = "q"  # not "l": that is 8 bytes here and 4 bytes elsewhere


def from_list(items: list[int]) -> torch.Tensor:
    """Copy item by item: vLLM 0.5.4's way, the issue's `list`."""
    return torch.tensor(items, dtype=torch.int64)


def from_array(items: array[int]) -> torch.Tensor:
    """A tensor over the array's own memory, so the array must not grow after this (torch does not notice)."""
    if not items:  # torch.frombuffer refuses an empty buffer
        return torch.empty(0, dtype=torch.int64)
    return torch.frombuffer(items, dtype=torch.int64)


def guarded_from_array(items: array[int]) -> torch.Tensor:
    """The same, and as long as the tensor lives, the array refuses to grow (BufferError).

    torch.frombuffer releases the buffer at once and keeps only the object that it came from; a memoryview in between is
    such an object, and holds the buffer.
    """
    if not items:
        return torch.empty(0, dtype=torch.int64)
    return torch.frombuffer(memoryview(items), dtype=torch.int64)


def from_list_with_array(items: list[int]) -> torch.Tensor:
    """Into an array, then a tensor over that: the thread's last candidate."""
    return from_array(array(INT64, items))


def from_list_or_array(items: list[int] | array[int]) -> torch.Tensor:
    """The thread's `array2`, a torch.frombuffer that also takes lists; here a function of its own, torch unchanged."""
    return from_array(items if isinstance(items, array) else array(INT64, items))


def from_numpy(items: IntArray) -> torch.Tensor:
    """A tensor over the numpy array's own memory."""
    return torch.from_numpy(items)


def joined_frombuffers(pieces: Iterable[array[int]]) -> torch.Tensor:
    """One tensor from many arrays: torch.cat of torch.frombuffers."""
    tensors = [from_array(piece) for piece in pieces]
    return torch.cat(tensors) if tensors else torch.empty(0, dtype=torch.int64)
