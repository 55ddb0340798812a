"""A history's folder: `history.json`, how it went; `history.csv`, the figures of each launch; `launches/02/`, profiles.

The report is made of the first two alone.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from harness.errors import RecordsError
from harness.records.checked import check, cut_reason, read_json, read_text
from harness.records.config_schema import ConfigEntry
from harness.records.recorded import MANY, Amount, Counted, Recorded
from harness.records.run_schema import BlockEntry, LaunchEntry, MachineFacts
from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from harness.records.folder import RunFolder

__all__ = ["Figure", "History", "is_history", "read_history", "write_facts", "write_figures"]

FACTS: Final = "history.json"
FIGURES: Final = "history.csv"
SCHEMA: Final = 1
MOST_FIGURES: Final = 200_000


@dataclass(frozen=True)
class Figure:
    """One phase in one kind of turn, as one launch saw it.

    Attributes:
        release: of vLLM.
        block, launch: their numbers.
        kind: of the turn: prefill, mixed, decode; or arrival, whose figures are a request.
        phase: its label; empty for the whole turn with its output.
        section: arrival, turn or output; `model` for what computes the model; empty for the whole turn.
        us: microseconds a turn, or a request.
        calls: a turn, or a request.
    """

    release: str
    block: int
    launch: int
    kind: str
    phase: str
    section: str
    us: float
    calls: float


class ReleaseEntry(Recorded):
    """A release, and the environment that it ran in."""

    release: Annotated[str, Field(max_length=100)]
    torch: str
    hash: str
    left_out: str = ""


class HistoryFile(Recorded):
    """The whole of history.json."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["history"]
    status: Literal["running", "complete", "failed", "interrupted"]
    message: str = ""
    command: Annotated[list[str], Field(max_length=MANY)]
    config_file: str
    config: ConfigEntry
    machine: MachineFacts
    versions: Annotated[dict[str, str], Field(max_length=MANY)]
    releases: Annotated[list[ReleaseEntry], Field(min_length=1, max_length=MANY)]
    blocks: Annotated[list[BlockEntry], Field(max_length=MANY)] = Field(default_factory=list)
    launches: Annotated[list[LaunchEntry], Field(max_length=10 * MANY)] = Field(default_factory=list)
    functions: dict[str, dict[str, list[str]]] = Field(default_factory=dict)
    runner_alone: Annotated[list[str], Field(max_length=MANY)] = Field(default_factory=list)
    seconds: Amount = 0.0
    wanted: Counted


@dataclass(frozen=True)
class History:
    """What a history's folder holds.

    Attributes:
        facts: history.json.
        figures: of all launches.
    """

    facts: dict[str, Any]
    figures: list[Figure]

    @property
    def releases(self) -> list[str]:
        """In their order."""
        return [each["release"] for each in self.facts["releases"]]


def is_history(path: Path) -> bool:
    """Whether a folder holds a history."""
    return (path / FACTS).is_file()


def read_history(path: Path) -> History:
    """Read a history's folder.

    Raises:
        RecordsError: something in it is missing, torn or not as it must be.
    """
    file = path / FACTS
    try:
        facts = read_json(file)
    except FileNotFoundError:
        raise RecordsError(f"{path} holds no history: there is no {FACTS}") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise RecordsError(f"{file}: another schema; this version of harness reads {SCHEMA}")
    check(file, facts, HistoryFile)
    return History(facts, _figures(path / FIGURES))


def write_facts(folder: RunFolder, facts: dict[str, Any]) -> None:
    """Write history.json."""
    told = {"schema": SCHEMA, "kind": "history", **facts}
    folder.write_text(FACTS, json.dumps(told, indent=2, ensure_ascii=False) + "\n")


def write_figures(folder: RunFolder, figures: Iterable[Figure]) -> None:
    """Write history.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([each.name for each in fields(Figure)])
    for figure in figures:
        *names, us, calls = astuple(figure)
        writer.writerow([*names, f"{us:.3f}", f"{calls:.4g}"])
    folder.write_text(FIGURES, text.getvalue())


def _figures(file: Path) -> list[Figure]:
    try:
        rows = list(csv.reader(io.StringIO(read_text(file))))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise RecordsError(f"{file}: cannot be read: {cut_reason(error)}") from error
    names = [each.name for each in fields(Figure)]
    if not rows or rows[0] != names or len(rows) > MOST_FIGURES:
        raise RecordsError(f"{file}: is no table of a history: its columns are {', '.join(names)}")
    found = []
    for line, row in enumerate(rows[1:], start=2):
        try:
            release, block, launch, kind, phase, section, us, calls = row
            figure = Figure(
                one_line(release, 100), int(block), int(launch), one_line(kind, 40), one_line(phase, 100),
                one_line(section, 40), float(us), float(calls),
            )  # fmt: skip
            if not (abs(figure.us) < 1e12 and 0 <= figure.calls < 1e12):
                raise ValueError("no such time")
        except ValueError:
            raise RecordsError(f"{file}:{line}: is no row of a history") from None
        found.append(figure)
    return found
