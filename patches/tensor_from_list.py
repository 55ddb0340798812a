"""Arms at the seam `tensor_from_list`. The contract is `harness.seams.tensor_from_list.TensorFromListArm`."""

from __future__ import annotations

from array import array
from typing import Final

import torch

__all__ = ["List", "ListWithArray"]

TYPECODES: Final = {torch.int32: "i", torch.int64: "q"}
"""Of the array whose items have the size of the tensor's; `l` would have 8 bytes here, and be read as 4."""


class List:
    """torch.tensor(list), item by item."""

    def tensor(self, items: list[int], dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor(items, dtype=dtype)


class ListWithArray:
    """torch.frombuffer(array(list)): one copy, and a tensor over it."""

    def tensor(self, items: list[int], dtype: torch.dtype) -> torch.Tensor:
        if not items:  # torch.frombuffer refuses an empty buffer
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(array(TYPECODES[dtype], items), dtype=dtype)
