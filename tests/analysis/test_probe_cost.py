"""What a probe call costs is measured in the run where arms call their probes unequally, and its error is carried."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.analysis.metrics import REST, SCOPE, STEP, SUM
from harness.analysis.probe_cost import probe_cost
from harness.analysis.summarise import summarise
from harness.records.folder import read_run
from harness.report.remarks import instrument_cost
from harness.seams import AA
from tests.analysis.null_runs import ARMS, PROBE, records_of, synthetic
from tests.fakes import FakeHost, Runner, VirtualClock

ARM, OTHER = ARMS[1], ARMS[2]
CALLS, GROUPS = 40, 12
COLD_NS = 600.0
"""What a call really costs here; the hot loop says 400."""


def with_many_calls(measured: bool = True, spread_ns: float = 2000.0, seed: int = 0):
    """A run of equal arms of which one calls its probe 40 times a step, each time at the cost of a probe call."""
    rng = np.random.default_rng(seed)
    noise = synthetic(rng).drawn(GROUPS, rng)
    steps = noise.scope.shape[2]

    def planted(noise, arm: int) -> None:
        noise.scope[arm] += CALLS * COLD_NS
        noise.probe[arm] += CALLS * COLD_NS * 0.4  # inside its own two readings

    records = records_of(noise, planted)
    records.run["calibration"] = {"inside_ns": 160.0, "outside_ns": 240.0, "spread_ns": 1.0}
    columns = records.columns
    columns[f"{PROBE}.calls"] = np.where(columns["arm"] == ARM, CALLS, 0)
    columns["scope.nested_calls"] = columns[f"{PROBE}.calls"]
    if not measured:
        return records
    group, step, probed = (each.ravel() for each in np.indices((2 * GROUPS, steps, 2)))
    probing = {
        "arm": np.full(len(group), ARM, dtype=object), "group": group, "step": step, "probed": probed == 1,
        "calls": CALLS * probed, "scope_ns": 140_000 + CALLS * COLD_NS * probed + rng.normal(0, spread_ns, len(group)),
    }  # fmt: skip
    return dataclasses.replace(records, probing=probing)


def test_the_runs_own_cost_is_subtracted_and_not_that_of_a_hot_loop() -> None:
    summary = summarise(with_many_calls())
    cost = summary.probe_call_ns
    assert cost.low <= COLD_NS <= cost.high
    assert cost.high - cost.low < 60
    for metric in (SCOPE, SUM):
        found = summary.difference(ARM, metric).per_step_us
        assert found.low <= 0 <= found.high
    line = instrument_cost(summary)
    assert "400 ns in a hot loop" in line
    assert "In the scope of this run it was 6" in line


def test_without_it_the_error_of_the_hot_loop_shows_as_a_difference() -> None:
    summary = summarise(with_many_calls(measured=False))
    assert summary.probe_call_ns is None
    found = summary.difference(ARM, SCOPE)
    assert found.verdict == "slower"
    assert found.per_step_us.estimate == pytest.approx(CALLS * (COLD_NS - 400) / 1e3, rel=0.2)


def test_how_far_the_correction_can_be_wrong_is_in_each_interval_that_it_touches() -> None:
    """Its half-width times the difference in calls is added in quadrature; arms that call alike have none."""
    sure, unsure = (summarise(with_many_calls(spread_ns=spread)) for spread in (0.0, 40_000.0))

    def half(summary, arm: str, metric: str) -> float:
        found = summary.difference(arm, metric).per_step_us
        return (found.high - found.low) / 2

    cost = unsure.probe_call_ns
    error_us = CALLS * (cost.high - cost.low) / 2 / 1e3
    assert error_us > half(sure, ARM, SCOPE)  # or this test shows little
    for metric, share in ((SCOPE, 1.0), (SUM, 0.4), (PROBE, 0.4), (REST, 0.6)):
        assert half(unsure, ARM, metric) == pytest.approx(np.hypot(half(sure, ARM, metric), share * error_us), rel=0.02)
        assert half(unsure, OTHER, metric) == pytest.approx(half(sure, OTHER, metric))
    assert half(unsure, ARM, STEP) == pytest.approx(half(sure, ARM, STEP))  # bare steps have no probes
    assert half(unsure, AA, SCOPE) == pytest.approx(half(sure, AA, SCOPE))


def test_intervals_hold_with_a_correction_that_is_measured() -> None:
    """40 runs of equal arms, each scope difference at 99.9 %: one miss in a hundred such tests."""
    misses = 0
    for seed in range(40):
        found = summarise(with_many_calls(spread_ns=20_000.0, seed=seed)).difference(ARM, SCOPE).per_step_us
        misses += not found.low <= 0 <= found.high
    assert misses <= 1


def test_a_group_that_was_cut_short_is_left_out() -> None:
    records = with_many_calls()
    whole = probe_cost(records)
    cut = {name: column[:-3] for name, column in records.probing.items()}
    left = probe_cost(dataclasses.replace(records, probing=cut))
    assert len(left.probed) == len(whole.probed) - 1
    assert left.call_ns == pytest.approx(whole.call_ns, rel=0.05)


def test_a_run_measures_it_where_arms_call_their_probes_unequally(make_run_of_list) -> None:
    """On a clock that only costs readings a call costs two of them."""
    clock = VirtualClock(reading_ns=100)
    host = FakeHost(clock, Runner(work=lambda: clock.advance(50_000)))
    run = make_run_of_list(host, "arms=[list, native]", "probes=[torch.tensor, compute_slot_mapping]")
    assert run.execute().status == "complete"
    assert host.passes.count("probing") >= 6
    records = read_run(run.folder.path)
    assert set(records.probing) == {"arm", "group", "step", "probed", "scope_ns", "calls"}
    probed = records.probing["probed"]
    assert probed.sum() * 2 == len(probed)
    assert not records.probing["calls"][~probed].any()
    assert (records.probing["calls"][probed] == 2).all()
    # The host says that a call costs nothing in a hot loop, so that there is no proportion to subtract it in.
    assert probe_cost(records).call_ns == 0
    records.run["calibration"] = {"inside_ns": 1.0, "outside_ns": 1.0, "spread_ns": 0.0}
    cost = probe_cost(records)
    assert cost.call_ns == pytest.approx(200)
    assert (cost.inside_ns, cost.outside_ns) == (pytest.approx(100), pytest.approx(100))


def test_a_workload_of_one_step_is_measured_with_its_probes_and_without(make_run_of_list) -> None:
    """Half of such passes have no probed step at all."""
    run = make_run_of_list(FakeHost(), "arms=[list, native]", "probes=[torch.tensor]", "workload.output_tokens=1")
    outcome = run.execute()
    assert (outcome.status, outcome.message) == ("complete", "")
    records = read_run(run.folder.path)
    assert set(records.probing["step"]) == {0}
    assert records.probing["probed"].sum() * 2 == len(records.probing["probed"])
    assert probe_cost(records) is not None


def test_a_run_whose_arms_call_them_alike_does_not(make_run_of_list) -> None:
    host = FakeHost()
    run = make_run_of_list(host, "arms=[list, array]")
    assert run.execute().status == "complete"
    assert "probing" not in host.passes
    assert read_run(run.folder.path).probing == {}
