"""A run of both grains: the summary of each, at a confidence that makes the intervals of both hold together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.analysis.summarise import summarise
from harness.analysis.sweep import at_joint_confidence

if TYPE_CHECKING:
    from harness.analysis.summary import Summary
    from harness.records.grains import GrainRecords

__all__ = ["GRAINS_SCHEMA", "GrainsSummary", "summarise_grains"]

GRAINS_SCHEMA: Final = 1


@dataclass(frozen=True)
class GrainsSummary:
    """All that the report of a run of both grains shows.

    Attributes:
        run: run.json of the whole.
        parts: by grain its summary, in the order in which they were run.
        notes: what a reader has to know of the whole.
    """

    run: dict[str, Any]
    parts: dict[str, Summary] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """summary.json."""
        return {
            "schema": GRAINS_SCHEMA,
            "kind": "grains",
            "status": self.run["status"],
            "grains": {grain: summary.as_json() for grain, summary in self.parts.items()},
            "notes": self.notes,
        }


def summarise_grains(records: GrainRecords) -> GrainsSummary:
    """Work out the summary of both; a grain without records is noted."""
    found = GrainsSummary(records.run)
    planned = [entry["grain"] for entry in records.run["grains"]]
    for grain in planned:
        if grain in records.parts:
            found.parts[grain] = summarise(at_joint_confidence(records.parts[grain], len(planned)))
        else:
            found.notes.append(f"{grain} grain: {records.unreadable.get(grain, 'was not run')}")
    return found
