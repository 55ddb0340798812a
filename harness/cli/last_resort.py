"""What the command line does where nothing else has an answer: streams that cannot be written, faults of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Final

import click

from harness.errors import in_line, told

__all__ = ["BROKEN_PIPE", "say", "sound_streams", "told_with_details", "why_unprintable"]

PRINTERS: Final = ("click", "rich")
"""Packages by which everything is printed."""
BROKEN_PIPE: Final = os.strerror(errno.EPIPE)


def sound_streams() -> None:
    """Have both streams there, and take every character: what their encoding lacks is shown as its number."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started this
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (as long as the process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Say it on standard error, under the program's name; a line of it stays a line."""
    for line in text.split("\n"):
        with contextlib.suppress(OSError):
            click.echo(f"harness: {in_line(line, 2_000)}", err=True)


def why_unprintable(ended: Exception | None) -> str:
    """Why standard output takes no more, after which nothing more is written to it; empty where it takes all.

    Args:
        ended: what ended the command, if anything unforeseen did: it may have been the printing itself.
    """
    failed = ended if isinstance(ended, OSError) and _where(ended) in PRINTERS else None
    if failed is None:
        try:
            sys.stdout.flush()
        except OSError as error:
            failed = error
    if failed is None:
        return ""
    with contextlib.suppress(OSError, ValueError):  # Python flushes again when it ends, and would complain again
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    return failed.strerror or type(failed).__name__


def _where(error: BaseException) -> str:
    """The package in which an error was raised."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")).partition(".")[0] if frames else ""


def told_with_details(error: BaseException) -> str:
    """An error that nobody foresaw in one line, with the file to which its traceback has been written."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="harness-fault-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(f"{sys.argv}\n\n{''.join(traceback.format_exception(error))}")
    except OSError:
        return f"a fault of harness itself: {told(error)}"
    return f"a fault of harness itself: {told(error)}; the details are in {file.name}"
