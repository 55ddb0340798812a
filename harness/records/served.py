"""What a launch at launch grain wrote of what it served, read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import RecordsError
from harness.paths import is_file
from harness.records.agreement import Answers
from harness.records.checked import cut_reason, read_json

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_served"]


def read_served(folder: Path) -> tuple[list[tuple[int, str, str]], Answers]:
    """The rows (step, field, text) of native's fingerprint, and its answers.

    Raises:
        RecordsError: they are not there, or cannot be read.
    """
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(folder / "fingerprint.parquet", columns=["step", "field", "text"])
        rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        file = folder / "answers.json"
        beside = read_json(file) if is_file(file) else {"texts": [], "logprobs": []}
        return rows, Answers(read_json(folder / "tokens.json"), beside["texts"], beside["logprobs"])
    except FileNotFoundError as error:
        raise RecordsError(f"{folder}: has not written what it served") from error
    except Exception as error:  # pyarrow has errors of its own
        raise RecordsError(f"{folder}: what it served cannot be read: {cut_reason(error)}") from error
