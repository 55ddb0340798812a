"""What micro.json holds: checked once, where it is read, whoever wrote it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["MICRO_SCHEMA", "MicroFile"]

MICRO_SCHEMA: Final = 1
COLUMNS: Final = {
    "to_gpu": {"array"},
    "to_cpu": {"array", "array2", "list_with_array"},
    "copy_to_gpu": {"pin_memory", "kept buffer"},
    "operations": {"array"},
    "concat": {"cat of frombuffers", "array.extend(array)"},
    "incremental": {"list", "array"},
}
"""The columns of each benchmark that claims are made on."""

Seconds = Annotated[float, Field(gt=0, le=1e9)]


class _Entry(BaseModel):
    """A section; no value is converted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TimingEntry(_Entry):
    """`micro.timing.Timing`."""

    rounds_s: Annotated[list[Seconds], Field(min_length=1)]
    calls: Annotated[int, Field(ge=1, le=10**15)]


class RowEntry(_Entry):
    """`micro.timing.MeasuredRow`."""

    label: str
    size: Annotated[int, Field(ge=1, le=10**15)] | None
    timings: Annotated[dict[str, TimingEntry], Field(min_length=1)]
    unequal: dict[str, str]
    note: str = ""

    @model_validator(mode="after")
    def _as_many(self) -> RowEntry:
        if len({len(timing.rounds_s) for timing in self.timings.values()}) > 1:
            raise ValueError("timings: columns have different numbers of rounds")
        return self


class BenchmarkEntry(_Entry):
    """`micro.results.Results`."""

    benchmark: Literal["to_cpu", "to_gpu", "copy_to_gpu", "incremental", "operations", "concat"]
    title: str
    device: str
    has_gpu: bool
    planned: Annotated[int, Field(ge=0, le=10**9)]
    rows: list[RowEntry]

    @model_validator(mode="after")
    def _consistent(self) -> BenchmarkEntry:
        columns = [list(row.timings) for row in self.rows]
        if any(each != columns[0] for each in columns):
            raise ValueError("rows: they have different columns")
        if columns and (missing := COLUMNS[self.benchmark].difference(columns[0])):
            raise ValueError(f"rows: column {min(missing)!r} is missing")
        sizes = [row.size for row in self.rows if row.size is not None]
        if sizes and len(sizes) < len(self.rows):
            raise ValueError("rows: some have no size")
        if self.benchmark == "incremental" and len(set(sizes)) < len(self.rows):
            raise ValueError("rows: a size stands there twice")
        return self


class MicroFile(_Entry):
    """The whole of micro.json."""

    schema_: Literal[1] = Field(alias="schema")
    benchmarks: list[BenchmarkEntry]
