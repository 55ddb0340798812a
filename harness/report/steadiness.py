"""What changed while a run was measured: shifts of the level, which withhold verdicts or not, and outlying steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.by_launch import is_by_launch
from harness.analysis.drift import LEVEL, MACHINE, SHARE
from harness.digits import significant

if TYPE_CHECKING:
    from harness.analysis.drift import LevelShift
    from harness.analysis.summary import Summary

__all__ = ["shifts", "steadiness", "untested", "withheld"]


def steadiness(summary: Summary) -> list[str]:
    """What changed during the run and does not invalidate verdicts: level shifts, outlying steps with their causes."""
    if not any(arm.measured for arm in summary.arms.values()):
        return []
    return [*shifts(summary), *untested(summary), *_no_shift(summary), *_outliers(summary)]


def shifts(summary: Summary) -> list[str]:
    """The level shifts that do not withhold verdicts."""
    harmless = {
        SHARE: "less than the margin",
        LEVEL: "both sides of a paired difference share it",
        MACHINE: "all arms share it, so it cancels in paired differences",
    }
    told = [shift for shift in summary.drift if not shift.withholds]
    if len({shift.launch for shift in told}) > 1:
        low, high = (limit(shift.size for shift in told) * 100 for limit in (min, max))
        return [
            f"The level shifted in {len({shift.launch for shift in told})} of {summary.launches} launches, by "
            f"{low:+.2g} to {high:+.2g} %. This does not withhold verdicts (summary.json lists each)."
        ]
    if is_by_launch(summary.run):
        harmless = dict.fromkeys(harmless, "it is in the spread between launches")
    return [f"{_shift(summary, shift)}: {harmless[shift.of]}." for shift in told]


def untested(summary: Summary) -> list[str]:
    """A line where there were too few passes to test for shifts."""
    watched = summary.run["config"]["protocol"]["drift"]
    if (
        summary.drift_tested
        or any(shift.of == watched for shift in summary.drift)
        or not any(arm.measured for arm in summary.arms.values())
    ):
        return []
    return ["There were too few passes to look for a shift of the level during the run."]


def withheld(summary: Summary) -> list[str]:
    """Why verdicts are withheld, if they are."""
    margin = summary.run["config"]["protocol"]["margin"] * 100
    baseline = summary.arms[summary.baseline]
    return [
        f"Verdicts are withheld. {_shift(summary, shift)} "
        f"({abs(shift.size) * baseline.corrected_scope_ns / baseline.steps / 1e3:.2g} us a step), "
        f"which is more than the margin of {margin:g} %. Run it again."
        for shift in summary.drift
        if shift.withholds
    ]


def _shift(summary: Summary, shift: LevelShift) -> str:
    scope = summary.scope
    what = {
        SHARE: f"{scope}, relative to the rest of the step,",
        LEVEL: scope,
        MACHINE: "the rest of the step",
    }[shift.of]
    where = f"pass {shift.first_pass} of {shift.passes}"
    if summary.launches > 1:
        where += f" of launch {shift.launch}"
    size = f"{abs(shift.size) * 100:.2g} % {'slower' if shift.size > 0 else 'faster'}"
    return f"From {where} on {what} was {size}"


def _no_shift(summary: Summary) -> list[str]:
    watched = summary.run["config"]["protocol"]["drift"]
    if not summary.drift_tested or any(shift.of == watched for shift in summary.drift):
        return []
    of = "the scope's share of the step" if watched == SHARE else "the scope"
    return [f"No shift of the level of {of} was found during the run (change-point test at 5 %)."]


def _outliers(summary: Summary) -> list[str]:
    found = summary.outliers
    if found is None:
        return []
    line = (
        f"{found.outlying:,} of {found.steps:,} steps were outlying, with {found.excess_share * 100:.2g} % of all time "
        "above the usual"
    )
    if not found.outlying:
        return [f"None of {found.steps:,} steps was outlying."]
    causes = [
        f"in {cause.steps:,} {cause.meaning} (so in {significant(cause.outlying_share * 100, 2)} % of the outlying "
        f"steps and {significant(cause.ordinary_share * 100, 2)} % of the others)"
        for cause in found.causes
        if cause.steps
    ]
    return [f"{line}: {'; '.join([*causes, f'{found.unexplained:,} without a cause that this process can see'])}."]
