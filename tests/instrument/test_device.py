"""What needs a device, played by a device of our own: its clock, its waiting, its ranges; and how a report shows it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from harness.analysis.device_times import device_times, waiting_notes
from harness.analysis.frames import load_run
from harness.analysis.summarise import summarise
from harness.errors import ConfigError
from harness.instrument import device as device_module
from harness.instrument.device import DeviceClock, Synchronisations, ranged, synchronizer
from harness.instrument.device_columns import DEVICE_COLUMNS
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import Instrumentation
from harness.instrument.ledger import Ledger
from harness.records.folder import Records, read_run
from harness.report.markdown import render_markdown
from harness.report.side_tables import build_device_table
from harness.running.extras import DEVICE_PASSES
from harness.seams import SEAMS
from tests.analysis.test_summarise import make_frame, make_run
from tests.fakes import FakeHost, Runner, VirtualClock

if TYPE_CHECKING:
    from harness.hosts.base import HostInfo

SEAM = SEAMS["slot_mapping"].places["v1"]
ARMS = [("native", "", None), ("list", SEAM.arms["list"], None)]


class Stream:
    """A device that works through what it is given; the host's clock and its own are the same microseconds."""

    def __init__(self) -> None:
        self.host_us = self.done_us = 0.0
        self.waits = 0

    def launch(self, host_us: float, device_us: float) -> None:
        self.host_us += host_us
        self.done_us = max(self.done_us, self.host_us) + device_us

    def wait(self) -> None:
        self.waits += 1
        self.host_us = max(self.host_us, self.done_us)

    def event(self) -> Event:
        return Event(self)


class Event:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.at_us = float("nan")

    def record(self) -> None:
        self.at_us = max(self._stream.done_us, self._stream.host_us)

    def elapsed_time(self, end: Event) -> float:
        return (end.at_us - self.at_us) / 1e3


class CudaRunner(Runner):
    """A runner that says that its tensors are on a GPU."""

    device = "cuda:0"


def test_a_slow_host_shows_as_gap_and_in_the_scope_and_a_fast_one_does_not() -> None:
    for host_us, gap, in_scope in ((50.0, 30.0, 50.0), (1.0, 0.0, 3.0)):
        stream = Stream()
        clock = DeviceClock(stream.event, stream.wait)
        scope = clock.scoped(lambda host_us=host_us, stream=stream: stream.launch(host_us, 3.0))
        sample = clock.ending(lambda stream=stream: stream.launch(2.0, 15.0))
        for _ in range(3):
            clock.begin_step()
            scope()
            stream.launch(2.0, 40.0)  # the model
            sample()
            if host_us > 1:
                stream.launch(stream.done_us - stream.host_us + gap, 0.0)  # scheduling, when all has been done
        columns = clock.take()
        assert columns["device_gap_ns"] == [0, gap * 1e3, gap * 1e3]
        # The first step begins with an idle device; from then on a fast host is ahead.
        assert columns["device_scope_ns"][1:] == [round(1e3 * (in_scope + 3 * (host_us > 1)))] * 2
        assert stream.waits == 1, "only when all steps are over"
        assert set(columns) == set(DEVICE_COLUMNS)


def test_a_step_that_was_cut_short_is_left_out_and_forgotten() -> None:
    stream = Stream()
    clock = DeviceClock(stream.event, stream.wait)
    ended = clock.ending(lambda: stream.launch(1.0, 5.0))
    clock.begin_step()
    ended()
    clock.begin_step()
    assert clock.take()["device_step_ns"] == [6000]
    assert clock.take() == {name: [] for name in DEVICE_COLUMNS}


def test_a_device_pass_has_one_row_a_step_and_leaves_nothing(monkeypatch) -> None:
    stream = Stream()
    monkeypatch.setattr(device_module, "_cuda_event", stream.event)
    monkeypatch.setattr(torch.cuda, "synchronize", stream.wait)
    runner = CudaRunner(work=lambda: stream.launch(10.0, 4.0), forward=lambda: stream.launch(1.0, 20.0))
    under_test = Instrument(runner, Instrumentation("slot_mapping", ARMS, ["compute_slot_mapping"], "_prepare_inputs"))
    before = set(vars(runner))
    under_test.begin("device", [1])
    runner.serve([(5, 3), (2, 3)])
    columns = under_test.end()["columns"]
    assert [len(columns[name]) for name in DEVICE_COLUMNS] == [3] * 3
    assert columns["device_step_ns"][0] == 34_000, "10 until the first work, which takes 4, and 20"
    assert set(vars(runner)) == before


