"""Rows of micro-benchmarks: statements that come to the same, in columns, and what they work on."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

__all__ = ["Row", "differences"]

SHOWN = 4
"""How many items a message shows."""


@dataclass(frozen=True)
class Row:
    """One row of a table: a statement a column, to be timed, and checked to come to the same.

    Attributes:
        label: as printed.
        columns: the statement of each column; the first is what the others are held against.
        names: what statements may name.
        setup: runs before each block of repeats, and before a check; what it assigns, statements may name.
        outcome: an expression for what a column came to once its statement has run, by column; a column that is not
            there comes to its statement's own value.
        size: of a sweep, the number of items.
        repeats: so many in a block; None leaves that to the timer. For statements that change what they work on.
        note: what must be said of the row.
    """

    label: str
    columns: dict[str, str]
    names: dict[str, Any] = field(default_factory=dict)
    setup: str = "pass"
    outcome: dict[str, str] = field(default_factory=dict)
    size: int | None = None
    repeats: int | None = None
    note: str = ""

    def comes_to(self, column: str) -> torch.Tensor:
        """Run a column's statement once, and give what it came to as a tensor on the CPU."""
        # The statements are this package's own.
        namespace = dict(self.names)
        exec(self.setup, namespace)  # noqa: S102
        if column in self.outcome:
            exec(self.columns[column], namespace)  # noqa: S102
            return _tensor(eval(self.outcome[column], namespace))  # noqa: S307
        return _tensor(eval(self.columns[column], namespace))  # noqa: S307


def differences(row: Row) -> dict[str, str]:
    """Columns that do not come to what the first one comes to, and in what they differ."""
    first, *others = row.columns
    expected = row.comes_to(first)
    found = {}
    for column in others:
        outcome = row.comes_to(column)
        if outcome.shape != expected.shape:
            counts = f"{outcome.numel():,} items instead of {expected.numel():,}"
            found[column] = f"{counts}, beginning {_shown(outcome)} instead of {_shown(expected)}"
        elif not torch.equal(outcome, expected):
            found[column] = f"other values, beginning {_shown(outcome)} instead of {_shown(expected)}"
    return found


def _shown(tensor: torch.Tensor) -> str:
    items = ", ".join(str(item) for item in tensor.flatten()[:SHOWN].tolist())
    return f"[{items}{', ..' if tensor.numel() > SHOWN else ''}]"


def _tensor(value: Any) -> torch.Tensor:
    """Values alone: containers have no common type. A copy, since what it came from may be let go of."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().to(torch.int64).clone()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.astype(np.int64))
    return torch.tensor(list(value) if isinstance(value, array) else value, dtype=torch.int64)
