"""An implementation of your own at the seam `slot_mapping`: a class with one method, in any file.

python -m harness run configs/slot_mapping.yaml --arms list,numpy,harness/examples/own_slots.py:Comprehension
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Comprehension"]


class Comprehension:
    """One list comprehension, then torch.tensor(list); what an arm must keep is in harness/seams/slot_contract.py."""

    takes: Literal["lists"] = "lists"  # or "arrays": the same as numpy arrays

    def slots(
        self,
        block_tables: Sequence[Sequence[int]],
        first_positions: Sequence[int],
        counts: Sequence[int],
        block_size: int,
    ) -> torch.Tensor:
        """The KV-cache slot of every token of this step, sequence after sequence."""
        slots = [
            table[position // block_size] * block_size + position % block_size
            for table, first, count in zip(block_tables, first_positions, counts, strict=True)
            for position in range(first, first + count)
        ]
        return torch.tensor(slots, dtype=torch.int64)
