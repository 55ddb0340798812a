"""Tables below the main one, each from passes of its own: counts, the device's clock, samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from harness.analysis.ablation import DEFINITION, published_beside_measured
from harness.report.accumulated_table import build_accumulated_table, build_cpu_table
from harness.report.table import Column, Table, build_shape_table, count, format_interval

if TYPE_CHECKING:
    from harness.analysis.intervals import Interval
    from harness.analysis.summary import Summary

__all__ = [
    "build_ablation_table",
    "build_ceiling_table",
    "build_counter_table",
    "build_device_table",
    "build_sampling_table",
    "side_tables",
]

COUNTED: Final = {
    "aten_dispatches": "ATen dispatches",
    "device_copies": "copies to the device",
    "device_copy_bytes": "bytes copied to the device",
}
SYNCHRONISATIONS: Final = "scope_synchronisations"
NONE_SEEN: Final = 3.0
"""Where no sample was seen, the expected number may have been up to this (95 %, Poisson)."""


def side_tables(summary: Summary) -> list[tuple[str, Table]]:
    """All side tables that the run has data for, each with its caption."""
    scope = summary.scope
    tables = (
        ("Accumulated time, and what comes rarely", build_accumulated_table(summary)),
        (f"By two clocks, the differences to {summary.baseline}", build_cpu_table(summary)),
        ("At most this much could be won, by arms that may compute less", build_ceiling_table(summary)),
        (f"By the shape of the batch, the difference of {scope}", build_shape_table(summary)),
        ("The issue's ablation, as published and as measured here", build_ablation_table(summary)),
        ("What each arm makes PyTorch do, counted in passes of its own", build_counter_table(summary)),
        ("The same by the device's clock, in passes of its own", build_device_table(summary)),
        ("What py-spy saw, in passes of its own", build_sampling_table(summary)),
    )
    return [(caption, table) for caption, table in tables if table is not None]


def build_ablation_table(summary: Summary) -> Table | None:
    """The published ablation beside the run's own, on the issue's own code path; by sign and share, never by time."""
    rows = published_beside_measured(summary)
    if not rows:
        return None
    columns = [
        Column("published", "share", [f"{row.published:+.1f} %" for row in rows]),
        Column("measured", "share", [format_interval(row.measured) + " %" if row.measured else "" for row in rows]),
        Column("sign", "", [row.agreement for row in rows]),
    ]
    return Table("%", [row.api for row in rows], columns, [*(row.sentence for row in rows), DEFINITION], 0)


def build_ceiling_table(summary: Summary) -> Table | None:
    """What arms that may compute less save; it is no verdict on them."""
    if not summary.ceilings:
        return None
    cells = [
        [
            found.reason or _saved(found.scope_us, found.scope_of),
            "" if found.reason else _saved(found.step_us, found.step_of),
            f"{found.groups:,}",
        ]
        for found in summary.ceilings
    ]
    titles = ((summary.scope, "us a step saved"), (f"whole {summary.step_word}", "us saved"), ("passes", "of it"))
    columns = [Column(*title, list(column)) for title, column in zip(titles, zip(*cells, strict=True), strict=True)]
    footnotes = [
        f"whole passes of each and of {summary.baseline} in random order, after all that is compared; such an arm is "
        "not equal to native, and what it leaves undone is missing in later steps too"
    ]
    if summary.exposure is not None:
        shown = summary.exposure.slope.scaled(100)
        footnotes.append(
            f"of a saving in {summary.scope} {format_interval(shown)} % would show in the loop, as planted delays tell"
        )
    return Table("us", [found.arm for found in summary.ceilings], columns, footnotes, 0, corner="ceiling")


def _saved(saved: Interval | None, share: float) -> str:
    return "" if saved is None else f"{format_interval(saved)} ({100 * share:.2g} %)"


def build_counter_table(summary: Summary) -> Table | None:
    """What each arm makes PyTorch do in a step."""
    if not summary.counters:
        return None
    copied = any(counts["step_device_copies"] for counts in summary.counters.values())
    scope = summary.scope
    rows = {
        f"{part}_{counter}": f"{label}, {place}"
        for counter, label in COUNTED.items()
        if counter == "aten_dispatches" or copied
        for part, place in (("scope", scope), ("step", f"whole {summary.step_word}"))
    }
    if copied and all(SYNCHRONISATIONS in counts for counts in summary.counters.values()):
        rows[SYNCHRONISATIONS] = f"waits for the device, {scope}"
    columns = [
        Column(arm, "a step", [count(counts[name]) for name in rows]) for arm, counts in summary.counters.items()
    ]
    footnotes = [] if copied else ["nothing was copied from host memory to another device"]
    return Table("", list(rows.values()), columns, footnotes, 0, corner="count")


def build_device_table(summary: Summary) -> Table | None:
    """The device's time in scope and step and its waiting in between, beside the host's time in the scope."""
    if not summary.device:
        return None
    scope = summary.scope
    rows = [f"host, in {scope}", f"device, in {scope}", "device, in the whole step", "device, idle between steps"]
    columns = []
    for name, times in summary.device.items():
        arm = summary.arms[name]
        host_us = f"{arm.corrected_scope_ns / arm.steps / 1e3:.1f}" if arm.measured else ""
        by_device = [_level(interval) for interval in (times.scope_us, times.step_us, times.gap_us)]
        columns.append(Column(name, "us a step", [host_us, *by_device]))
    passes = next(iter(summary.device.values())).passes
    footnotes = [
        f"by CUDA events, mean of {passes} passes [95 % of each by itself]; what the device does in {scope} is its own "
        "work there and its waiting for the host"
    ]
    return Table("us", rows, columns, footnotes, 0, corner="clock")


def _level(interval: Interval) -> str:
    """A level, which has no sign, with its interval."""
    return format_interval(interval).removeprefix("+")


def build_sampling_table(summary: Summary) -> Table | None:
    """What py-spy saw of each arm and what it cost, beside what the probes say."""
    if not summary.flames:
        return None
    cells = []
    for name, flame in summary.flames.items():
        found, arm = flame.recording, summary.arms[name]
        # Counts of samples are taken as Poisson variables; 1.96 standard deviations.
        half_width_us = 1.96 * math.sqrt(found.scope_samples) * flame.a_sample
        none = f"< {NONE_SEEN * flame.a_sample:.2g}"
        cells.append(
            [
                f"{flame.scope_time:.0f} +-{half_width_us:.0f}" if found.scope_samples else none,
                f"{arm.corrected_scope_ns / arm.steps / 1e3:.0f}" if arm.measured else "",
                f"{found.samples:,} / {found.scope_samples:,}",
                f"{found.errors:,}",
                f"{found.slow_down:.2f} x" if found.slow_down else "",
            ]
        )
    scope = summary.scope
    first = next(iter(summary.flames.values())).recording
    titles = (
        ("by samples", "us a step"), ("by probes", "us a step"), ("samples", "/ in scope"),
        ("errors", ""), ("a step", "took"),
    )  # fmt: skip
    columns = [Column(*title, list(column)) for title, column in zip(titles, zip(*cells, strict=True), strict=True)]
    torn = any(flame.recording.nonblocking for flame in summary.flames.values())
    behind = {name: flame.recording.behind_s for name, flame in summary.flames.items() if flame.recording.behind_s}
    where = "" if summary.launches == 1 else ", in the first launch"
    footnotes = [f"py-spy looked {first.rate_hz} times a second for {first.seconds:.0f} s an arm{where}"]
    footnotes += ["stacks were read while the engine ran on, so they may be torn"] if torn else []
    if behind:
        told = ", ".join(f"{name} by {seconds:.1f} s" for name, seconds in behind.items())
        footnotes.append(f"py-spy fell behind its rate ({told}); lower flamegraph.rate_hz")
    return Table("", list(summary.flames), columns, footnotes, 0, corner=scope)
