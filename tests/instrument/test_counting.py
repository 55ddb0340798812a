"""Counting what arms make PyTorch do."""

from __future__ import annotations

import pytest
import torch

from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.counters import COUNTERS, TRACKED
from harness.instrument.counting import Counter
from harness.records.folder import read_run
from harness.report import write_reports
from tests.fakes import FakeHost, Runner

STEPS = 5


@pytest.fixture
def counted():
    """Runs a function as a step of which `scope` is the scope; its counts."""

    def run(step, scope=lambda: None) -> dict[str, int]:
        counter = Counter()
        inside = counter.counted(scope, scope=True)
        counter.begin_step()
        counter.counted(lambda: (step(), inside()))()
        return {name: values[0] for name, values in counter.take().items()}

    return run


def test_dispatches_are_counted_in_the_scope_and_in_the_whole_step(counted) -> None:
    a = torch.ones(3)
    counts = counted(lambda: a + a, scope=lambda: torch.cat([a, a]) * 2)
    assert (counts["step_aten_dispatches"], counts["scope_aten_dispatches"]) == (3, 2)
    assert counts["step_device_copies"] == 0


@pytest.mark.parametrize(
    "copy",
    [
        lambda host, device: device.copy_(host),
        lambda host, _: host.to("meta"),
        lambda host, _: host.to(device="meta", dtype=torch.int64),
    ],
)
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_copies_to_a_device_are_counted_with_their_bytes(counted, copy, mode) -> None:
    """`meta` stands in for a device: what matters is that it is not the host's memory."""
    host, device = torch.ones(5, dtype=torch.int64), torch.empty(5, dtype=torch.int64, device="meta")
    with mode():
        counts = counted(lambda: None, scope=lambda: copy(host, device))
    assert counts["scope_device_copies"] == counts["step_device_copies"] == 1
    assert counts["scope_device_copy_bytes"] == 5 * 8


def test_copies_within_the_host_or_the_device_are_not_copies_to_the_device(counted) -> None:
    host, device = torch.ones(5), torch.empty(5, device="meta")
    counts = counted(lambda: (host.clone().copy_(host), device.copy_(torch.empty_like(device)), host.to(torch.int64)))
    assert counts["step_device_copies"] == counts["step_device_copy_bytes"] == 0


def test_nothing_is_counted_outside_a_step() -> None:
    counter = Counter()
    counter.counted(lambda: torch.ones(3) + 1)()
    assert counter.take() == {name: [] for name in (*COUNTERS, TRACKED)}


def test_a_run_counts_each_arm_in_a_pass_of_its_own(make_run_of_list) -> None:
    host = FakeHost()
    run = make_run_of_list(host, "protocol.counters=true", "arms=[list, native]")
    assert run.execute().status == "complete"
    checks = NATIVE_PASSES + 2 + 1  # of native, of list and A/A, and a mixed one
    before = ["check"] * checks + ["bare"] * 3 + ["count"] * 2
    assert host.passes[: len(before)] == before
    assert [kind for kind in host.passes[len(before) :] if kind != "check"] == ["mixed"] * 72  # and checks
    table = read_run(run.folder.path).counters
    assert table["arm"].tolist() == ["list"] * STEPS + ["native"] * STEPS
    counters = write_reports(run.folder.path).counters
    # native is numpy alone here, and list makes a tensor
    assert counters["list"]["scope_aten_dispatches"] > counters["native"]["scope_aten_dispatches"]
    assert "ATen dispatches, _prepare_inputs" in (run.folder.path / "report.md").read_text()
    assert not host.instrument.under_way


def test_the_counting_pass_counts_the_whole_step_too(make_run_of_list) -> None:
    ones = torch.ones(3)
    run = make_run_of_list(FakeHost(runner=Runner(forward=lambda: ones + ones)), "protocol.counters=true")
    assert run.execute().status == "complete"
    table = read_run(run.folder.path).counters
    assert (table["step_aten_dispatches"] - table["scope_aten_dispatches"] >= 1).all()
