"""What a summary says of each arm by itself: its totals, counts, recordings and throughput."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.metrics import REST, SCOPE, STEP
from harness.analysis.statistics import total
from harness.analysis.summary import ArmSummary, Comparison, ProbeTotals, Throughput
from harness.instrument.counters import COUNTERS
from harness.sampling.sampled import Recording, flame_of_arm
from harness.sampling.stacks import parse

if TYPE_CHECKING:
    from harness.analysis.measured import Values
    from harness.records.folder import Records
    from harness.records.tables import Columns
    from harness.sampling.sampled import Flame

__all__ = ["arm_summary", "counts_of", "flames_of", "throughput_of"]


def arm_summary(arm: ArmSummary, values: Values, probes: list[str]) -> ArmSummary:
    """An arm with what it measured."""
    groups, steps = values[SCOPE].shape
    return ArmSummary(
        equal=arm.equal,
        reason=arm.reason,
        steps=steps,
        passes=groups,
        step_ns=total(values["probed_step_ns"]),
        bare_step_ns=total(values[STEP]) if STEP in values else None,
        scope_ns=total(values["scope.total_ns"]),
        residual_ns=total(values["scope.self_ns"]),
        corrected_scope_ns=total(values[SCOPE]),
        corrected_residual_ns=total(values[REST]),
        probes={
            probe: ProbeTotals(
                calls=total(values[f"{probe}.calls"]),
                total_ns=total(values[f"{probe}.total_ns"]),
                self_ns=total(values[f"{probe}.self_ns"]),
                corrected_self_ns=total(values[probe]),
            )
            for probe in probes
        },
    )


def counts_of(table: Columns) -> dict[str, dict[str, float]]:
    """Of a counting pass, each arm's counts a step."""
    if "arm" not in table:
        return {}
    names, arms = [name for name in COUNTERS if name in table], np.asarray(table["arm"])
    return {
        str(arm): {name: float(np.mean(np.asarray(table[name])[arms == arm])) for name in names}
        for arm in dict.fromkeys(arms)
    }


def flames_of(launch: Records, arms: dict[str, ArmSummary], alone: bool) -> dict[str, Flame]:
    """Each arm's recording in a launch; `alone` where that is the whole run."""
    found = {}
    for name, folded in launch.folded.items():
        arm = arms[name]
        # Else the step is the mean of several launches, and only one was sampled.
        step_us = arm.bare_step_ns / arm.steps / 1e3 if alone and arm.bare_step_ns else None
        found[name] = flame_of_arm(Recording(**launch.run["flamegraphs"][name]), parse(folded), step_us)
    return found


def throughput_of(run: dict[str, Any], arms: dict[str, ArmSummary], comparisons: list[Comparison]) -> list[Throughput]:
    """Output tokens a second, and how much each arm's difference in the bare step changes them."""
    tokens = run["workload"]["output_tokens"]
    baseline_ns = arms[run["config"]["baseline"]].bare_step_ns
    found = []
    for name, arm in arms.items():
        if not arm.measured or arm.bare_step_ns is None or baseline_ns is None:
            continue
        of_step = next((c.per_pass_ms.scaled(1e6) for c in comparisons if (c.arm, c.metric) == (name, STEP)), None)
        change = None if of_step is None else of_step.rate(tokens * 1e9, baseline_ns)
        found.append(Throughput(name, tokens * 1e9 / arm.bare_step_ns, change))
    return found
