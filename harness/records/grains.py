"""Reads the folder of a run whose arms are of both grains: its run.json, and the records of each grain's own run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import RecordsError
from harness.records.reading import RUN, read_facts, read_run

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records.reading import Records

__all__ = ["GrainRecords", "is_of_both_grains", "read_grains"]


@dataclass(frozen=True)
class GrainRecords:
    """What the folder holds.

    Attributes:
        run: run.json of the whole.
        parts: by grain the records of its run.
        unreadable: by grain why its run, which is there, was left out.
    """

    run: dict[str, Any]
    parts: dict[str, Records] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def is_of_both_grains(run: dict[str, Any]) -> bool:
    """Whether run.json is that of a run of both grains."""
    return bool(run.get("grains"))


def read_grains(path: Path) -> GrainRecords:
    """Read a run of both grains; a grain whose records cannot be read, or have other arms, is left out and named.

    Raises:
        RecordsError: run.json is not as `read_facts` wants it, or is of no such run.
    """
    run = read_facts(path)
    if not is_of_both_grains(run):
        raise RecordsError(f"{path / RUN}: grains: there are none")
    found = GrainRecords(run)
    for entry in run["grains"]:
        grain = entry["grain"]
        folder = path / grain
        if not (folder / RUN).is_file():
            continue
        try:
            records = read_run(folder)
        except RecordsError as error:
            found.unreadable[grain] = str(error)
            continue
        if missing := sorted(set(entry["arms"]) - {arm["name"] for arm in records.run["config"]["arms"]}):
            found.unreadable[grain] = f"its config has no arm {missing[0]}"
        else:
            found.parts[grain] = records
    return found
