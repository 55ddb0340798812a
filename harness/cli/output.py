"""What goes to the terminal: progress while an engine runs, whose own output goes to a file; then reports."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Final

import click

from harness.digits import duration
from harness.errors import RecordsError
from harness.records.folder import RunFolder
from harness.report.console import make_console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

__all__ = ["SHAPES", "Terminal", "announce_part", "drawing", "engine_output_to", "rendered", "written"]


SHAPES: Final = {"markdown": "report.md", "html": "report.html", "json": "summary.json"}
"""By --format, which of a report's files is printed."""
UNKNOWN: Final = "some tens of seconds"
"""How long an engine takes to start, where none like it has been started before."""


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Say why nothing happens for some seconds after the table; on a terminal the line disappears afterwards."""
    console = make_console(stderr=True)
    if not console.is_terminal:
        console.print("drawing the report (some seconds)")
        yield
        return
    with console.status("drawing the report (some seconds)"):
        yield


def written(folder: Path, texts: Mapping[str, str]) -> bool:
    """Write reports into a run's folder. Where that fails it is said, and False: what was asked for is printed anyway.

    Args:
        folder: of the run, perhaps on a full disk, or one that may only be read.
        texts: the files by name.
    """
    try:
        RunFolder.existing(folder).write_texts(texts)
    except RecordsError as error:
        click.echo(f"harness: {error}; the report is printed, but not written", err=True)
        return False
    return True


def rendered(folder: Path, shape: str, render: Callable[[], Mapping[str, str]], as_csv: Callable[[], str]) -> int:
    """Make a folder's report again, and print what was asked for; the exit status.

    Args:
        folder: of the run.
        shape: what to print: `terminal`, for which the tables have been printed before, `csv`, or one of `SHAPES`.
        render: gives the report's files by name.
        as_csv: gives the rows.
    """
    from harness.report.screen import where_the_report_is

    with drawing():
        texts = render()
    kept = written(folder, texts)
    if shape == "csv":
        click.echo(as_csv(), nl=False)
    elif shape != "terminal":
        click.echo(texts[SHAPES[shape]], nl=False)
    elif kept:
        click.echo(where_the_report_is(folder))
    return 0 if kept else 1


@contextlib.contextmanager
def engine_output_to(path: Path | None) -> Iterator[Console]:
    """Send file descriptors 1 and 2 to `path` (C++ and engine processes included) and give a console on the terminal.

    None leaves everything on the terminal.
    """
    if path is None:
        yield make_console(stderr=True)
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with path.open("ab") as log, os.fdopen(os.dup(2), "w", encoding="utf-8") as terminal:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield make_console(terminal)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, descriptor in enumerate(saved, start=1):
                os.dup2(descriptor, target)
                os.close(descriptor)


def announce_part(what: str, left_s: float | None) -> None:
    """Say which part of a run begins: a launch, a point; `left_s` is about how long the rest takes, where known."""
    left = "" if left_s is None else f", about {duration(left_s)} left"
    click.echo(f"{what}{left}", err=True)


class Terminal:
    """An observer that shows the stage, how many of its passes are done, and how long the rest takes.

    It draws only when it is called, which is between passes: a thread that redraws by itself would
    run Python inside the very steps that are timed.

    Args:
        console: where it shows it.
        unit: what stages have several of.
        clock: gives seconds.
        live: redraw lines where that can be done; not where several processes show theirs at once.
    """

    def __init__(
        self, console: Console, unit: str = "pass", clock: Callable[[], float] = time.monotonic, live: bool = True
    ) -> None:
        # Imported here, since a report, which needs only what is above, would wait for it.
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._console, self._clock = console, clock
        self._unit, self._units = unit, f"{unit}es" if unit.endswith("s") else f"{unit}s"
        self._plain = not (live and console.is_terminal)
        self._done = self._passes = 0
        self._began = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
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
        self._console.print(text, highlight=False, soft_wrap=True)  # in a log a sentence stays on its line

    def stage(self, name: str, passes: int, seconds: float | None = None) -> None:
        """A stage of so many passes begins; `seconds` is about how long it takes, where that is known."""
        self._done, self._passes, self._began = 0, passes, self._clock()
        left = UNKNOWN if seconds is None else f"about {duration(seconds)}"
        if self._plain:
            parts = [f"{passes} {self._units if passes > 1 else self._unit}"] if passes else []
            parts += [left] if seconds is not None or not passes else []
            self._console.print(f"{name} ({', '.join(parts)})", highlight=False)
            return
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        if passes:
            self._progress.add_task(name, total=passes, left=left if seconds is not None else "")
        else:
            self._progress.add_task(f"{name} ({left})", total=1, left="")
        self._progress.refresh()

    def advance(self) -> None:
        """One pass of the stage has ended; without a terminal every quarter of a stage is reported."""
        self._done += 1
        each_s = (self._clock() - self._began) / self._done
        left = f"about {duration(each_s * (self._passes - self._done))} left" if self._done < self._passes else ""
        if not self._plain:
            self._progress.update(self._progress.task_ids[-1], advance=1, left=left)
            self._progress.refresh()
        elif self._passes >= 8 and self._done * 4 // self._passes > (self._done - 1) * 4 // self._passes:
            text = f"  {self._done} of {self._passes} {self._units}"
            self._console.print(f"{text}, {left}" if left else text, highlight=False)
