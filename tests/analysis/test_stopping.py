"""Stopping when intervals are narrow enough, and what it costs them."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.statistics import paired_difference
from harness.analysis.stopping import FIRST_LOOK, looks, per_look
from harness.records.folder import read_run
from harness.report import write_reports
from tests.fakes import FakeHost, Runner, VirtualClock


def test_looks_grow_and_end_at_the_most() -> None:
    assert looks(30) == [5, 8, 12, 18, 27, 30]
    assert looks(FIRST_LOOK) == [FIRST_LOOK]
    assert looks(3) == [3]


def misses(planned: list[int], confidence: float, half_width: float, runs: int = 400) -> float:
    """How often an interval at which a run stopped does not hold the true difference, which is 0."""
    missed = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(planned[-1], 10)) + 0.3 * rng.normal(size=(planned[-1], 1))
        for groups in planned:
            found = paired_difference(values[:groups], np.zeros((groups, 10)), confidence)
            if (found.high - found.low) / 2 <= half_width:
                break
        missed += not found.low <= 0 <= found.high
    return missed / runs


def test_the_error_rate_is_kept_though_the_run_stops_where_the_spread_looks_small() -> None:
    """It is not without the correction: that is what the rule is for.

    At a true rate of 5 %, 7 % and more of 400 runs come by chance once in 20 times.
    """
    planned = looks(20)
    assert misses(planned, 0.95, half_width=2.0) > 0.07
    assert misses(planned, per_look(0.95, len(planned)), half_width=2.0) <= 0.07


LATE = 2 + 6 + 1 + 6 + 2
"""Readings: of the start and three warm-up passes, at the beginning, of six groups, and of the check between them."""


class Ticking:
    """Seconds that pass at each reading; from the `late`th on, a minute each."""

    def __init__(self, late: float) -> None:
        self.readings, self.now_s, self.late = 0, 0.0, late

    def monotonic(self) -> float:
        self.readings += 1
        self.now_s += 60.0 if self.readings > self.late else 0.01
        return self.now_s


@pytest.mark.parametrize(
    ("half_width_us", "late", "narrow", "said"),
    [
        (1.4, np.inf, True, "until all intervals of the scope were within +-1.4 us a step"),
        (0.001, np.inf, False, "us a step was reached, +-0.001 us a step was asked for"),
        (0.001, LATE, False, "us a step was reached, +-0.001 us a step was asked for"),
    ],
)
def test_a_run_stops_at_the_first_look_that_is_narrow_enough_or_when_the_time_is_over(
    make_run_of_list, monkeypatch, half_width_us, late, narrow, said
) -> None:
    ticking = Ticking(late)
    for module in ("starting", "warming", "measuring"):
        monkeypatch.setattr(f"harness.running.{module}.time", ticking)
    clock, drawn = VirtualClock(reading_ns=10), [np.random.default_rng(0)]
    runner = Runner(work=lambda: clock.advance(int(drawn[0].normal(100_000, 2000))))

    def before_pass(index: int, host: FakeHost) -> None:
        if host.passes.count("mixed") == 1 == (host.passes[-1] == "mixed"):  # however many passes came before it
            drawn[0] = np.random.default_rng(0)

    run = make_run_of_list(
        FakeHost(clock, runner, before_pass), f"protocol.until={{half_width_us: {half_width_us}, max_seconds: 1}}"
    )
    assert run.execute().status == "complete"
    facts = read_run(run.folder.path).run
    planned, stopped = facts["looks"], facts["stopped"]
    assert planned == [5, 8, 12, 18, 25]  # a second is a hundred passes
    assert stopped["narrow_enough"] is narrow
    assert stopped["groups"] == {(1.4, np.inf): 12, (0.001, np.inf): 25, (0.001, LATE): 7}[half_width_us, late]
    assert facts["passes_done"] == stopped["groups"] * 4
    assert (stopped["half_width_us"] <= half_width_us) is narrow
    summary = write_reports(run.folder.path)
    # Seven differences, two of means, two of batch shapes, two own costs, the test of outlying steps; and, from ten
    # groups on, of a trend.
    assert (len(summary.comparisons), len(summary.shapes), len(summary.own_costs)) == (7, 2, 2)
    assert summary.confidence_each == pytest.approx(1 - 0.05 / len(planned) / (14 + (stopped["groups"] >= 10)))
    report = (run.folder.path / "report.md").read_text()
    assert said in report
    assert "5 looks taken into account" in report
