"""`python -m harness`, and the program `harness`."""

from __future__ import annotations

from typing import NoReturn

from harness.cli import main
from harness.cli.leaving import leave_at_once


def program() -> NoReturn:
    """All of a process: the command line, and its end."""
    leave_at_once(main)


if __name__ == "__main__":
    program()