def test_waiting_is_counted_inside_the_scope_alone_and_other_warnings_go_on(monkeypatch) -> None:
    modes = []
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def wait() -> None:
        if modes and modes[-1] == "warn":
            warnings.warn(f"{device_module.SYNCHRONISING} (Triggered internally at ..)", stacklevel=1)

    def work() -> None:
        wait()
        wait()

    runner = CudaRunner(work=work, forward=wait)
    under_test = Instrument(runner, Instrumentation("slot_mapping", ARMS, ["compute_slot_mapping"], "_prepare_inputs"))
    under_test.begin("count", [1])
    runner.serve([(5, 3)])
    assert under_test.end()["columns"]["scope_synchronisations"] == [2, 2, 2]
    assert modes == ["warn", 0] * 3, "what was set before is set again"
    watch = Synchronisations()
    with pytest.warns(DeprecationWarning, match="something else"), watch.watching():
        warnings.warn("something else", DeprecationWarning, stacklevel=1)
    assert watch.count == 0


def test_on_a_cpu_nothing_asks_for_a_device() -> None:
    """Reading CUDA's debug mode would raise on a build without CUDA."""
    runner = Runner()
    under_test = Instrument(runner, Instrumentation("slot_mapping", ARMS, ["compute_slot_mapping"], "_prepare_inputs"))
    under_test.begin("count", [1])
    runner.serve([(5, 3)])
    assert under_test.end()["columns"]["scope_synchronisations"] == [0, 0, 0]


def test_sync_has_a_probed_call_end_when_the_device_has() -> None:
    for waiting, expected_ns in ((False, 0), (True, 7000)):
        stream, clock = Stream(), VirtualClock()

        def wait(stream: Stream = stream, clock: VirtualClock = clock) -> None:
            stream.wait()
            clock.now_ns = round(stream.host_us * 1e3)

        synchronize = wait if waiting else None
        ledger = Ledger(clock, synchronize)
        call = ledger.probe(1, lambda stream=stream: stream.launch(0.0, 7.0))
        ledger.scope(call, lambda: None, lambda: None)()
        end, _ = ledger.mark()
        assert ledger.accounts([end], 2)[0][1].total_ns == expected_ns
    stream.waits = 0
    call()
    assert stream.waits == 0, "outside the scope nothing waits"


def test_sync_and_ranges_are_refused_where_there_is_no_device() -> None:
    with pytest.raises(ConfigError, match=r"protocol\.sync: the engine is on no CUDA device"):
        synchronizer(Runner())
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="--nvtx: this PyTorch was built without NVTX"):
            ranged("a range", print)


