"""Reads a run's folder, whoever made it: what is wrong in it is refused with file and key, or left out and named."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from harness.errors import RecordsError
from harness.records.agreement import signature_difference
from harness.records.checked import check, cut_reason, read_json, read_text
from harness.records.run_schema import RUN_SCHEMA, RunFile
from harness.records.tables import BESIDE, Shape, as_columns, join_tables, passes_shape, read_table
from harness.seams import NATIVE
from harness.texts import one_line

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from harness.records.tables import Columns

__all__ = ["PASSES", "POINTS", "Records", "RunReader", "read_facts", "read_run"]

PASSES: Final = "passes.parquet"
"""All passes of a run that has ended."""
POINTS: Final = "points"
"""The folder of a sweep's points."""
RUN: Final = "run.json"
WITH_PASSES: Final = ("host", "workload", "steps", "calibration", "arms_measured")
"""What run.json holds when there are passes; of several launches the whole run has it from its first one."""
SAME: Final = ("seam", "scope", "probes")
"""Keys of the config that launches of one run have alike."""


@dataclass(frozen=True)
class Records:
    """What a run's folder holds.

    Attributes:
        run: run.json, as `records.run_schema` has it; texts in it are in one line each, and not longer than 4,000
            characters.
        columns: one row a (pass, step), of all complete passes.
        unreadable: files that are torn or of another format or shape, by name, with the reason.
        partial: pass files of passes that were cut short, by name.
        counters: one row a (arm, step) of the counting pass; empty without one.
        probing: two rows a (group, step) of one arm, with its probes and without; empty where arms call them alike.
        device: one row a (pass, arm, step) by the device's clock; empty without a GPU.
        ceilings: one row a (arm, group, step), of the baseline and of arms that may compute less; empty without any.
        memory: of a profile, one row a (kind of objects, phase, step) in which it was called: what it left behind.
        processes: of a profile, one row a (group, process, step, phase) of the engine's other processes.
        exposed: of a profile, one row a (pass, step): the time to the next step, with a delay behind the phase.
        lines: of a profile, one row a line of each function that was timed line by line.
        folded: by arm, the folded stacks of its flamegraph.
        launches: of a run with several launches, the records of each; `columns` is then empty.
    """

    run: dict[str, Any]
    columns: Columns
    unreadable: dict[str, str] = field(default_factory=dict)
    partial: list[str] = field(default_factory=list)
    counters: Columns = field(default_factory=dict)
    probing: Columns = field(default_factory=dict)
    device: Columns = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    launches: list[Records] = field(default_factory=list)
    ceilings: Columns = field(default_factory=dict)
    memory: Columns = field(default_factory=dict)
    processes: Columns = field(default_factory=dict)
    exposed: Columns = field(default_factory=dict)
    lines: Columns = field(default_factory=dict)

    @property
    def frame(self) -> pd.DataFrame:
        """`columns` as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.columns)


def read_facts(path: Path) -> dict[str, Any]:
    """Read a run's run.json.

    Raises:
        RecordsError: there is none, it is of another schema, or a key of it is missing or wrong.
    """
    file = path / RUN
    try:
        run = read_json(file)
    except FileNotFoundError:
        raise RecordsError(f"{path} holds no run: there is no {RUN}") from None
    if not isinstance(run, dict) or run.get("schema") != RUN_SCHEMA:
        found = one_line(repr(run.get("schema")), 60) if isinstance(run, dict) else None
        raise RecordsError(f"{file}: schema {found}; this version of harness reads {RUN_SCHEMA}")
    if run.get("kind") == "micro":
        raise RecordsError(f"{path} holds micro-benchmarks; only `harness report` reads them")
    check(file, run, RunFile)
    return {key: value for key, value in run.items() if value is not None}  # what is not known may be null


def read_run(path: Path) -> Records:
    """Read a run's folder; a torn pass is left out and named.

    Raises:
        RecordsError: no run.json, or one that is not as `read_facts` wants it.
    """
    return RunReader(path).read()


class RunReader:
    """Reads a run's folder, also again while the run goes on: then only new passes, since pass files do not change.

    Each file is opened by itself, so that a torn one does not affect the others; pyarrow's dataset takes twice as long
    for as many small files.

    Args:
        path: the folder.
        launch: whether it is one launch of several, which has no launches of its own.
    """

    def __init__(self, path: Path, launch: bool = False) -> None:
        self._path, self._launch = path, launch
        self._read: set[str] = set()
        self._passes: list[pa.Table] = []

    def read(self) -> Records:
        """All that the folder holds by now.

        Raises:
            RecordsError: as `read_run`.
        """
        unreadable: dict[str, str] = {}
        run = read_facts(self._path)
        partial = self._read_passes(passes_shape(run["config"]["probes"]), unreadable)
        columns = as_columns(self._passes)
        if columns and (missing := [key for key in WITH_PASSES if key not in run]):
            raise RecordsError(f"{self._path / RUN}: {missing[0]}: is missing, though there are passes")
        arms = [arm["name"] for arm in run["config"]["arms"]]
        beside = {
            what: as_columns(
                self._beside(f"{what}.parquet", Shape(has.numbers, has.flags, arms=arms, texts=has.texts), unreadable)
            )
            for what, has in BESIDE.items()
        }
        folded = {}
        for arm in run.get("flamegraphs", {}):
            name = f"flamegraphs/{arm}.folded"
            try:
                folded[arm] = read_text(self._path / name)
            except (OSError, ValueError) as error:
                unreadable[name] = cut_reason(error)
        records = Records(
            run, columns, unreadable, partial, beside["counters"], beside["probing"], beside["device"], folded,
            ceilings=beside["ceilings"], memory=beside["memory"], processes=beside["processes"],
            exposed=beside["exposed"], lines=beside["lines"],
        )  # fmt: skip
        return records if self._launch else _with_launches(records, self._path)

    def _read_passes(self, shape: Shape, unreadable: dict[str, str]) -> list[str]:
        """Read what is new of the passes; gives the names of those that were cut short."""
        partial = []
        if (self._path / PASSES).exists() and PASSES not in self._read:
            table = read_table(self._path / PASSES, PASSES, shape, unreadable)
            if table is not None:
                # A run that was killed while it joined its passes has left some of their files there.
                self._read |= {PASSES, *(f"{int(index):04d}.parquet" for index in set(table["pass"].to_pylist()))}
                self._passes.append(table)
        for file in sorted((self._path / "passes").glob("*.parquet")):
            if file.name.endswith(".partial.parquet"):
                partial.append(one_line(file.name, 100))
            elif re.fullmatch(r"\d{1,12}\.parquet", file.name) and file.name not in self._read:
                table = read_table(file, f"passes/{file.name}", shape, unreadable)
                if table is not None:
                    self._read.add(file.name)
                    self._passes.append(table)
        self._passes = join_tables(self._passes)
        return partial

    def _beside(self, name: str, shape: Shape, unreadable: dict[str, str]) -> list[pa.Table]:
        there = (self._path / name).exists()
        table = read_table(self._path / name, name, shape, unreadable) if there else None
        return [] if table is None else [table]


def _with_launches(records: Records, path: Path) -> Records:
    """The records with those of the launches; one that is not of the same run is left out and named."""
    launches: list[Records] = []
    unreadable = dict(records.unreadable)
    for file in sorted((path / "launches").glob(f"*/{RUN}")):
        launch = RunReader(file.parent, launch=True).read()
        if reason := _unlike(_first(records, launches), launch) or _of_no_arm(records, launch):
            unreadable[one_line(f"launches/{file.parent.name}", 100)] = reason
        else:
            launches.append(launch)
    run = dict(records.run)
    for first in [launch.run for launch in launches if launch.columns][:1]:
        # A run that was killed in its first launch has not taken these over from it yet.
        run = {**{key: first[key] for key in WITH_PASSES}, **run}
    return replace(records, run=run, unreadable=unreadable, launches=launches)


def _alike(config: dict[str, Any]) -> dict[str, Any]:
    """What launches of one run have alike in their config: what their passes are, and under which names."""
    protocol = config["protocol"]
    arms = [arm["name"] for arm in config["arms"]]
    return {
        **{key: config.get(key, "") for key in SAME},
        "arms": [NATIVE] if protocol["grain"] == "launch" else arms,  # the others are in engines of their own
        "bare": protocol["bare"],
        "exposed": protocol.get("exposed", False),
    }


def _first(records: Records, launches: list[Records]) -> Records:
    """What a launch must be like: the first one; at launch grain the whole run, whose work is native's.

    There the first launch can be of an arm that does other work.
    """
    config = records.run["config"]
    by_arm = config["protocol"]["grain"] == "launch" and "steps" in records.run and config["scope"] != "auto"
    return records if by_arm or not launches else launches[0]


def _of_no_arm(whole: Records, launch: Records) -> str:
    """Why a launch at launch grain is of none of the run's arms; empty where it is."""
    config = whole.run["config"]
    arm = launch.run.get("arm", "")
    known = {NATIVE, *(arm["name"] for arm in config["arms"])}
    return "" if config["protocol"]["grain"] != "launch" or arm in known else "it is of none of the run's arms"


def _unlike(first: Records, other: Records) -> str:
    """Why two launches are not of one run, in words; empty where they are."""
    one, another = (_alike(each.run["config"]) for each in (first, other))
    if apart := [key for key, value in one.items() if another[key] != value]:
        return f"its config has another {apart[0]}"
    if "steps" not in first.run or "steps" not in other.run:
        return ""
    keys = ("num_reqs", "num_tokens", "num_prefills")
    difference = signature_difference({key: first.run["steps"][key] for key in keys}, other.run["steps"])
    return f"it did other work: {difference}" if difference else ""
