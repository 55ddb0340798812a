"""Kinds of values that run.json holds, with their bounds, and the base of its sections."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = [
    "DOTTED",
    "LARGEST",
    "MANY",
    "MOST",
    "NAME",
    "Amount",
    "ArmName",
    "Count",
    "Counted",
    "Load",
    "Names",
    "Number",
    "Probe",
    "Recorded",
    "Section",
    "Share",
]

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
"""An arm's name, as in a config (`config.experiment.Arm`): files are named after it."""
DOTTED: Final = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
"""A name with dots, such as `Scheduler.schedule`."""

LARGEST: Final = 10**15
"""No time in nanoseconds, and no count, is larger: this is eleven days."""
MOST: Final = 100
"""Arms, and probes, at most, as in a config: they are columns and rows of tables."""
MANY: Final = 1000
"""Entries of a list or section that is shown whole, at most."""
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Counted = Annotated[int, Field(ge=1, le=LARGEST)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
ArmName = Annotated[str, StringConstraints(pattern=NAME, max_length=100)]
Probe = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*([.:][A-Za-z_]\w*)*$", max_length=300)]
Names = Annotated[list[ArmName], Field(max_length=MANY)]
Section = Annotated[dict[str, Any], Field(max_length=MANY)]
Load = Annotated[list[Amount], Field(min_length=1)]


class Recorded(BaseModel):
    """A section: no value is converted, and unknown keys are let through.

    Sections are built when a file is checked, inside what they are sections of: built by themselves as well, when this
    is imported, they would take longer than the check.
    """

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, defer_build=True)
