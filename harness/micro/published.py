"""The issue's figures, as published, by benchmark, row and column. Their source is in `harness/published/README.md`."""

from __future__ import annotations

import csv
from importlib import resources
from typing import Final, TypeAlias

from harness.micro.claims import AS_PUBLISHED

__all__ = ["Rows", "published_tables"]

TABLES: Final = {
    "to_gpu": [("list_vs_array_to_gpu.csv", {"list_ms": "list", "array_ms": AS_PUBLISHED})],
    "to_cpu": [
        ("list_to_cpu_tensor.csv", {"list_ms": "list", "list_with_array_ms": "list_with_array", "array_ms": "array"}),
        (
            "frombuffer_accepting_lists.csv",
            {"list_ms": "list", "list_with_array_ms": "list_with_array", "array_ms": "array", "array2_ms": "array2"},
        ),
    ],
    "operations": [
        ("operations.csv", {"list_ms": "list", "array_ms": "array", "numpy_ms": "numpy"}),
        ("extend_same_type.csv", {"list_ms": "list", "array_ms": "array", "numpy_ms": "numpy"}),
    ],
}
"""Which files hold a benchmark's figures, and which of their columns are which of ours. Each was measured by itself."""
RENAMED: Final = {
    ("operations.csv", "extend"): "extend, as published",
    ("extend_same_type.csv", "extend"): "extend, same type",
}
"""Rows that have another name here."""

Rows: TypeAlias = dict[str, dict[str, float]]
"""Milliseconds by row (a number of items, or an operation) and column."""


def published_tables(benchmark: str) -> list[Rows]:
    """The issue's tables; two that share no row, as those of operations, are one."""
    tables: list[Rows] = []
    for name, columns in TABLES.get(benchmark, []):
        text = (resources.files("harness") / "published" / name).read_text(encoding="utf-8")
        rows = {
            f"{int(line['n']):,}" if "n" in line else RENAMED.get((name, line["op"]), line["op"]): {
                ours: float(line[theirs]) for theirs, ours in columns.items()
            }
            for line in csv.DictReader(text.splitlines())
        }
        if tables and not rows.keys() & tables[-1].keys():
            tables[-1] |= rows
        else:
            tables.append(rows)
    return tables
