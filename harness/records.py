"""A run's folder: `run.json`, and one parquet table a pass, each written whole when its pass has ended.

run.json                 everything needed to run it again, and how the run went
passes/0007.parquet      pass 7: one row a step
passes/0008.partial.parquet   a pass that was cut short: kept, but not counted
counters.parquet         the counting pass: one row a (arm, step)
device.parquet           on a GPU, the passes by the device's clock: one row a (pass, arm, step)
launches/02/             of a run with several launches: the second one, a run's folder itself
trace.json               where it was asked for: a few steps of each arm, for Perfetto
flamegraphs/ARM.folded   where they were asked for: the stacks that py-spy saw; the graphs beside it are made from them
engine.log               what the engine printed
report.md, report.html, summary.json  made from the above, and made again by `harness report`
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from harness.errors import ConfigError, RecordsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["RUN_SCHEMA", "Records", "RunFolder", "read_run"]

RUN_SCHEMA: Final = 2
"""Version of run.json and of the pass tables."""


class RunFolder:
    """Writes a run's folder. Every file appears whole or not at all.

    Args:
        path: the folder; made if it is not there.
        passes: whether passes will be written into it.

    Raises:
        RecordsError: the folder cannot be made.
        ConfigError: it already holds a run that measured something.
    """

    def __init__(self, path: Path, passes: bool = True) -> None:
        self.path = path
        try:
            (path / "passes" if passes else path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordsError(f"{path}: the run's folder cannot be made: {error.strerror}") from error
        held = (path / "launches", path / "micro.json")
        if any((path / "passes").glob("*")) or any(each.exists() for each in held):
            raise ConfigError(f"{path} already holds a run; name another folder with --out")

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """A folder that holds a run already, to write reports into."""
        folder = cls.__new__(cls)
        folder.path = path
        return folder

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write run.json."""
        self.write_text("run.json", json.dumps({"schema": RUN_SCHEMA, **run}, indent=2, ensure_ascii=False) + "\n")

    def write_pass(self, index: int, columns: Mapping[str, Sequence[Any]], complete: bool) -> None:
        """Write one pass's table: one row a step."""
        name = f"passes/{index:04d}{'' if complete else '.partial'}.parquet"
        frame = pd.DataFrame(columns)
        self._write(name, lambda temporary: frame.to_parquet(temporary, index=False))

    def write_counters(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write what the counting pass found: one row a (arm, step)."""
        frame = pd.DataFrame(columns)
        self._write("counters.parquet", lambda temporary: frame.to_parquet(temporary, index=False))

    def write_device(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write what the device's clock said: one row a (pass, arm, step)."""
        frame = pd.DataFrame(columns)
        self._write("device.parquet", lambda temporary: frame.to_parquet(temporary, index=False))

    def launch(self, number: int) -> Path:
        """Folder of one of several launches."""
        return self.path / "launches" / f"{number:02d}"

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        self._write(name, lambda temporary: temporary.write_text(text, encoding="utf-8"))

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


REQUIRED: Final = ("status", "config", "config_file", "command", "machine", "versions")
"""What run.json holds from the first moment on."""


@dataclass(frozen=True)
class Records:
    """What a run's folder holds.

    Attributes:
        run: run.json.
        frame: one row a (pass, step), of all complete passes.
        unreadable: pass files that are torn or of another format, by name, with the reason.
        partial: pass files of passes that were cut short, by name.
        counters: one row a (arm, step) of the counting pass; empty without one.
        device: one row a (pass, arm, step) by the device's clock; empty without a GPU.
        folded: by arm, the folded stacks of its flamegraph.
        launches: of a run with several launches, the records of each; `frame` is then empty.
    """

    run: dict[str, Any]
    frame: pd.DataFrame
    unreadable: dict[str, str] = field(default_factory=dict)
    partial: list[str] = field(default_factory=list)
    counters: pd.DataFrame = field(default_factory=pd.DataFrame)
    device: pd.DataFrame = field(default_factory=pd.DataFrame)
    folded: dict[str, str] = field(default_factory=dict)
    launches: list[Records] = field(default_factory=list)


def read_run(path: Path) -> Records:
    """Read a run's folder; a torn pass is left out and named.

    Raises:
        RecordsError: no run.json, or of a newer schema.
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
        raise RecordsError(f"{path} holds micro-benchmarks; `harness report` shows them, and there is no more to them")
    if missing := [key for key in REQUIRED if key not in run]:
        raise RecordsError(f"{path / 'run.json'}: it lacks {', '.join(missing)}, so it is not from a run")
    frames, unreadable, partial = [], {}, []
    for file in sorted((path / "passes").glob("*.parquet")):
        if file.name.endswith(".partial.parquet"):
            partial.append(file.name)
        elif re.fullmatch(r"\d+\.parquet", file.name):
            try:
                frames.append(pd.read_parquet(file))
            except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
                unreadable[f"passes/{file.name}"] = " ".join(str(error).split())[:200]
    beside = {}
    for name in ("counters.parquet", "device.parquet"):
        beside[name] = pd.DataFrame()
        if (path / name).exists():
            try:
                beside[name] = pd.read_parquet(path / name)
            except (OSError, ValueError) as error:
                unreadable[name] = " ".join(str(error).split())[:200]
    folded = {}
    for arm in run.get("flamegraphs", {}):
        try:
            folded[arm] = (path / "flamegraphs" / f"{arm}.folded").read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            unreadable[f"flamegraphs/{arm}.folded"] = " ".join(str(error).split())[:200]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    launches = [read_run(file.parent) for file in sorted((path / "launches").glob("*/run.json"))]
    counters, device = beside.values()
    return Records(run, frame, unreadable, partial, counters, device, folded, launches)
