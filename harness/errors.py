"""The error tree. Every error's text is one line that says what to do next.

HarnessError              exit status 1: the run failed
├── ConfigError           exit status 2: the user can fix it (its text has the file, the key and the fix)
├── HostError             the engine did not start, or died
├── SeamError             a seam's target is not what this version of harness knows
├── GrainError            a change cannot be switched in a living engine: it goes to launch grain
├── ArmError              an arm raised, or turned wrong, while the engine ran
├── SetupError            an environment with another vLLM could not be made
├── ProfilerError         py-spy is missing, may not attach, or its process is gone
├── StepMismatchError     step i was not the same work in two passes
└── RecordsError          a run's folder cannot be written or read

ArmTimeout is none of these and no Exception: it is raised inside an arm that does not return, and must get out of it.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from harness.texts import one_line

__all__ = [
    "ArmError",
    "ArmTimeout",
    "ConfigError",
    "GrainError",
    "HarnessError",
    "HostError",
    "ProfilerError",
    "RecordsError",
    "SeamError",
    "SetupError",
    "StepMismatchError",
    "in_line",
    "told",
    "told_shortly",
    "told_with_place",
]

OWN: Final = Path(__file__).parent
LONGEST: Final = 300
"""Characters of a text that is not ours, in a message of one line."""
LONGEST_TOLD: Final = 2000
"""Characters of a whole message."""


def in_line(text: object, longest: int = LONGEST) -> str:
    """What is not ours, to stand in a message of one line: nothing in it breaks the line, and it is not long."""
    return one_line(str(text), longest)


def told_shortly(text: str) -> str:
    """A whole message that quotes what is not ours, in one line: a tensor's values can be megabytes."""
    return in_line(text, LONGEST_TOLD)


def told(error: BaseException) -> str:
    """Any exception in one line: its kind and the beginning of its text, whatever its own `__str__` does."""
    kind = type.__getattribute__(type(error), "__name__")[:100]
    try:
        text = str(error)
    except BaseException as second:  # noqa: BLE001 (the text of an exception can raise anything)
        text = f"(its text cannot be had: __str__ raised {type.__getattribute__(type(second), '__name__')[:100]})"
    text = in_line(" ".join(text[: 10 * LONGEST].split()))
    return f"{kind}: {text}" if text else kind


def told_with_place(error: BaseException) -> str:
    """What a user's code raised, in one line, with the file and line in that code nearest to the fault.

    Frames of libraries, which it called, and of harness, which called it, are passed over.
    """
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [
        frame for frame in frames if "site-packages" not in frame.filename and OWN not in Path(frame.filename).parents
    ]
    place = f" ({Path(theirs[-1].filename).name}:{theirs[-1].lineno})" if theirs else ""
    said = told(error)
    return f"{said if ': ' in said else f'{said}: no message'}{place}"


class HarnessError(Exception):
    """Base of all errors that harness raises on purpose. Its text is one line, whatever it quotes, and no long one."""

    exit_status = 1

    def __str__(self) -> str:
        return told_shortly(super().__str__())


class ConfigError(HarnessError):
    """The configuration asks for something that is not there, or is malformed.

    Each argument is a fault, and a line of the text: a line break in one does not begin another.
    """

    exit_status = 2

    def __str__(self) -> str:
        return "\n".join(told_shortly(str(fault)) for fault in self.args)


class HostError(HarnessError):
    """The engine did not start, or stopped answering."""


class SeamError(HarnessError):
    """A seam's target in the host does not look as expected, so it is not touched."""

    exit_status = 2


class GrainError(HarnessError):
    """A change cannot be switched between the steps of a living engine; the text says what of it, and why."""

    exit_status = 2


class ArmError(HarnessError):
    """An arm raised inside the running engine, or turned out wrong when it was checked again."""


class ArmTimeout(BaseException):
    """Raised inside an arm that has not returned for too long; no `except Exception` of the arm's keeps it."""


class SetupError(HarnessError):
    """An environment with another vLLM cannot be made; the text says what failed, and where the log lies."""


class ProfilerError(HarnessError):
    """py-spy is missing, may not attach, or the process that it sampled is gone."""


class StepMismatchError(HarnessError):
    """The same step index did different work in two passes, so pairing would be meaningless."""


class RecordsError(HarnessError):
    """A run's folder cannot be written, or holds nothing that can be read."""
