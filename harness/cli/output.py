"""What goes to the terminal: progress while an engine runs, whose own output goes to a file; then reports."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Terminal", "engine_output_to", "say_drawing"]


def say_drawing() -> None:
    """Say why nothing happens for some seconds after the table: pictures are being drawn."""
    Console(stderr=True).print("drawing the report", style="dim")


@contextlib.contextmanager
def engine_output_to(path: Path | None) -> Iterator[Console]:
    """Send file descriptors 1 and 2 to `path` (C++ and engine processes included) and give a console on the terminal.

    None leaves everything on the terminal.
    """
    if path is None:
        yield Console(stderr=True)
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with path.open("ab") as log, os.fdopen(os.dup(2), "w", encoding="utf-8") as terminal:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield Console(file=terminal)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, descriptor in enumerate(saved, start=1):
                os.dup2(descriptor, target)
                os.close(descriptor)


class Terminal:
    """An observer that shows the stage, how many of its passes are done, and how long still.

    It draws only when it is told something, which is between passes: a thread that redraws by itself would
    run Python inside the very steps that are timed.
    """

    def __init__(self, console: Console, unit: str = "pass") -> None:
        self._console = console
        self._unit, self._units = unit, f"{unit}es" if unit.endswith("s") else f"{unit}s"
        self._plain = not console.is_terminal
        self._done = self._passes = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,  # or what the engine prints would come to the terminal after all
            redirect_stderr=False,
        )

    def __enter__(self) -> Terminal:
        if not self._plain:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._plain:
            self._progress.stop()

    def note(self, text: str) -> None:
        """Something that the user should know now."""
        self._console.print(text, highlight=False)

    def stage(self, name: str, passes: int) -> None:
        """A stage of so many passes begins."""
        self._done, self._passes = 0, passes
        if self._plain:
            count = f" ({passes} {self._units if passes > 1 else self._unit})" if passes else " (some tens of seconds)"
            self._console.print(f"{name}{count}", highlight=False)
            return
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._progress.add_task(name if passes else f"{name} (some tens of seconds)", total=passes or 1)
        self._progress.refresh()

    def advance(self) -> None:
        """One pass of the stage has ended; without a terminal every quarter of a stage is told."""
        self._done += 1
        if not self._plain:
            self._progress.advance(self._progress.task_ids[-1])
            self._progress.refresh()
        elif self._passes >= 8 and self._done * 4 // self._passes > (self._done - 1) * 4 // self._passes:
            self._console.print(f"  {self._done} of {self._passes} {self._units}", highlight=False)
