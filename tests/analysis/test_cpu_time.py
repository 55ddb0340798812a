"""Two clocks: the thread's own is blind to other processes and to waiting, and the report says where they differ."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.metrics import OF_CPU, SCOPE, STEP
from harness.analysis.summarise import summarise
from harness.report.markdown import render_markdown
from harness.seams import AA
from tests.analysis.null_runs import ARMS, records_of
from tests.analysis.test_rare import quiet

ARM = ARMS[1]


def with_cpu(waits_ns: float, computes_ns: float, disturbed: bool = False):
    """A run whose second arm waits and computes so much more in each scope; CPU time is known exactly but for 1 us."""

    def planted(noise, arm: int) -> None:
        for times in (noise.scope, noise.probe, noise.bare):
            times[arm] += waits_ns + computes_ns

    records = records_of(quiet(10), planted)
    rng, rows = np.random.default_rng(0), records.columns
    more = computes_ns * (rows["arm"] == ARM)
    rows["cpu_ns"] = 1_200_000 + more + rng.normal(0, 1000, len(more))
    rows["scope.cpu_ns"] = (200_000 + more + rng.normal(0, 1000, len(more))) * rows["probed"]
    if disturbed:  # other processes take the core now and then
        taken = rng.exponential(50_000, len(more))
        for name in ("execute_ns", "scope.total_ns", "scope.self_ns"):
            rows[name] = rows[name] + taken
    return summarise(records)


def test_on_a_loaded_machine_cpu_time_resolves_what_the_clock_does_not() -> None:
    summary = with_cpu(waits_ns=0, computes_ns=2000, disturbed=True)
    for metric in (SCOPE, STEP):
        wall, cpu = summary.difference(ARM, metric), summary.difference(ARM, OF_CPU[metric])
        assert wall.verdict == "not resolved"
        assert cpu.verdict == "slower"
        assert cpu.per_step_us.low <= 2 <= cpu.per_step_us.high
        assert cpu.per_step_us.high - cpu.per_step_us.low < (wall.per_step_us.high - wall.per_step_us.low) / 5
        assert summary.difference(AA, OF_CPU[metric]).verdict in ("equivalent", "not resolved")


def test_where_the_clocks_are_apart_the_note_says_that_it_is_waiting() -> None:
    summary = with_cpu(waits_ns=30_000, computes_ns=0)
    assert summary.difference(ARM, SCOPE).verdict == "slower"
    assert summary.difference(ARM, OF_CPU[SCOPE]).verdict in ("equivalent", "not resolved")
    (note,) = (note for note in summary.notes if note.startswith(f"{ARM}, _prepare_inputs: slower by the clock"))
    assert note.endswith("the rest is waiting, for other threads, processes or a device")
    text = render_markdown(summary)
    assert "By two clocks, the differences to `list`" in text or "By two clocks, the differences to list" in text


def test_what_is_computed_needs_no_note() -> None:
    summary = with_cpu(waits_ns=0, computes_ns=30_000)
    assert summary.difference(ARM, OF_CPU[SCOPE]).per_step_us.estimate == pytest.approx(30, abs=1)
    assert not any("by the clock" in note for note in summary.notes)


def test_runs_from_before_cpu_time_was_recorded_have_none() -> None:
    summary = summarise(records_of(quiet(5)))
    assert summary.difference(ARM, OF_CPU[SCOPE]) is None
    assert "By two clocks" not in render_markdown(summary)
