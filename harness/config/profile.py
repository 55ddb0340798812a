"""What a config may say of a profile: which parts of a turn are looked into, and what beside time is taken."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from typing import Annotated, Any, Final

from pydantic import Field, field_validator, model_validator

from harness.config.numbers import Count
from harness.config.strict import Strict
from harness.errors import in_line
from harness.instrument.scopes import AUTO
from harness.seams import NATIVE

__all__ = ["Profile", "native_alone"]

DEEPEST: Final = 5
LINES: Final = "line_profiler"
Name = Annotated[str, Field(pattern=r"^[\w .*?\[\]-]+$", max_length=300)]
Function = Annotated[str, Field(pattern=r"^\w+(\.\w+)+$", max_length=300)]


class Profile(Strict):
    """What is looked at, beside the phases that every profile has.

    Attributes:
        into: phases that are opened: every function called in one is timed, down to `depth`. A phase's label, or the
            full name of any function of the turn.
        depth: how many levels of calls below an opened phase.
        targets: further functions, by full name or wildcard: `package.module.Class.*`, a class, or a module.
        steps: which steps of a pass are told of, `FIRST:LAST` with the last one left out; all where it is empty.
        lines: functions that are timed line by line, in passes of their own.
        exposed: how much of each phase shows in the loop, by delays planted behind it, in passes of their own.
        memory: count the objects that each phase leaves behind, in passes of their own.
    """

    into: list[Name] = Field(default_factory=list, max_length=20)
    depth: Annotated[Count, Field(ge=1, le=DEEPEST)] = 1
    targets: list[Name] = Field(default_factory=list, max_length=50)
    steps: Annotated[str, Field(max_length=30)] = ""
    lines: list[Function] = Field(default_factory=list, max_length=10)
    exposed: bool = False
    memory: bool = True

    @field_validator("steps")
    @classmethod
    def _a_window(cls, steps: str) -> str:
        if steps:
            window(steps)
        return steps.strip()

    @field_validator("lines")
    @classmethod
    def _can_be_timed(cls, lines: list[str]) -> list[str]:
        if lines and find_spec(LINES) is None:
            here = sys.executable  # each environment needs its own: vLLM 0.5.4 has another one
            raise ValueError(f"{LINES} is not installed, and times lines: `{here} -m pip install {LINES}` installs it")
        return lines

    @model_validator(mode="after")
    def _depth_of_something(self) -> Profile:
        if self.depth > 1 and not self.into:
            raise ValueError("depth: it is of opened phases, and `into` opens none: leave it out")
        return self


def window(steps: str) -> tuple[int, int | None]:
    """The two numbers of `100:200`, either of which may be left out.

    Raises:
        ValueError: they are none, or there is no step between them.
    """
    found = re.fullmatch(r"(\d{0,9}):(\d{0,9})", steps.strip())
    if found is None or steps.strip() == ":":
        raise ValueError(f"{in_line(repr(steps), 40)}: write FIRST:LAST, as in 100:200")
    first, last = int(found[1] or 0), int(found[2]) if found[2] else None
    if last is not None and last <= first:
        raise ValueError(f"{in_line(steps, 40)}: there is no step between {first} and {last}")
    return first, last


def native_alone(value: dict[str, Any]) -> dict[str, Any]:
    """A config with a profile: native is its only arm, and the phases are its probes.

    Raises:
        ValueError: the config compares something.
    """
    for key in ("seam", "swap", "probes", "scope", "sweep"):
        if value.get(key) and (key, value[key]) != ("scope", AUTO):
            raise ValueError(f"{key}: a profile measures vLLM as it is, by its phases: leave {key} or profile out")
    if value.get("arms", [NATIVE]) not in ([NATIVE], [{"name": NATIVE}]) or value.get("baseline", NATIVE) != NATIVE:
        raise ValueError("arms: a profile measures vLLM as it is: leave arms or profile out")
    return {**value, "arms": [NATIVE], "baseline": NATIVE, "seam": "", "scope": AUTO}
