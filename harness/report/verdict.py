"""A run's verdict in a sentence, and why a reader should distrust its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.names import listed
from harness.digits import significant
from harness.report.steadiness import untested, withheld
from harness.report.table import build_totals
from harness.seams import AA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.summary import Comparison, Summary

__all__ = ["NAMED", "doubts", "struck", "verdict_sentence"]

NAMED: Final = 3
"""Arms of one verdict that are named, at most; of more, the last ones are counted."""
MISSED: Final = "did NOT recover"
"""How a failed selftest is recognised: a run keeps only its one line (`selftest.planted.describe`)."""


def verdict_sentence(summary: Summary, named: int = NAMED) -> str:
    """How the arms compare with the baseline, in the scope and in the whole step; empty where there is no verdict.

    Args:
        summary: the run.
        named: how many arms of one verdict are named, at most.
    """
    if summary.withheld or not summary.comparisons:
        return ""
    scope, baseline = summary.scope_in_words, summary.arms[summary.baseline]
    whole = f"the whole {summary.step_word}"
    levels = ((SCOPE, scope, baseline.corrected_scope_ns), (STEP, whole, baseline.bare_step_ns))
    parts: list[str] = []
    for metric, name, baseline_ns in levels:
        found = [c for c in summary.comparisons if c.metric == metric and c.arm != AA]
        if found and baseline_ns:
            usual_us = baseline_ns / baseline.steps / 1e3
            unit = "us" if parts else "us a step"
            parts.append(_level(f"{name} ({significant(usual_us, 4)} {unit})", found, usual_us, named))
    if not parts:
        return f"Nothing was compared with {summary.baseline} but {summary.baseline} itself (A/A)."
    unequal = list(struck(summary))
    parts += [f"{_few(unequal, named)} {'is' if len(unequal) == 1 else 'are'} struck"] if unequal else []
    return f"Against {summary.baseline}, {'; '.join(parts)}."


def _level(name: str, found: Sequence[Comparison], usual_us: float, named: int) -> str:
    """`name is faster with a (-13 %) and b (-7 %), and no difference is resolved for c`, the largest change first."""
    changes = {c.arm: c.per_step_us.estimate / usual_us * 100 for c in found}
    words = []
    for verdict in ("faster", "slower", "equivalent"):
        arms = [c.arm for c in found if c.verdict == verdict]
        if verdict in ("faster", "slower"):
            arms = [
                f"{arm} ({'+' * (changes[arm] > 0)}{significant(changes[arm], 2)} %)"
                for arm in sorted(arms, key=lambda arm: -abs(changes[arm]))
            ]
        words += [f"{verdict} with {_few(arms, named)}"] if arms else []
    unresolved = [c.arm for c in found if c.verdict == "not resolved"]
    nothing = f"no difference is resolved for {_few(unresolved, named)}" if unresolved else ""
    if not words:
        return f"in {name} {nothing}"
    return f"{name} is {', '.join(words)}{', and ' * bool(nothing)}{nothing}"


def _few(names: Sequence[str], named: int) -> str:
    """`a`; `a and b`; `a, b and 3 more`: `named` words at most."""
    return listed(names, named if len(names) <= named else max(named - 1, 1))


def struck(summary: Summary) -> dict[str, str]:
    """The arms that do not compute what `native` computes, with the reason."""
    return {name: arm.reason for name, arm in summary.arms.items() if arm.equal is False and name != AA}


def doubts(summary: Summary, told: str = "") -> list[str]:
    """A sentence each, the most serious first: why a reader should not take the figures as they stand.

    Args:
        summary: the run.
        told: a note that is left out, since it is printed elsewhere.
    """
    totals = build_totals(summary)
    return [
        *withheld(summary),
        *(f"{name} is struck: {reason}" for name, reason in struck(summary).items()),
        *(note for note in summary.notes if note != told),
        *(totals.footnotes if totals else []),
        *untested(summary),
        *_busy(summary),
        *_selftest(summary),
        *_substituted(summary),
    ]


def _busy(summary: Summary) -> list[str]:
    """Whether the machine had other work: no core to spare before the run, or more load than the run's own after it."""
    cores = summary.run["machine"]["usable_cores"]
    before = summary.run["machine"]["load_average"][0]
    after = summary.run.get("load_average_at_end", [None])[0]
    if before <= max(cores - 1, 0.5) and (after is None or after <= cores + 0.5):
        return []
    told = "" if after is None else f" and {after} after it"
    counted = f"{cores} core{'s' if cores > 1 else ''}"
    return [f"the load was {before} before the run{told}, on {counted}: other work may have run beside it"]


def _selftest(summary: Summary) -> list[str]:
    said = summary.run.get("selftest", "")
    return [f"the selftest {said}"] if MISSED in said else []


def _substituted(summary: Summary) -> list[str]:
    host = summary.run.get("host", {})
    parts = host.get("details", {}).get("substituted", [])
    return [f"not {host['engine']}'s own: {'; '.join(parts)}"] if parts else []
