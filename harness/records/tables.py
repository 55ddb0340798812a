"""Tables of a run's folder: parquet in, numpy out; one that is torn or of another shape is left out and named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from harness.instrument.counters import COUNTERS, SYNCHRONISATIONS
from harness.instrument.device_columns import DEVICE_COLUMNS
from harness.records.checked import cut_reason
from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    Columns: TypeAlias = Mapping[str, NDArray[Any]]
    """A table: an array a column, all of the same length. A pandas frame works too: it has columns by name."""

__all__ = ["BESIDE", "Shape", "as_columns", "join_tables", "passes_shape", "read_table"]

OF_STEPS: Final = ("step", "pass", "group")
OF_PASSES: Final = (
    *OF_STEPS, "execute_ns", "sample_ns", "gc_collections", "page_faults", "involuntary_switches",
)  # fmt: skip
TIMED: Final = ("calls", "total_ns", "self_ns", "nested_calls")
"""What a probed step has of the scope and of every probe."""
LARGEST: Final = 2.0**53
"""Whole numbers up to this are exact as floats; no time and no count comes near."""
LONGEST_TEXT: Final = 300
"""Characters of a text, at most: names, and lines of source, which are cut where they are taken."""
CELLS: Final = 2**28
"""Values of a table, at most."""


class Shape:
    """What a table must have to be what its name says.

    Args:
        numbers: columns of numbers, none of them missing.
        flags: likewise of yes and no.
        if_probed: columns of numbers that are there where a step was probed; only passes have any.
        arms: the names that may stand in its column `arm`; any where None.
        texts: columns of text; `arm` is one in most.
    """

    def __init__(
        self,
        numbers: Iterable[str],
        flags: Iterable[str] = (),
        if_probed: Iterable[str] = (),
        arms: Iterable[str] | None = None,
        texts: Iterable[str] = ("arm",),
    ) -> None:
        self.numbers, self.flags, self.if_probed = tuple(numbers), tuple(flags), tuple(if_probed)
        self.texts = tuple(texts)
        self.arms = None if arms is None else frozenset(arms)

    def fault(self, table: pa.Table) -> str:
        """What is wrong with a table, in words; empty where nothing is."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if len(set(table.column_names)) < len(table.column_names):
            return "a column is there twice"
        for name in (*self.texts, *self.flags, *self.numbers):
            if name not in table.column_names:
                return f"column {name!r} is missing"
            if table[name].null_count:
                return f"column {name!r} has gaps"
        if self.if_probed and pc.any(table["probed"]).as_py():
            probed = table.filter(table["probed"])
            for name in self.if_probed:
                if name not in table.column_names:
                    return f"column {name!r} is missing"
                if probed[name].null_count:
                    return f"column {name!r} has gaps in probed steps"
        for name in table.column_names:
            wanted = "text" if name in self.texts else "yes or no" if name in self.flags else "numbers"
            if (found := _kind(table.schema.field(name).type)) != wanted:
                return f"column {name!r} holds {found} instead of {wanted}"
            if wanted == "numbers" and not _in_bounds(table[name]):
                return f"column {name!r} holds numbers that are none of a measurement"
        for name in self.texts:
            held = pa.chunked_array(table[name]).unique().to_pylist()
            if name == "arm" and self.arms is not None and not self.arms.issuperset(held):
                return "column 'arm' names arms that the config does not have"
            if any(len(text) > LONGEST_TEXT for text in held):
                return f"column {name!r} holds texts of more than {LONGEST_TEXT} characters"
        return ""


def passes_shape(probes: Sequence[str]) -> Shape:
    """Of a table of passes with these probes."""
    timed = [f"{name}.{part}" for name in ("scope", *probes) for part in TIMED]
    return Shape(OF_PASSES, ["probed"], timed)


class Beside(NamedTuple):
    """The columns of a table beside the passes: of numbers, of yes and no, and of text."""

    numbers: tuple[str, ...]
    flags: tuple[str, ...] = ()
    texts: tuple[str, ...] = ("arm",)


