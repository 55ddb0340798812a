"""Rows of micro-benchmarks: statements with the same result, in columns, and what they work on."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["Row", "differences"]

SHOWN = 4
"""How many items a message shows."""


@dataclass(frozen=True)
class Row:
    """One row of a table: a statement a column, to be timed, and checked to give the same result.

    Attributes:
        label: as printed.
        columns: the statement of each column; the first is what the others are compared with.
        names: what statements may name.
        setup: runs before each block of repeats, and before a check; what it assigns, statements may name.
        outcome: an expression for a column's result once its statement has run, by column; a column that is not there
            has its statement's own value as result.
        size: of a sweep, the number of items.
        repeats: how many in a block; None leaves that to the timer. For statements that change what they work on.
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

    def comes_to(self, column: str) -> Any:
        """Run a column's statement once, and give its result: a tensor, a container or a number."""
        # The statements are this package's own.
        namespace = dict(self.names)
        exec(self.setup, namespace)  # noqa: S102
        if column in self.outcome:
            exec(self.columns[column], namespace)  # noqa: S102
            return eval(self.outcome[column], namespace)  # noqa: S307
        return eval(self.columns[column], namespace)  # noqa: S307


def differences(row: Row) -> dict[str, str]:
    """Columns whose result is not the first one's, and how it differs."""
    first, *others = row.columns
    expected = row.comes_to(first)
    found = {}
    for column in others:
        if why := _difference(expected, row.comes_to(column)):
            found[column] = why
    return found


def _difference(expected: Any, outcome: Any) -> str:
    """How one result differs from the other; tensors also in type and device, which containers do not have."""
    if isinstance(expected, torch.Tensor) and isinstance(outcome, torch.Tensor):
        for attribute in ("dtype", "device"):
            ours, theirs = getattr(outcome, attribute), getattr(expected, attribute)
            if ours != theirs:
                return f"{str(ours).removeprefix('torch.')} instead of {str(theirs).removeprefix('torch.')}"
    expected, outcome = _values(expected), _values(outcome)
    beginning = f"beginning {_shown(outcome)} instead of {_shown(expected)}"
    if outcome.shape != expected.shape:
        return f"{outcome.numel():,} items instead of {expected.numel():,}, {beginning}"
    return "" if torch.equal(outcome, expected) else f"other values, {beginning}"


def _shown(tensor: torch.Tensor) -> str:
    items = ", ".join(str(item) for item in tensor.flatten()[:SHOWN].tolist())
    return f"[{items}{', ..' if tensor.numel() > SHOWN else ''}]"


def _values(value: Any) -> torch.Tensor:
    """As a tensor on the CPU; integers as int64. A copy, since what it came from may be let go of."""
    if isinstance(value, array):
        value = list(value)
    tensor = torch.as_tensor(value).detach().cpu().clone()
    return tensor if tensor.is_floating_point() else tensor.to(torch.int64)
