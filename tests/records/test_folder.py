from __future__ import annotations

import errno
import json
import os

import pyarrow as pa
import pytest

from harness.errors import ConfigError, RecordsError
from harness.records.folder import RUN_SCHEMA, RunFolder, RunReader, read_run
from harness.records.tables import OF_PASSES, TIMED
from tests.analysis.test_summarise import make_run

RUN = {key: value for key, value in make_run().items() if key != "schema"}
RUN["config"]["probes"] = []
COLUMNS = {
    **{name: [0, 0] for name in OF_PASSES}, "step": [0, 1], "arm": ["list", "numpy"], "probed": [False, False],
    "execute_ns": [5, 6],
}  # fmt: skip
PROBED = {f"scope.{part}": [1, 1] for part in TIMED}


def no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.write_run(RUN)
    return folder


def test_passes_come_back_as_one_frame(folder) -> None:
    for index in range(3):
        folder.write_pass(index, {**COLUMNS, "pass": [index] * 2}, complete=True)
    records = read_run(folder.path)
    assert records.run == {"schema": RUN_SCHEMA, **RUN}
    assert records.frame["pass"].tolist() == [0, 0, 1, 1, 2, 2]
    assert records.frame["execute_ns"].dtype == "int64"
    assert records.unreadable == {}


def test_columns_that_a_pass_lacks_are_not_a_number_in_it(folder) -> None:
    folder.write_pass(0, {**COLUMNS, **PROBED, "pass": [0] * 2, "probed": [True, False]}, complete=True)
    folder.write_pass(
        1, {**COLUMNS, **PROBED, "pass": [1] * 2, "probed": [False, True], "torch.cat.calls": [3, 4]}, complete=True
    )
    frame = read_run(folder.path).frame
    assert frame["probed"].tolist() == [True, False, False, True]
    assert frame["torch.cat.calls"].fillna(-1).tolist() == [-1, -1, 3, 4]


def test_passes_are_put_together_and_those_cut_short_stay_beside(folder) -> None:
    for index in range(3):
        folder.write_pass(index, {**COLUMNS, "pass": [index] * 2}, complete=True)
    folder.write_pass(3, {**COLUMNS, "pass": [3] * 2}, complete=False)
    before = read_run(folder.path)
    folder.join_passes()
    assert [file.name for file in (folder.path / "passes").iterdir()] == ["0003.partial.parquet"]
    after = read_run(folder.path)
    assert after.frame.equals(before.frame)
    assert (after.partial, after.unreadable) == (before.partial, {})
    folder.close()
    with pytest.raises(ConfigError, match="already holds a run"):
        RunFolder(folder.path)


def test_a_run_killed_while_it_put_them_together_counts_no_pass_twice(folder) -> None:
    for index in range(3):
        folder.write_pass(index, {**COLUMNS, "pass": [index] * 2}, complete=True)
    left = {file: file.read_bytes() for file in (folder.path / "passes").iterdir()}
    folder.join_passes()
    assert not (folder.path / "passes").exists()
    (folder.path / "passes").mkdir()
    for file, content in left.items():
        file.write_bytes(content)
    assert read_run(folder.path).frame["pass"].tolist() == [0, 0, 1, 1, 2, 2]


def test_passes_that_cannot_be_put_together_stay_as_they_are(folder, monkeypatch) -> None:
    folder.write_pass(0, {**COLUMNS, "pass": [0] * 2}, complete=True)
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_space)
        with pytest.raises(RecordsError, match=r"passes\.parquet: cannot be written"):
            folder.join_passes()
    assert [file.name for file in folder.path.rglob("*.parquet")] == ["0000.parquet"]
    assert read_run(folder.path).frame["pass"].tolist() == [0, 0]


def test_a_folder_that_grows_is_read_file_by_file_once(folder, monkeypatch) -> None:
    import pyarrow.parquet as pq

    opened, open_file = [], pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda file, **how: (opened.append(file.name), open_file(file, **how))[1])
    reader = RunReader(folder.path)
    for index in range(3):
        folder.write_pass(index, {**COLUMNS, "pass": [index] * 2}, complete=True)
        folder.write_run({**RUN, "passes_done": index + 1})
        records = reader.read()
        again = read_run(folder.path)
        assert records.run == again.run
        assert records.frame.equals(again.frame)
    assert (
        sorted(opened) == ["0000.parquet"] * 4 + ["0001.parquet"] * 3 + ["0002.parquet"] * 2
    )  # the reader's: once each


