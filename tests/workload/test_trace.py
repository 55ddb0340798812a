from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.config.experiment import TraceWorkload
from harness.errors import ConfigError
from harness.workload.requests import build
from harness.workload.trace import read_lengths

HERE = Path()
CSV = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50,396,109\n"
LINE = '{"timestamp": 0, "input_length": 374, "output_length": 44, "hash_ids": [1]}\n'
SECOND = LINE.replace("374", "396").replace("44", "109")
EXPECTED = [(374, 44), (396, 109)]


def trace(file: Path, **keys) -> TraceWorkload:
    return TraceWorkload.model_validate({"kind": "trace", "file": file, **keys})


def write(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def refusal(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_lengths(trace(file), HERE)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"workload.file: {str(file)[:200]}")
    return line


def test_both_trace_formats_and_the_cap(tmp_path) -> None:
    entries = [
        {"timestamp": 0, "input_length": 374, "output_length": 44},
        {"timestamp": 9, "input_length": 396, "output_length": 109, "hash_ids": [1]},
    ]
    csv = write(tmp_path, "a.csv", CSV)
    jsonl = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, entries)) + "\n\n")
    for file in (csv, jsonl):
        assert read_lengths(trace(file), HERE) == EXPECTED
        assert read_lengths(trace(file, requests=1), HERE) == EXPECTED[:1]
        assert build(trace(file), HERE, 9, 450).clipped == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("a.csv", b"\xef\xbb\xbf" + b"ContextTokens,GeneratedTokens\n374,44\n396,109\n"),
        ("a.csv", CSV.replace("\n", "\r\n")),
        ("a.csv", CSV.replace("2023-11-16 18:15:50", "x" * 500_000)),
        ("a.csv", CSV.replace("2023-11-16 18:15:50", '"a\nb, ""c"""')),
        ("a.csv", CSV.replace("\n2023-11-16 18:15:50", "\n\n2023")),
        ("a.jsonl", b"\xef\xbb\xbf" + (LINE + SECOND).encode()),
        ("a.jsonl", LINE + "\n" + SECOND.replace("[1]", f"[{'7, ' * 200_000}1]")),
    ],
    ids=["mark", "mark before a length", "line ends", "long field", "quoted", "blank line", "mark, JSONL", "long line"],
)
def test_what_other_programs_write_is_read(tmp_path, name, text) -> None:
    assert read_lengths(trace(write(tmp_path, name, text)), HERE) == EXPECTED


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "TIMESTAMP,ContextTokens\n1,2\n", "row 1: no column 'GeneratedTokens'"),
        ("a.csv", "ContextTokens,ContextTokens,GeneratedTokens\n1,2,3\n", "row 1: 2 columns 'ContextTokens'"),
        ("a.csv", CSV + "x,many,3\n", "Row #4: CSV conversion error to int64: invalid value 'many'"),
        ("a.csv", CSV + "x,,3\n", "Row #4"),
        ("a.csv", CSV + "x,3\n", "Row #4: Expected 3 columns, got 2"),
        ("a.csv", CSV + "x,3.0,3\n", "Row #4"),
        ("a.csv", CSV + f"x,{'9' * 30},3\n", "Row #4"),
        ("a.csv", CSV + "x,0,3\n", "row 4: a request needs from 1 to 10,000,000 tokens each way, not (0, 3)"),
        ("a.csv", CSV + "x,3,10000001\n", "row 4: a request needs"),
        ("a.csv", CSV[:40], "holds no request"),
        ("a.csv", "", "Empty CSV file"),
        ("a.csv", b"\xff\xfe" + CSV.encode("utf-16-le"), "the format is TIMESTAMP,ContextTokens,GeneratedTokens"),
        ("a.jsonl", '{"input_length": 3}\n', ":1: output_length: Field required; each line is an object"),
        ("a.jsonl", LINE + "[1]\n", ":2: .*each line is an object"),
        ("a.jsonl", LINE + "null\n", ":2: .*each line is an object"),
        ("a.jsonl", LINE + "{\n", ":2: Invalid JSON: EOF"),
        ("a.jsonl", LINE + LINE.replace("374", '"374"'), ":2: input_length: Input should be a valid integer"),
        ("a.jsonl", LINE + LINE.replace("374", "true"), ":2: input_length: Input should be a valid integer"),
        ("a.jsonl", LINE + LINE.replace("374", "0"), ":2: input_length: Input should be greater than or equal to 1"),
        ("a.jsonl", LINE + LINE.replace("374", "9" * 5000), ":2: "),
        ("a.jsonl", LINE + LINE.replace("[1]", "[" * 5000 + "]" * 5000), ":2: Invalid JSON: recursion limit exceeded"),
        ("a.jsonl", "\n\n", "holds no request"),
        ("a.jsonl", b'{"input_length": "\xff"}', "can't decode byte 0xff"),
    ],
)
def test_a_trace_that_cannot_be_read_is_named_with_its_row(tmp_path, name, text, message) -> None:
    import re

    assert re.search(message.replace("(0, 3)", r"\(0, 3\)"), refusal(write(tmp_path, name, text)))


def test_a_trace_file_that_is_not_there_or_no_file(tmp_path) -> None:
    assert "No such file or directory" in refusal(tmp_path / "none.csv")
    assert "Is a directory" in refusal(tmp_path)
    assert "File name too long" in refusal(tmp_path / ("x" * 300 + ".csv"))
