"""Level shifts: found in what is measured, told apart from the machine's, and verdicts withheld for them."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.drift import Levels, find_drift, levels
from harness.report import write_reports
from tests.fakes import FakeHost, Runner, VirtualClock

PASSES, STEPS = 60, 20
HALF = PASSES // 2


def make_levels(scope: float = 1.0, rest: float = 1.0, turns: bool = True) -> Levels:
    """Two arms that take turns, or one after the other; scope and rest take so many times as long from half-way on."""
    rng = np.random.default_rng(1)
    rows = []
    for index in range(PASSES):
        later = index >= HALF
        for step in range(STEPS):
            arm = ("a", "b")[rng.integers(2) if turns else later]
            scope_ns = (200_000 + 50_000 * (arm == "b") + 1000 * step) * (scope if later else 1.0)
            rest_ns = 1_000_000 * (rest if later else 1.0)
            rows.append(
                {
                    "pass": index, "step": step, "arm": arm, "probed": True,
                    "scope.total_ns": scope_ns * rng.lognormal(0, 0.02),
                    "execute_ns": scope_ns + rest_ns * rng.lognormal(0, 0.02), "sample_ns": 0,
                    "gc_collections": index % 3 if step == 0 else 0,
                }
            )  # fmt: skip
    return levels({name: np.array([row[name] for row in rows]) for name in rows[0]})


def test_a_shift_of_the_scope_withholds_verdicts() -> None:
    (share, level) = find_drift(make_levels(scope=1.05), 0.01, "share")
    assert (share.of, level.of) == ("share", "level")
    assert share.withholds
    assert not level.withholds
    assert abs(share.first_pass - HALF) <= 1
    assert share.size == pytest.approx(0.05, abs=0.01)
    assert share.passes == PASSES


def test_a_machine_that_slows_down_as_a_whole_is_told_and_withholds_nothing() -> None:
    found = find_drift(make_levels(scope=1.05, rest=1.05), 0.01, "share")
    assert {shift.of for shift in found} == {"level", "machine"}
    assert not any(shift.withholds for shift in found)


def test_the_scopes_own_level_can_be_watched_instead() -> None:
    found = find_drift(make_levels(scope=1.05, rest=1.05), 0.01, "level")
    assert [shift.of for shift in found if shift.withholds] == ["level"]


def test_a_shift_within_the_margin_is_told_and_withholds_nothing() -> None:
    found = find_drift(make_levels(scope=1.05), 0.1, "share")
    assert found
    assert not any(shift.withholds for shift in found)


def test_a_level_that_stays_is_left_alone() -> None:
    assert find_drift(make_levels(), 0.01, "share") == []


def test_arms_that_differ_are_no_shift() -> None:
    """With the arms' own difference left in the series, a pass with more of the slower arm would stand out."""
    assert find_drift(make_levels(turns=False), 0.01, "share") == []


def test_garbage_collections_are_counted_by_pass() -> None:
    found = make_levels()
    assert found.passes.tolist() == list(range(PASSES))
    assert found.collections.tolist() == [index % 3 for index in range(PASSES)]


class Wobbling:
    """Work in the scope that wobbles, and takes longer from half of the run's passes on."""

    def __init__(self, clock: VirtualClock, shift: float) -> None:
        self.clock, self.shift, self.later = clock, shift, False
        self.rng = np.random.default_rng(1)

    def __call__(self) -> None:
        usual_ns = 100_000 * (1 + self.shift * self.later)
        self.clock.advance(int(usual_ns * self.rng.lognormal(0, 0.01)))

    def before_pass(self, index: int, host: FakeHost) -> None:
        self.later = host.passes.count("mixed") > 24  # half of the 48 measured passes


@pytest.mark.parametrize(("shift", "withheld"), [(0.0, False), (0.2, True)])
def test_a_run_with_a_shift_planted_half_way_is_withheld(make_run_of_list, shift, withheld) -> None:
    clock = VirtualClock(reading_ns=10)
    work = Wobbling(clock, shift)
    runner = Runner(work=work, forward=lambda: clock.advance(int(500_000 * work.rng.lognormal(0, 0.01))))
    run = make_run_of_list(FakeHost(clock, runner, work.before_pass))
    assert run.execute().status == "complete"
    summary = write_reports(run.folder.path)
    report = (run.folder.path / "report.md").read_text()
    verdicts = {comparison.verdict for comparison in summary.comparisons}
    assert summary.withheld is withheld
    assert (verdicts == {"withheld"}) is withheld
    assert ("Verdicts are withheld. From pass 2" in report) is withheld
    assert ("No shift of the level" in report) is not withheld


@pytest.mark.parametrize("follows", [0.5, 1.0])
def test_a_scope_that_follows_the_machine_by_half_or_wholly_has_no_shift_of_its_own(follows) -> None:
    """How closely it follows is not known; with one of the two alone, the other would withhold verdicts."""
    found = find_drift(make_levels(scope=1.1**follows, rest=1.1), 0.01, "share")
    assert "machine" in {shift.of for shift in found}
    assert "share" not in {shift.of for shift in found}
