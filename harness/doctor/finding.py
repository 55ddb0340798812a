"""A finding, and looking at one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import HarnessError

__all__ = ["Finding", "check"]

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One line: what was examined, what was found, and what to do about it unless all is well."""

    level: Level
    subject: str
    found: str
    mend: str = ""


def check(subject: str, look: Any) -> Finding:
    """What a look at something of a config gives, or what is wrong with it."""
    try:
        return Finding("ok", subject, str(look()))
    except HarnessError as error:
        return Finding("fault", subject, str(error), "fix the config, or use a vLLM that has it")
