"""Reports on equal arms claim nothing more often than is stated; `error_rates` measures the rates themselves."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.error_rates import GROUPS, claims, false_reports, found_in, missed, upper_limit
from tests.analysis.null_runs import of_run, synthetic

NOISES = {
    "synthetic, with a prefill": lambda: synthetic(np.random.default_rng(0)),
    "of a run on a CPU": lambda: of_run("slot_mapping-cpu"),
    "of a run on a GPU": lambda: of_run("gpu-v1-decode-32"),
}


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("name", NOISES)
def test_reports_on_equal_arms_hold_the_stated_rate(name, groups) -> None:
    """Any claim counts, in the whole report. At a true rate of 5 %, 7 and more of 50 come by chance 12 times in 1000;
    a rule that fails in 20 % of reports passes once in 10 times, and there are nine of these tests.
    """
    assert false_reports(NOISES[name](), groups, 50, np.random.default_rng(groups)) < 7


@pytest.mark.parametrize("groups", GROUPS)
def test_an_interval_of_one_step_misses_at_the_stated_rate(groups) -> None:
    """Of 2000 runs, at a true rate of 6.5 % (what is known of 5 groups), 8 % and more come by chance 4 in 1000 times.

    The jackknife, which was used before, misses in 9 % with 5 groups.
    """
    rng = np.random.default_rng(groups)
    before, after, _ = missed(lambda n, rng: rng.standard_normal((2, n, 1)), groups, 2000, rng, groups == 5)
    assert after[0] < 8
    assert after[1] < 0.5
    assert before[0] > 8 or groups > 5


def test_what_is_planted_at_the_stated_power_is_found() -> None:
    """Of 30 runs at a true rate of 90 %, fewer than 22 find it 8 in 1000 times."""
    rng = np.random.default_rng(0)
    noise = NOISES["of a run on a CPU"]()
    for kind in ("constant", "rare"):
        assert found_in(noise, kind, 8, 30, rng)[1] >= 100 * 22 / 30


def test_a_claim_is_seen_wherever_it_stands() -> None:
    """Else the rates above could not fail."""
    from harness.analysis.summarise import summarise
    from tests.analysis.error_rates import plant
    from tests.analysis.null_runs import records_of

    noise = synthetic(np.random.default_rng(0)).drawn(8, np.random.default_rng(1))
    assert not list(claims(summarise(records_of(noise))))
    found = set(claims(summarise(records_of(noise, plant("constant", 2e6)))))
    assert {"scope", "step", "means of scope", "means of step"} < found
    assert any("decode" in claim for claim in found)
    assert "outlying steps" in set(claims(summarise(records_of(noise, plant("rare", 2e6)))))


def test_the_limit_of_a_rate_is_clopper_and_pearsons() -> None:
    assert upper_limit(0, 20) == pytest.approx(100 * (1 - 0.05 ** (1 / 20)))
    assert upper_limit(20, 20) == 100
