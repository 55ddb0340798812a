"""A config whose arms are of both grains, as `harness run`, `ab` and `report` carry it out and show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.config.file import Loaded
    from harness.records.folder import RunFolder
    from harness.running.grains import Choice
    from harness.running.run import Outcome

__all__ = ["execute_both", "report_both"]


def execute_both(
    loaded: Loaded,
    choice: Choice,
    folder: RunFolder,
    given: list[str],
    typed: list[str],
    only_first: tuple[str, ...],
    tested: str,
) -> Outcome:
    """Run the arms of each grain in a run of their own; each shows its own progress."""
    from harness.cli.last_resort import say
    from harness.cli.output import announce_part
    from harness.running.both_grains import BothGrains, parts_of

    parts = parts_of(loaded.experiment, choice)
    why = "; ".join(choice.why)
    say(f"arms of both grains, since this cannot be switched in a living engine: {why}. Each grain has its own table")

    def announce(number: int, planned: int, left_s: float | None) -> None:
        part = parts[number - 1]
        announce_part(f"{part.grain} grain: {', '.join(part.arms)}", None)  # how long the other took says nothing of it

    return BothGrains(loaded, folder, given, typed, announce, tested, only_first, parts=parts).execute()


def report_both(folder: Path, shape: str, full: bool) -> int:
    """Render such a run again from its records, and print it; the exit status."""
    from harness.analysis.grains import summarise_grains
    from harness.analysis.summarise import summarise
    from harness.cli.output import rendered
    from harness.records.grains import read_grains
    from harness.report.console import make_console
    from harness.report.grains import grains_frame_csv, print_grains, render_grains

    records = read_grains(folder)
    whole = summarise_grains(records)
    if shape == "terminal":
        print_grains(whole, make_console(), full)

    def render() -> dict[str, str]:
        return render_grains(folder, whole, {grain: summarise(found) for grain, found in records.parts.items()})

    return rendered(folder, shape, render, lambda: grains_frame_csv(whole))
