"""Request lengths from a trace file: CSV by pyarrow, JSONL by pydantic, each fault with its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from harness.config.numbers import LONGEST
from harness.errors import ConfigError, in_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.config.workload import TraceWorkload

__all__ = ["read_lengths"]

CSV_COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
JSONL_KEYS: Final = ("timestamp", "input_length", "output_length")
LARGEST_BLOCK: Final = 2**30
"""Bytes that pyarrow reads at once; a row must fit in."""

Length = Annotated[int, Field(ge=1, le=LONGEST)]


class _Line(BaseModel):
    """A line of a JSONL trace: the prompt's and the output's tokens, and whatever else, which is not looked at."""

    model_config = ConfigDict(strict=True)

    input_length: Length
    output_length: Length


def read_lengths(workload: TraceWorkload, folder: Path) -> list[tuple[int, int]]:
    """(prompt tokens, output tokens) of each request, as many as the workload takes.

    The whole file is read and checked, whatever is taken of it.

    Args:
        workload: the config's section.
        folder: where a relative trace file starts from.

    Raises:
        ConfigError: the file is not there, or not in a known format; the message has the row.
    """
    path = folder / workload.file
    named = f"workload.file: {in_line(path)}"
    try:
        read = _jsonl if path.suffix in (".jsonl", ".ndjson") else _csv
        lengths = list(read(path, named))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{named}: {in_line(getattr(error, 'strerror', None) or error)}") from error
    if not lengths:
        raise ConfigError(f"{named} holds no request")
    return lengths[: workload.requests]


def _csv(path: Path, named: str) -> Iterator[tuple[int, int]]:
    import pyarrow as pa
    from pyarrow import csv

    lengths = CSV_COLUMNS[1:]
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            table = csv.read_csv(
                file,
                # One thread and one block: then errors name the row.
                csv.ReadOptions(use_threads=False, block_size=min(size + 1, LARGEST_BLOCK)),
                csv.ParseOptions(newlines_in_values=True),
                csv.ConvertOptions(column_types=dict.fromkeys(lengths, pa.int64()), null_values=[]),
            )
    except (pa.ArrowException, ValueError) as error:
        raise ConfigError(
            f"{named}: {in_line(error)}; the format is {','.join(CSV_COLUMNS)}, in whole numbers"
        ) from error
    for column in lengths:
        if (there := table.column_names.count(column)) != 1:
            found = f"no column {column!r}" if not there else f"{there} columns {column!r}"
            raise ConfigError(f"{named}: row 1: {found}; the format is {','.join(CSV_COLUMNS)}")
    pairs = zip(*(table[column].to_pylist() for column in lengths), strict=True)
    for row, pair in enumerate(pairs, start=2):
        if not all(1 <= length <= LONGEST for length in pair):
            raise ConfigError(f"{named}: row {row}: a request needs from 1 to {LONGEST:,} tokens each way, not {pair}")
        yield pair


def _jsonl(path: Path, named: str) -> Iterator[tuple[int, int]]:
    parse = TypeAdapter(_Line).validate_json
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                entry = parse(line)
            except ValidationError as error:
                detail = error.errors(include_url=False, include_input=False)[0]
                key = ".".join(map(str, detail["loc"]))
                why = in_line(f"{key}: {detail['msg']}" if key else detail["msg"])
                raise ConfigError(
                    f"{named}:{number}: {why}; each line is an object with {', '.join(JSONL_KEYS)}"
                ) from error
            yield entry.input_length, entry.output_length
