"""A run's folder: `run.json`, and what was measured as parquet, each pass written whole when it has ended.

run.json                 everything needed to run it again, and how the run went
passes.parquet           all passes: one row a (pass, step)
passes/0007.parquet      pass 7, until the run ends: then all are put together
passes/0008.partial.parquet   a pass that was cut short: kept, but not counted
counters.parquet         the counting pass: one row a (arm, step)
probing.parquet          one arm's scope with its probes and without: two rows a (group, step)
ceilings.parquet         the baseline and arms that may compute less: one row a (arm, group, step)
memory.parquet           of a profile, the objects that phases leave: one row a (kind, phase, step)
processes.parquet        of a profile, the engine's other processes: one row a (pass, process, step, phase)
exposed.parquet          of a profile, passes with delays behind phases as drawn: one row a (pass, step)
lines.parquet            of a profile, functions line by line: one row a line
device.parquet           on a GPU, the passes by the device's clock: one row a (pass, arm, step)
points/02/               of a sweep: its second point, a run's folder itself
launches/02/             of a run with several launches: the second one, a run's folder itself
trace.json               where it was asked for: a few steps of each arm, for Perfetto
fingerprint.parquet      at launch grain: what native served in its checking pass: one row a (step, field)
tokens.json              at launch grain: the tokens that it generated, by request
flamegraphs/ARM.folded   where they were asked for: the stacks that py-spy saw; the graphs beside it are made from them
engine.log               what the engine printed
.taken                   while a run is at work in it, or where its process was killed
report.md, report.html, summary.json  made from the above, and made again by `harness report`
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError, RecordsError, told_shortly
from harness.records.checked import cut_reason
from harness.records.reading import PASSES, POINTS, Records, RunReader, read_facts, read_run
from harness.records.run_schema import RUN_SCHEMA
from harness.records.taken import Taken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from harness.records.agreement import Answers

__all__ = ["RUN_SCHEMA", "Records", "RunFolder", "RunReader", "read_facts", "read_run"]

LONG: Final = 4096
"""Rows of a table that is smaller with a dictionary for each column. A pass's is not: one of 64 steps takes 2.6 ms to
write with them and 1.6 to read, and 1.8 and 1.0 without (an AMD EPYC)."""
TOLD: Final = ("message", "flamegraphs_missing")
"""Facts of run.json that quote exceptions."""


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
        held = (path / PASSES, path / "launches", path / POINTS, path / "micro.json")
        if any((path / "passes").glob("*")) or any(each.exists() for each in held):
            died = " that died before its end, with what it had measured" if left else ""
            raise ConfigError(f"{path} already holds a run{died}; name another folder with --out")
        if left:
            self.note = f"{path} was left by a run that died before it measured anything; it is free, and taken anew"
        if passes:
            import pyarrow.parquet  # noqa: F401 (it writes the passes, and must not be imported between them)
        self._whole: dict[str, pa.Table] = {}

    @classmethod
    def resumed(cls, path: Path) -> RunFolder:
        """A folder that holds a run which ended before its end, to go on with.

        Raises:
            RecordsError: nothing can be written there.
            ConfigError: a run is at work in it.
        """
        folder = cls.existing(path)
        try:
            folder._taken = Taken(path)
        except OSError as error:
            raise RecordsError(f"{path}: cannot be written: {error.strerror}") from error
        return folder

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
        text = json.dumps({"schema": RUN_SCHEMA, **_cut(run)}, indent=2, ensure_ascii=False)
        self.write_text("run.json", text + "\n")

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

        def join(temporary: Path) -> None:
            joined = pa.concat_tables(self._whole.values(), promote_options="permissive").combine_chunks()
            _write_parquet(joined, temporary)

        self._write(PASSES, join)
        for name in self._whole:
            with contextlib.suppress(OSError):  # what is read twice is counted once
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

    def write_ceilings(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write what arms that may compute less took, beside the baseline: one row a (arm, group, step)."""
        self._write_table("ceilings.parquet", columns)

    def write_probing(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write what the probes of one arm cost: one row a (group, step) with them, and one without."""
        self._write_table("probing.parquet", columns)

    def write_memory(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write what phases left behind: one row a (kind of objects, phase, step) in which it was called."""
        self._write_table("memory.parquet", columns)

    def write_exposed(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write how long turns took with delays behind phases as drawn: one row a (pass, step)."""
        self._write_table("exposed.parquet", columns)

    def write_processes(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write the phases in the engine's other processes: one row a (group, process, step, phase) with a call."""
        self._write_table("processes.parquet", columns)

    def write_lines(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write functions line by line: one row a line."""
        self._write_table("lines.parquet", columns)

    def write_served(self, rows: Sequence[Sequence[Any]], answers: Answers) -> None:
        """Write what native served: a row a (step, field), and its answers; other engines are held to it."""
        columns = zip(*rows, strict=True) if rows else ([], [], [])
        self._write_table("fingerprint.parquet", dict(zip(("step", "field", "text"), columns, strict=True)))
        self.write_text("tokens.json", json.dumps(answers.tokens) + "\n")
        if answers.texts or answers.logprobs:
            self.write_text("answers.json", json.dumps({"texts": answers.texts, "logprobs": answers.logprobs}) + "\n")

    def launch(self, number: int) -> Path:
        """Folder of one of several launches."""
        return self.path / "launches" / f"{number:02d}"

    def point(self, number: int) -> Path:
        """Folder of one point of a sweep."""
        return self.path / POINTS / f"{number:02d}"

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        self._write(name, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def write_texts(self, texts: Mapping[str, str]) -> None:
        """Write text files by name, in their order, up to the first that cannot be written.

        Raises:
            RecordsError: one cannot be written.
        """
        for name, text in texts.items():
            self.write_text(name, text)

    def _write_table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
        import pyarrow as pa

        try:
            table = pa.table(dict(columns))
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise RecordsError(f"{self.path / name}: these values make no table: {cut_reason(error)}") from error
        self._write(name, lambda temporary: _write_parquet(table, temporary))
        return table

    def _write(self, name: str, write: Any) -> None:
        target = self.path / name
        if _leads_out(target.parent, self.path):
            raise RecordsError(f"{target}: cannot be written: it leads out of the folder")
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            target.parent.mkdir(exist_ok=True)
            temporary.unlink(missing_ok=True)  # what lies there may be a link to anywhere
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        except Exception as error:  # pyarrow and encodings have errors of their own
            why = getattr(error, "strerror", None) or cut_reason(error) or type(error).__name__
            raise RecordsError(f"{target}: cannot be written: {why}") from error
        finally:  # also where Ctrl-C ended it
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _leads_out(path: Path, folder: Path) -> bool:
    """Whether a path in a folder leads out of it, by its name or by a link."""
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return True


def _cut(run: Mapping[str, Any]) -> dict[str, Any]:
    """The facts, with what exceptions said in a length for people."""
    cut = {key: told_shortly(value) if key in TOLD else value for key, value in run.items()}
    if "equality" in run:
        cut["equality"] = {
            arm: {**found, "reason": told_shortly(found["reason"])} for arm, found in run["equality"].items()
        }
    return cut


def _write_parquet(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    # Statistics are a third of a small file, and nothing reads them.
    pq.write_table(table, path, compression="zstd", use_dictionary=len(table) >= LONG, write_statistics=False)
