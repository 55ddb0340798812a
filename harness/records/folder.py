"""A run's folder: `run.json`, and what was measured as parquet, each pass written whole when it has ended.

run.json                 everything needed to run it again, and how the run went
passes.parquet           all passes: one row a (pass, step)
passes/0007.parquet      pass 7, until the run ends: then all are put together
passes/0008.partial.parquet   a pass that was cut short: kept, but not counted
counters.parquet         the counting pass: one row a (arm, step)
device.parquet           on a GPU, the passes by the device's clock: one row a (pass, arm, step)
launches/02/             of a run with several launches: the second one, a run's folder itself
trace.json               where it was asked for: a few steps of each arm, for Perfetto
flamegraphs/ARM.folded   where they were asked for: the stacks that py-spy saw; the graphs beside it are made from them
engine.log               what the engine printed
.taken                   while a run is at work in it, or where its process was killed
report.md, report.html, summary.json  made from the above, and made again by `harness report`
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from harness.errors import ConfigError, RecordsError
from harness.records.taken import Taken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    Columns: TypeAlias = Mapping[str, NDArray[Any]]
    """A table: an array a column, all of the same length. A pandas frame works too: it has columns by name."""

__all__ = ["RUN_SCHEMA", "Records", "RunFolder", "RunReader", "read_facts", "read_run"]

RUN_SCHEMA: Final = 2
"""Version of run.json and of the pass tables."""
PASSES: Final = "passes.parquet"
"""All passes of a run that has ended."""


class RunFolder:
    """Writes a run's folder. Every file appears whole or not at all.

    It is taken for one run at once, before anything is started, and until this object is closed or its process ends.

    Args:
        path: the folder; made if it is not there.
        passes: whether passes will be written into it.

    Attributes:
        note: what the user should know of what was there before; empty where nothing was.

    Raises:
        RecordsError: the folder cannot be made.
        ConfigError: another run is at work in it, or it already holds one that measured something.
    """

    note: str = ""
    _taken: Taken | None

    def __init__(self, path: Path, passes: bool = True) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            taken = self._taken = Taken(path)
        except OSError as error:
            raise RecordsError(f"{path}: the run's folder cannot be made: {error.strerror}") from error
        try:
            self._begin(path, passes, taken.left)
        except BaseException:
            taken.give_back(marked=taken.left)
            raise

    def _begin(self, path: Path, passes: bool, left: bool) -> None:
        held = (path / PASSES, path / "launches", path / "micro.json")
        if any((path / "passes").glob("*")) or any(each.exists() for each in held):
            died = " that died before its end, with what it had measured" if left else ""
            raise ConfigError(f"{path} already holds a run{died}; name another folder with --out")
        if left:
            self.note = f"{path} was left by a run that died before it measured anything; it is free, and taken anew"
        if passes:
            import pyarrow.parquet  # noqa: F401 (it writes the passes, and must not be imported between them)
        self._whole: dict[str, pa.Table] = {}

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """A folder that holds a run already, to write reports into."""
        folder = cls.__new__(cls)
        folder.path, folder._whole, folder._taken = path, {}, None
        return folder

    def close(self) -> None:
        """Let other runs have the folder."""
        if self._taken is not None:
            self._taken.give_back()

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write run.json."""
        self.write_text("run.json", json.dumps({"schema": RUN_SCHEMA, **run}, indent=2, ensure_ascii=False) + "\n")

    def write_pass(self, index: int, columns: Mapping[str, Sequence[Any]], complete: bool) -> None:
        """Write one pass's table: one row a step."""
        name = f"passes/{index:04d}{'' if complete else '.partial'}.parquet"
        table = self._write_table(name, columns)
        if complete:
            self._whole[name] = table

    def join_passes(self) -> None:
        """Put all whole passes into one file, which is read far faster; to be called after the last pass.

        Raises:
            RecordsError: it cannot be written; the passes stay as they are.
        """
        if not self._whole:
            return
        import pyarrow as pa

        joined = pa.concat_tables(self._whole.values(), promote_options="permissive").combine_chunks()
        self._write(PASSES, lambda temporary: _write_parquet(joined, temporary))
        for name in self._whole:
            (self.path / name).unlink(missing_ok=True)
        self._whole = {}
        with contextlib.suppress(OSError):  # a pass that was cut short stays there
            (self.path / "passes").rmdir()

    def write_counters(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write what the counting pass found: one row a (arm, step)."""
        self._write_table("counters.parquet", columns)

    def write_device(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write the times by the device's clock: one row a (pass, arm, step)."""
        self._write_table("device.parquet", columns)

    def launch(self, number: int) -> Path:
        """Folder of one of several launches."""
        return self.path / "launches" / f"{number:02d}"

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        self._write(name, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def _write_table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
        import pyarrow as pa

        table = pa.table(dict(columns))
        self._write(name, lambda temporary: _write_parquet(table, temporary))
        return table

    def _write(self, name: str, write: Any) -> None:
        target = self.path / name
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            target.parent.mkdir(exist_ok=True)
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise RecordsError(f"{target}: cannot be written: {error.strerror or error}") from error


def _write_parquet(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    # Statistics are a third of a small file, and nothing reads them.
    pq.write_table(table, path, compression="zstd", write_statistics=False)


REQUIRED: Final = ("status", "config", "config_file", "command", "machine", "versions")
"""What run.json holds from the start of the run."""


@dataclass(frozen=True)
class Records:
    """What a run's folder holds.

    Attributes:
        run: run.json.
        columns: one row a (pass, step), of all complete passes.
        unreadable: pass files that are torn or of another format, by name, with the reason.
        partial: pass files of passes that were cut short, by name.
        counters: one row a (arm, step) of the counting pass; empty without one.
        device: one row a (pass, arm, step) by the device's clock; empty without a GPU.
        folded: by arm, the folded stacks of its flamegraph.
        launches: of a run with several launches, the records of each; `columns` is then empty.
    """

    run: dict[str, Any]
    columns: Columns
    unreadable: dict[str, str] = field(default_factory=dict)
    partial: list[str] = field(default_factory=list)
    counters: Columns = field(default_factory=dict)
    device: Columns = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    launches: list[Records] = field(default_factory=list)

    @property
    def frame(self) -> pd.DataFrame:
        """`columns` as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.columns)


def read_facts(path: Path) -> dict[str, Any]:
    """Read a run's run.json.

    Raises:
        RecordsError: there is none, or it is of a newer schema.
    """
    try:
        run = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordsError(f"{path} holds no run: there is no run.json") from None
    except (OSError, ValueError) as error:
        raise RecordsError(f"{path / 'run.json'} cannot be read: {error}") from error
    if not isinstance(run, dict) or run.get("schema") != RUN_SCHEMA:
        found = run.get("schema") if isinstance(run, dict) else None
        raise RecordsError(f"{path / 'run.json'}: schema {found!r}; this version of harness reads {RUN_SCHEMA}")
    if run.get("kind") == "micro":
        raise RecordsError(f"{path} holds micro-benchmarks; only `harness report` reads them")
    if missing := [key for key in REQUIRED if key not in run]:
        raise RecordsError(f"{path / 'run.json'}: it lacks {', '.join(missing)}, so it is not from a run")
    return run


def read_run(path: Path) -> Records:
    """Read a run's folder; a torn pass is left out and named.

    Raises:
        RecordsError: no run.json, or of a newer schema.
    """
    return RunReader(path).read()


class RunReader:
    """Reads a run's folder, also again while the run goes on: then only new passes, since pass files do not change.

    Each file is opened by itself, so that a torn one does not affect the others; pyarrow's dataset takes twice as long
    for as many small files.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: set[str] = set()
        self._passes: list[pa.Table] = []

    def read(self) -> Records:
        """All that the folder holds by now.

        Raises:
            RecordsError: no run.json, or of a newer schema.
        """
        path, unreadable, partial = self._path, dict[str, str](), []
        run = read_facts(path)
        if (path / PASSES).exists() and PASSES not in self._read:
            table = _table(path / PASSES, PASSES, unreadable)
            if table is not None:
                # A run that was killed while it joined its passes has left some of their files there.
                self._read |= {PASSES, *(f"{index:04d}.parquet" for index in set(table["pass"].to_pylist()))}
                self._passes.append(table)
        for file in sorted((path / "passes").glob("*.parquet")):
            if file.name.endswith(".partial.parquet"):
                partial.append(file.name)
            elif re.fullmatch(r"\d+\.parquet", file.name) and file.name not in self._read:
                table = _table(file, f"passes/{file.name}", unreadable)
                if table is not None:
                    self._read.add(file.name)
                    self._passes.append(table)
        self._passes = _joined(self._passes)
        beside = {}
        for name in ("counters.parquet", "device.parquet"):
            table = _table(path / name, name, unreadable) if (path / name).exists() else None
            beside[name] = _columns([] if table is None else [table])
        folded = {}
        for arm in run.get("flamegraphs", {}):
            try:
                folded[arm] = (path / "flamegraphs" / f"{arm}.folded").read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                unreadable[f"flamegraphs/{arm}.folded"] = _reason(error)
        launches = [read_run(file.parent) for file in sorted((path / "launches").glob("*/run.json"))]
        counters, device = beside.values()
        return Records(run, _columns(self._passes), unreadable, partial, counters, device, folded, launches)


def _table(file: Path, name: str, unreadable: dict[str, str]) -> pa.Table | None:
    """One table; None where it cannot be read, with the reason in `unreadable`."""
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file, memory_map=True).read(use_threads=False)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        unreadable[name] = _reason(error)
        return None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _joined(tables: list[pa.Table]) -> list[pa.Table]:
    """The tables as one, if there are any; columns that one of them lacks are null in it."""
    if len(tables) < 2:
        return tables
    import pyarrow as pa

    return [pa.concat_tables(tables, promote_options="permissive").combine_chunks()]


def _columns(tables: list[pa.Table]) -> Columns:
    return {name: _array(table[name].combine_chunks()) for table in tables for name in table.column_names}


def _array(column: pa.Array) -> NDArray[Any]:
    """A column by DLPack, since pyarrow's own `to_numpy` imports pandas first, which takes longer than all the rest."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        encoded = column.dictionary_encode()
        names = np.array(encoded.dictionary.to_pylist(), dtype=object)
        return np.asarray(names[np.from_dlpack(encoded.indices)])
    if column.null_count:
        column = column.cast(pa.float64()).fill_null(np.nan)
    if pa.types.is_boolean(column.type):
        return np.asarray(np.from_dlpack(column.cast(pa.uint8())), dtype=bool)
    return np.asarray(np.from_dlpack(column))