def test_ranges_name_scope_seam_and_arm_in_every_pass(monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(torch.cuda.nvtx, "mark", lambda name: None)
    monkeypatch.setattr(torch.cuda.nvtx, "range_push", told.append)
    monkeypatch.setattr(torch.cuda.nvtx, "range_pop", lambda: told.append("end"))
    runner = Runner()
    under_test = Instrument(runner, Instrumentation("slot_mapping", ARMS, [], "_prepare_inputs", nvtx=True))
    for kind in ("bare", "probed"):
        told.clear()
        under_test.begin(kind, [1])
        runner.serve([(5, 1)])
        under_test.end()
        assert told == ["harness: scope _prepare_inputs", "harness: slot_mapping=list", "end", "end"]


def device_table(scope_us: float = 30.0) -> dict[str, np.ndarray]:
    rows = [
        {"arm": arm, "pass": index, "step": step, "device_gap_ns": 1000 * step, "device_step_ns": 100_000,
         "device_scope_ns": round(1e3 * (scope_us + extra + index))}
        for arm, extra in (("list", 0), ("numpy", 5)) for index in range(3) for step in range(2)
    ]  # fmt: skip
    return {name: np.array([row[name] for row in rows], dtype=object if name == "arm" else None) for name in rows[0]}


def test_device_times_are_means_with_students_interval_over_passes() -> None:
    found = device_times(device_table())
    assert list(found) == ["list", "numpy"]
    scope = found["list"].scope_us
    # 30, 31, 32: a standard error of 1/sqrt(3), times 4.303 for two degrees of freedom.
    assert (scope.estimate, scope.high - scope.estimate) == (
        pytest.approx(31),
        pytest.approx(4.3027 / 3**0.5, rel=1e-4),
    )
    assert found["numpy"].scope_us.estimate == pytest.approx(36)
    assert (found["list"].gap_us.low, found["list"].gap_us.high) == (0.5, 0.5)
    assert device_times({}) == {}


def test_an_arm_that_waits_more_often_than_native_is_named() -> None:
    def counters(**waits: float) -> dict[str, dict[str, float]]:
        return {arm: {"scope_synchronisations": count} for arm, count in waits.items()}

    (note,) = waiting_notes(counters(native=1, list=1, mine=3))
    assert note.startswith("mine waits for the device 2 times a step more than native")
    assert waiting_notes(counters(list=1, mine=1)) == []
    assert waiting_notes({"list": {}}) == []


def test_the_report_holds_the_device_against_the_host() -> None:
    summary = summarise(Records(make_run(), make_frame()))
    assert build_device_table(summary) is None
    with_device = replace(summary, device={"list": device_times(device_table())["list"]})
    table = build_device_table(with_device)
    assert table is not None
    host_us = summary.arms["list"].corrected_scope_ns / summary.arms["list"].steps / 1e3
    assert table.columns[0].cells[0] == f"{host_us:.1f}"
    assert table.columns[0].cells[1].startswith("31.0 [")
    text = render_markdown(with_device)
    assert "device, in _prepare_inputs" in text
    assert "mean of 3 passes" in text
    assert with_device.as_json()["device"]["list"]["passes"] == 3


class CudaHost(FakeHost):
    """A host that says that it runs on a GPU."""

    def start(self) -> HostInfo:
        return replace(super().start(), device="cuda (none)")


def test_a_run_on_a_gpu_reads_its_clock_after_all_measuring_and_counts_waits(monkeypatch, make_run_of_list) -> None:
    stream = Stream()
    monkeypatch.setattr(device_module, "_cuda_event", stream.event)
    monkeypatch.setattr(torch.cuda, "synchronize", stream.wait)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: None)
    host = CudaHost(runner=CudaRunner(forward=lambda: stream.launch(1.0, 20.0)))
    run = make_run_of_list(host, "protocol.counters=true", "protocol.groups=3")
    assert run.execute().status == "complete"
    assert host.passes[-DEVICE_PASSES:] == ["device"] * DEVICE_PASSES
    assert stream.waits == DEVICE_PASSES, "one wait a device pass, and none in any other"
    records = read_run(run.folder.path)
    summary = summarise(records)
    assert summary.device["list"].passes == DEVICE_PASSES
    assert summary.device["list"].step_us.estimate == pytest.approx(20, abs=1)
    assert load_run(run.folder.path).device["arm"].unique().tolist() == ["list"]
    assert "by the device's clock" in render_markdown(summary)


def test_a_torn_table_of_the_device_is_named_and_the_rest_reported(make_run_of_list) -> None:
    run = make_run_of_list(FakeHost())
    assert run.execute().status == "complete"
    (run.folder.path / "device.parquet").write_bytes(b"torn")
    summary = summarise(read_run(run.folder.path))
    assert any("device.parquet" in note for note in summary.notes)
    assert summary.device == {}


def test_protocol_sync_reaches_the_ledger_and_is_told(monkeypatch, make_run_of_list) -> None:
    stream = Stream()
    monkeypatch.setattr(torch.cuda, "synchronize", stream.wait)
    host = FakeHost(runner=CudaRunner())
    run = make_run_of_list(host, "protocol.sync=true", "protocol.groups=3")
    assert run.execute().status == "complete"
    probed_steps = 3 * 2 * run.facts["steps"]["count"]
    assert stream.waits == probed_steps, "one for each probed call"
    assert any("waited for the device" in note for note in summarise(read_run(run.folder.path)).notes)


def test_protocol_sync_without_a_device_is_refused_with_its_mend(make_run_of_list) -> None:
    outcome = make_run_of_list(FakeHost(), "protocol.sync=true").execute()
    assert (outcome.exit_status, outcome.status) == (2, "failed")
    assert "leave it out" in outcome.message