BESIDE: Final = {
    "counters": Beside(("step", *(name for name in COUNTERS if name != SYNCHRONISATIONS))),
    "probing": Beside(("group", "step", "scope_ns", "calls"), ("probed",)),
    "device": Beside(("step", "pass", *DEVICE_COLUMNS)),
    "ceilings": Beside(("group", "step", "scope_ns", "step_ns")),
    "memory": Beside(("step", "calls", "objects"), texts=("counted", "name")),
    "processes": Beside(("group", "step", "calls", "nested_calls", "self_ns"), texts=("process", "name")),
    "exposed": Beside(("group", "pass", "step", "turn_ns", "planted_ns"), texts=("name",)),
    "lines": Beside(("line", "hits", "ns"), texts=("name", "text")),
}
"""Tables beside the passes, by the name of their file and of their place in `Records`."""


def read_table(file: Path, name: str, shape: Shape, unreadable: dict[str, str]) -> pa.Table | None:
    """One table; None where it cannot be read or is of another shape, with the reason in `unreadable` under `name`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():
        unreadable[name] = "it is no file"
        return None
    try:
        opened = pq.ParquetFile(file, memory_map=True)
        about = opened.metadata
        if about.num_rows * about.num_columns > CELLS:
            unreadable[name] = f"it has {about.num_rows:,} rows and {about.num_columns:,} columns"
            return None
        table = opened.read(use_threads=False)
        fault = shape.fault(table)
        table = table if fault else _usual_types(table)
    except (OSError, MemoryError, UnicodeDecodeError, pa.ArrowException) as error:
        unreadable[name] = cut_reason(error)
        return None
    if fault:
        unreadable[name] = fault
        return None
    return table


def _usual_types(table: pa.Table) -> pa.Table:
    """Whole numbers as int64 and others as float64: small types overflow in sums."""
    import pyarrow as pa

    usual = [
        field.with_type(pa.int64() if pa.types.is_integer(field.type) else pa.float64())
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(usual))


def join_tables(tables: list[pa.Table]) -> list[pa.Table]:
    """The tables as one, if there are any; columns that one of them lacks are null in it."""
    if len(tables) < 2:
        return tables
    import pyarrow as pa

    return [pa.concat_tables(tables, promote_options="permissive").combine_chunks()]


def as_columns(tables: Iterable[pa.Table]) -> Columns:
    """The columns of a table as arrays; none where there is no table."""
    return {name: _array(table[name].combine_chunks()) for table in tables for name in table.column_names}


def _array(column: pa.Array) -> NDArray[Any]:
    """A column by DLPack, since pyarrow's own `to_numpy` imports pandas first, which takes longer than all the rest."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        encoded = column.dictionary_encode()
        names = np.array([one_line(text) for text in encoded.dictionary.to_pylist()], dtype=object)
        return np.asarray(names[np.from_dlpack(encoded.indices)])
    if column.null_count:
        column = column.cast(pa.float64()).fill_null(np.nan)
    if pa.types.is_boolean(column.type):
        return np.asarray(np.from_dlpack(column.cast(pa.uint8())), dtype=bool)
    return np.asarray(np.from_dlpack(column))


def _kind(of: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_string(of) or pa.types.is_large_string(of):
        return "text"
    if pa.types.is_boolean(of):
        return "yes or no"
    return "numbers" if pa.types.is_integer(of) or pa.types.is_floating(of) else str(of)[:60]


def _in_bounds(column: pa.ChunkedArray) -> bool:
    """Whether all numbers of a column are finite and exact as floats."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type) and not pc.all(pc.is_finite(column)).as_py() and len(column) > 0:
        return False
    limits = pc.min_max(column).as_py()
    return limits["min"] is None or (limits["min"] >= -LARGEST and limits["max"] <= LARGEST)
