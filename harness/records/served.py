"""What a launch at launch grain wrote of what it served, read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import RecordsError
from harness.records.checked import cut_reason, read_json

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_served"]


def read_served(folder: Path) -> tuple[list[tuple[int, str, str]], Any]:
    """The rows (step, field, text) of native's fingerprint, and its tokens by request.

    Raises:
        RecordsError: they are not there, or cannot be read.
    """
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(folder / "fingerprint.parquet", columns=["step", "field", "text"])
        rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        return rows, read_json(folder / "tokens.json")
    except FileNotFoundError as error:
        raise RecordsError(f"{folder}: has not written what it served") from error
    except Exception as error:  # pyarrow has errors of its own
        raise RecordsError(f"{folder}: what it served cannot be read: {cut_reason(error)}") from error
