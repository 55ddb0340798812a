"""Requests: drawn from a seed, or of the lengths that a trace file records."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.config.experiment import Length, SyntheticWorkload, TraceWorkload
from harness.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

__all__ = ["Request", "Work", "build"]

CSV_COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
JSONL_KEYS: Final = ("timestamp", "input_length", "output_length")


@dataclass(frozen=True)
class Request:
    """One request: its prompt as token ids, and how many tokens are generated (end-of-sequence is ignored)."""

    prompt_token_ids: list[int]
    output_tokens: int


@dataclass(frozen=True)
class Work:
    """All requests of a pass, in the order in which they are handed over, and how many had to be clipped."""

    requests: list[Request]
    clipped: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens of all requests."""
        return sum(len(request.prompt_token_ids) for request in self.requests)

    @property
    def output_tokens(self) -> int:
        """Tokens generated for all requests."""
        return sum(request.output_tokens for request in self.requests)


def build(workload: SyntheticWorkload | TraceWorkload, folder: Path, vocab_size: int, max_model_len: int) -> Work:
    """Make the requests of one pass.

    A request that exceeds the model's length loses prompt first (one token of it is kept), then output.

    Args:
        workload: the config's section.
        folder: where a relative trace file starts from.
        vocab_size: token ids are drawn from [0, vocab_size).
        max_model_len: prompt and output together must not exceed this.

    Raises:
        ConfigError: the trace file is not there, or not in a known format.
    """
    rng = np.random.default_rng(workload.seed)
    if isinstance(workload, TraceWorkload):
        lengths = list(itertools.islice(_read_trace(folder / workload.file), workload.requests))
        if not lengths:
            raise ConfigError(f"workload.file: {workload.file} holds no request")
    else:
        prompts = _draw(workload.prompt_tokens, workload.requests, rng)
        outputs = _draw(workload.output_tokens, workload.requests, rng)
        lengths = list(zip(prompts, outputs, strict=True))
    requests, clipped = [], 0
    for prompt, output in lengths:
        fitting_output = min(output, max_model_len - 1)
        fitting_prompt = min(prompt, max_model_len - fitting_output)
        clipped += (fitting_prompt, fitting_output) != (prompt, output)
        requests.append(Request(rng.integers(0, vocab_size, fitting_prompt).tolist(), fitting_output))
    return Work(requests, clipped)


def _draw(length: Length, count: int, rng: np.random.Generator) -> list[int]:
    if length.uniform is not None:
        drawn = rng.integers(length.uniform.low, length.uniform.high, count, endpoint=True)
    elif length.lognormal is not None:
        values = rng.lognormal(np.log(length.lognormal.median), length.lognormal.sigma, count)
        drawn = np.maximum(np.rint(values), 1).astype(np.int64)
    else:
        drawn = np.full(count, length.constant)
    return [int(value) for value in drawn]


def _read_trace(path: Path) -> Iterator[tuple[int, int]]:
    """(prompt tokens, output tokens) of each request in the file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from _read_jsonl(file, path) if path.suffix in (".jsonl", ".ndjson") else _read_csv(file, path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"workload.file: {path}: {getattr(error, 'strerror', None) or error}") from error


def _read_csv(file: TextIO, path: Path) -> Iterator[tuple[int, int]]:
    reader = csv.DictReader(file)
    if missing := [column for column in CSV_COLUMNS[1:] if column not in (reader.fieldnames or ())]:
        raise ConfigError(f"workload.file: {path}:1: no column {missing[0]!r}; the format is {','.join(CSV_COLUMNS)}")
    for row in reader:
        yield _lengths(row["ContextTokens"], row["GeneratedTokens"], path, reader.line_num)


def _read_jsonl(file: TextIO, path: Path) -> Iterator[tuple[int, int]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            prompt, output = entry["input_length"], entry["output_length"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"workload.file: {path}:{number}: {error}; each line is an object with {', '.join(JSONL_KEYS)}"
            ) from error
        yield _lengths(prompt, output, path, number)


def _lengths(prompt: object, output: object, path: Path, line: int) -> tuple[int, int]:
    try:
        lengths = int(str(prompt)), int(str(output))
    except ValueError as error:
        raise ConfigError(f"workload.file: {path}:{line}: {error}; lengths are whole numbers") from error
    if min(lengths) < 1:
        raise ConfigError(f"workload.file: {path}:{line}: a request needs at least one token each way, not {lengths}")
    return lengths