def test_a_torn_pass_is_left_out_and_named(folder) -> None:
    for index in range(2):
        folder.write_pass(index, {**COLUMNS, "pass": [index] * 2}, complete=True)
    file = folder.path / "passes" / "0001.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    (folder.path / "passes" / "0002.parquet").write_bytes(b"")
    records = read_run(folder.path)
    assert records.frame["pass"].tolist() == [0, 0]
    assert sorted(records.unreadable) == ["passes/0001.parquet", "passes/0002.parquet"]


def test_a_pass_that_was_cut_short_is_kept_and_not_counted(folder) -> None:
    folder.write_pass(0, COLUMNS, complete=False)
    records = read_run(folder.path)
    assert records.frame.empty
    assert records.partial == ["0000.partial.parquet"]


def test_a_folder_that_holds_passes_is_not_written_over(folder) -> None:
    folder.close()
    folder = RunFolder(folder.path)  # a run that came to nothing does not block its folder
    folder.write_pass(0, COLUMNS, complete=True)
    folder.close()
    with pytest.raises(ConfigError, match="already holds a run; name another folder with --out"):
        RunFolder(folder.path)


def test_a_full_disk_leaves_what_was_there_and_no_half_file(folder, monkeypatch) -> None:
    folder.write_pass(0, COLUMNS, complete=True)
    before = sorted(path.name for path in folder.path.rglob("*"))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(RecordsError, match="cannot be written: No space left on device"):
        folder.write_pass(1, COLUMNS, complete=True)
    with pytest.raises(RecordsError, match="No space left"):
        folder.write_run({**RUN, "status": "failed"})
    assert sorted(path.name for path in folder.path.rglob("*")) == before
    assert read_run(folder.path).run["status"] == "complete"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no run"),
        ("{", "cannot be read"),
        ("[]", "schema None"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 2}', r"status: is missing \(and 5 more\)"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, text, message) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordsError, match=message):
        read_run(tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="cannot be made"):
        RunFolder(tmp_path / "file" / "run")


def test_run_json_is_json_for_people(folder) -> None:
    text = (folder.path / "run.json").read_text()
    assert text.count("\n") > 2
    assert json.loads(text)["schema"] == RUN_SCHEMA


@pytest.mark.parametrize(
    "columns",
    [{"step": [0, 1], "arm": ["list"]}, {"step": [2**70], "arm": ["list"]}, {"step": [object()], "arm": ["list"]}],
    ids=["unequal lengths", "too large", "no value"],
)
def test_what_makes_no_table_is_an_error_of_records_and_leaves_no_file(folder, columns) -> None:
    with pytest.raises(RecordsError, match=r"0000\.parquet: these values make no table"):
        folder.write_pass(0, columns, complete=True)
    assert [file.name for file in folder.path.rglob("*") if file.is_file() and file.name != ".taken"] == ["run.json"]


@pytest.mark.parametrize("error", [pa.ArrowInvalid("torn"), pa.ArrowNotImplementedError("no such type"), MemoryError()])
def test_an_error_of_pyarrow_is_one_of_records_and_leaves_no_file(folder, monkeypatch, error) -> None:
    def fail(table, path, **_):
        path.write_text("half")
        raise error

    monkeypatch.setattr("pyarrow.parquet.write_table", fail)
    with pytest.raises(RecordsError, match=r"0000\.parquet: cannot be written"):
        folder.write_pass(0, {**COLUMNS, "pass": [0] * 2}, complete=True)
    assert [file.name for file in folder.path.rglob("*") if file.is_file() and file.name != ".taken"] == ["run.json"]


def test_ctrl_c_while_a_file_is_written_leaves_no_half_of_it(folder, monkeypatch) -> None:
    def fail(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        folder.write_text("report.md", "text")
    assert [file.name for file in folder.path.rglob("*") if file.is_file() and file.name != ".taken"] == ["run.json"]


def test_passes_of_different_make_are_not_joined_and_stay(folder) -> None:
    folder.write_pass(0, {**COLUMNS, "pass": [0] * 2}, complete=True)
    folder.write_pass(1, {**COLUMNS, "step": ["a", "b"], "pass": [1] * 2}, complete=True)
    with pytest.raises(RecordsError, match=r"passes\.parquet: cannot be written"):
        folder.join_passes()
    assert sorted(file.name for file in folder.path.rglob("*") if file.is_file() and file.name != ".taken") == [
        "0000.parquet",
        "0001.parquet",
        "run.json",
    ]
