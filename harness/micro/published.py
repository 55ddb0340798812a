"""The issue's figures, as published, by benchmark, row and column. Their source is in `published/README.md`."""

from __future__ import annotations

import csv
from importlib import resources
from typing import Final

from harness.micro.claims import AS_PUBLISHED

__all__ = ["published_ms"]

TABLES: Final = {
    "to_gpu": {"list_vs_array_to_gpu.csv": {"list_ms": "list", "array_ms": AS_PUBLISHED}},
    "to_cpu": {
        "list_to_cpu_tensor.csv": {"list_ms": "list", "list_with_array_ms": "list_with_array", "array_ms": "array"},
        "frombuffer_accepting_lists.csv": {"array2_ms": "array2"},
    },
    "operations": {
        "operations.csv": {"list_ms": "list", "array_ms": "array", "numpy_ms": "numpy"},
        "extend_same_type.csv": {"list_ms": "list", "array_ms": "array", "numpy_ms": "numpy"},
    },
}
"""Which file holds a benchmark's figures, and which of its columns are which of ours."""
RENAMED: Final = {
    ("operations.csv", "extend"): "extend, as published",
    ("extend_same_type.csv", "extend"): "extend, same type",
}
"""Rows that have another name here."""


def published_ms(benchmark: str) -> dict[str, dict[str, float]]:
    """By row (a number of items, or an operation) and column; empty where the issue has no such table."""
    rows: dict[str, dict[str, float]] = {}
    for name, columns in TABLES.get(benchmark, {}).items():
        text = (resources.files("harness.micro") / "published" / name).read_text(encoding="utf-8")
        for line in csv.DictReader(text.splitlines()):
            label = f"{int(line['n']):,}" if "n" in line else RENAMED.get((name, line["op"]), line["op"])
            row = rows.setdefault(label, {})
            row |= {ours: float(line[theirs]) for theirs, ours in columns.items()}
    return rows
