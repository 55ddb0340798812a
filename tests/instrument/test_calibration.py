from __future__ import annotations

import pytest

from harness.instrument.calibration import Calibration, calibrate
from tests.fakes import VirtualClock


def test_on_a_clock_that_only_costs_readings_the_inside_is_one_reading() -> None:
    """Between a probe's two readings lies one reading's cost; outside lies the other one."""
    calibration = calibrate(VirtualClock(reading_ns=40), batches=4)
    # The batch's own two readings spread over its 500 calls: 0.08 ns.
    assert abs(calibration.inside_ns - 40) < 0.2
    assert abs(calibration.outside_ns - 40) < 0.2
    assert abs(calibration.call_ns - 80) < 0.4


def test_on_the_real_clock_a_probe_costs_something_and_not_a_millisecond() -> None:
    calibration = calibrate(batches=20)
    assert 0 < calibration.inside_ns < 1e6
    assert 0 < calibration.outside_ns < 1e6


class Uneven(VirtualClock):
    """Readings cost 40 ns, and from some reading on (so in one batch's probed calls) more."""

    def __init__(self, disturbed: range, more_ns: int) -> None:
        super().__init__(reading_ns=40)
        self.readings, self.disturbed, self.more_ns = 0, disturbed, more_ns

    def __call__(self) -> int:
        self.readings += 1
        if self.readings in self.disturbed:
            self.advance(self.more_ns)
        return super().__call__()


def test_a_batch_that_was_interrupted_moves_neither_cost() -> None:
    usual = calibrate(VirtualClock(reading_ns=40), batches=5)
    found = calibrate(Uneven(range(100, 300), 10_000), batches=5)
    assert found.inside_ns == pytest.approx(usual.inside_ns, abs=0.2)
    assert found.outside_ns == pytest.approx(usual.outside_ns, abs=0.2)
    assert found.spread_ns > usual.spread_ns == pytest.approx(0, abs=1e-6)


def test_one_batch_has_no_spread_and_no_cost_is_less_than_nothing() -> None:
    assert calibrate(VirtualClock(reading_ns=40), batches=1).spread_ns == 0
    assert calibrate(VirtualClock(), batches=2) == Calibration(0.0, 0.0, 0.0)  # a clock that costs nothing
    assert Calibration(1.0, 2.0, 3.0).as_dict() == {"inside_ns": 1.0, "outside_ns": 2.0, "spread_ns": 3.0}
