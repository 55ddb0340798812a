from __future__ import annotations

from harness.instrument.calibration import calibrate
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
