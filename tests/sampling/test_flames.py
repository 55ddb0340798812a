"""The rate at which py-spy looks: as high as a step bears, whatever the machine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config.experiment import Flamegraph
from harness.sampling import flames
from harness.sampling.flames import BEARABLE, SLOWEST_HZ, TRIALS, bearable_rate

PLAIN_US = 1000.0
MOST_STOPPED = 0.95
"""Of the time: an engine that py-spy cannot keep up with still runs a little between two looks."""


class Machine:
    """An engine that each look stops for so long."""

    def __init__(self, look_s: float) -> None:
        self.look_s, self.rates, self.now_s, self.rate_hz = look_s, [], 0.0, 0

    def step_us(self, rate_hz: int) -> float:
        return PLAIN_US / (1 - min(rate_hz * self.look_s, MOST_STOPPED))

    def recorder(self, pid: int, rate_hz: int, native: bool, nonblocking: bool) -> Machine:
        self.rates.append(rate_hz)
        self.rate_hz = rate_hz
        return self

    sampling = True

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.rate_hz = 0

    def serve(self) -> SimpleNamespace:
        ns = self.step_us(self.rate_hz) * 1e3
        self.now_s += 10 * ns / 1e9
        return SimpleNamespace(columns={"step": [0], "execute_ns": [ns], "sample_ns": [0.0]})

    def monotonic(self) -> float:
        return self.now_s


def rate_on(machine: Machine, settings: Flamegraph | None = None) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flames, "Recorder", machine.recorder)
        patch.setattr(flames, "time", machine)
        return bearable_rate(1, settings or Flamegraph(), machine.serve)


def test_where_a_look_is_quick_the_rate_stays_and_one_trial_tells() -> None:
    machine = Machine(look_s=0.0005)
    assert rate_on(machine) == 200
    assert machine.rates == [200]


def test_native_frames_begin_at_their_own_rate() -> None:
    machine = Machine(look_s=0.0)
    assert rate_on(machine, Flamegraph(native=True)) == 50


@given(st.floats(min_value=1e-5, max_value=0.08))
def test_a_step_takes_at_most_twice_as_long_and_no_rate_is_lower_than_it_must_be(look_s) -> None:
    machine = Machine(look_s)
    rate_hz = rate_on(machine)
    assert machine.step_us(rate_hz) <= BEARABLE * PLAIN_US * (1 + 1e-9)
    if rate_hz < 200:
        assert machine.step_us(4 * rate_hz) > BEARABLE * PLAIN_US
    assert len(machine.rates) <= TRIALS


def test_a_machine_that_bears_no_rate_gets_the_slowest() -> None:
    machine = Machine(look_s=10.0)
    assert rate_on(machine) == SLOWEST_HZ
