"""The command line by which a run is made again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from harness.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.summary import Summary

__all__ = ["command_line", "without_out"]


def command_line(summary: Summary) -> str:
    """How to run it again, into a new folder; what came from standard input is in the run's own folder."""
    arguments = without_out(summary.run["command"])
    if "ab" in arguments and "-" in arguments:
        arguments = ["python", "-m", "harness", "run", "config.yaml"]
    return one_line(shlex.join(arguments))


def without_out(command: Sequence[str]) -> list[str]:
    """A command line without its --out."""
    arguments = list(command)
    if "--out" in arguments:
        place = arguments.index("--out")
        del arguments[place : place + 2]
    return [argument for argument in arguments if not argument.startswith("--out=")]
