"""Reads the folder of a sweep: its run.json, and each point's records, which are those of a run of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import RecordsError
from harness.records.reading import POINTS, RUN, read_facts, read_run

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records.reading import Records

__all__ = ["SweepRecords", "is_sweep", "read_sweep"]


@dataclass(frozen=True)
class SweepRecords:
    """What a sweep's folder holds.

    Attributes:
        run: run.json of the whole.
        points: by number the records of a point.
        unreadable: by number why a point that is there was left out.
    """

    run: dict[str, Any]
    points: dict[int, Records] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)


def is_sweep(run: dict[str, Any]) -> bool:
    """Whether run.json is that of a sweep."""
    return bool(run.get("points"))


def read_sweep(path: Path) -> SweepRecords:
    """Read a sweep; a point whose records cannot be read, or are of another config, is left out and named.

    Raises:
        RecordsError: run.json is not as `read_facts` wants it, or is no sweep's.
    """
    run = read_facts(path)
    axes = run["config"].get("sweep") or {}
    if not is_sweep(run) or any(set(entry["values"]) != set(axes) for entry in run["points"]):
        raise RecordsError(f"{path / RUN}: points: each must have a value for each key of the config's sweep")
    found = SweepRecords(run)
    for entry in run["points"]:
        number = entry["number"]
        folder = path / POINTS / f"{number:02d}"
        if not (folder / RUN).is_file():
            continue
        try:
            records = read_run(folder)
        except RecordsError as error:
            found.unreadable[number] = str(error)
            continue
        if why := _unlike(run, records.run):
            found.unreadable[number] = why
        else:
            found.points[number] = records
    return found


def _unlike(whole: dict[str, Any], point: dict[str, Any]) -> str:
    """Why a point is not of this sweep, in words; empty where it is."""
    one, another = whole["config"], point["config"]
    if [arm["name"] for arm in one["arms"]] != [arm["name"] for arm in another["arms"]]:
        return "its config has other arms"
    return "" if one["baseline"] == another["baseline"] else "its config has another baseline"
