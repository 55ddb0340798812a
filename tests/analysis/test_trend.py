"""A cost that grows during the run is seen in the arm that has it, and in no other."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.summarise import summarise
from harness.analysis.trend import find_trends
from harness.seams import AA
from tests.analysis.null_runs import ARMS, of_run, records_of, synthetic

LEAK = ARMS[1]
GROUPS = 20


def leaking(growth_us: float):
    """Adds a cost to one arm that grows from nothing to `growth_us` a step over the run."""

    def planted(noise, arm: int) -> None:
        groups = noise.scope.shape[1]
        more = np.linspace(0, growth_us * 1e3, groups)[:, None]
        for times in (noise.scope, noise.probe, noise.bare):
            times[arm] += np.round(more)

    return planted


@pytest.mark.parametrize("noise", ["synthetic", "slot_mapping-cpu"])
def test_a_leak_of_one_arm_is_told_with_its_size(noise) -> None:
    rng = np.random.default_rng(0)
    found = (synthetic(rng) if noise == "synthetic" else of_run(noise)).drawn(GROUPS, rng)
    summary = summarise(records_of(found, leaking(40.0)))
    (trend,) = (trend for trend in summary.trends if trend.found)
    assert trend.arm == LEAK
    assert trend.growth_us.low <= 40 <= trend.growth_us.high
    (note,) = (note for note in summary.notes if "the longer it runs" in note)
    assert note.startswith(f"{LEAK}, _prepare_inputs: its difference to list changed by +")
    assert AA in {trend.arm for trend in summary.trends}


def test_a_machine_that_slows_down_is_no_trend_of_an_arm() -> None:
    rng = np.random.default_rng(1)
    noise = synthetic(rng).drawn(GROUPS, rng)
    slower = np.linspace(1, 1.5, GROUPS)[None, :, None]
    for times in (noise.scope, noise.probe, noise.rest, noise.bare):
        times *= slower
    assert not [trend for trend in summarise(records_of(noise)).trends if trend.found]


def test_equal_arms_have_a_trend_at_the_stated_rate() -> None:
    """2,000 intervals at 95 %, of normal noise: 100 misses are due; beyond 60 to 140 lies one try in 25,000."""
    rng = np.random.default_rng(2)
    misses = 0
    for _ in range(400):
        values = {str(arm): {"scope": 1e5 + 1e3 * rng.standard_normal((12, 8))} for arm in range(6)}
        misses += sum(trend.found for trend in find_trends(values, "0", 0.95, None))
    assert 60 <= misses <= 140


def test_of_several_launches_each_has_a_line_of_its_own() -> None:
    """A level that differs between launches is no trend; a growth in each of them is."""
    rng = np.random.default_rng(3)
    launches = np.repeat([0, 1, 2], 12)
    base = rng.normal(0, 100, (36, 4))
    jumps = base + 5e4 * launches[:, None]
    grows = base + 1e3 * np.tile(np.arange(12), 3)[:, None]
    values = {name: {"scope": 1e5 + found} for name, found in (("b", 0 * base), ("jumps", jumps), ("grows", grows))}
    jumped, grown = find_trends(values, "b", 0.99, launches)
    assert not jumped.found
    assert grown.growth_us.estimate == pytest.approx(11, abs=0.3)
    assert grown.found


def test_of_few_groups_nothing_is_said() -> None:
    rng = np.random.default_rng(4)
    assert summarise(records_of(synthetic(rng).drawn(9, rng), leaking(1000.0))).trends == []
