"""Planted delays on the host without an engine: recovered exactly there, and missed where the instrument is broken."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

from harness.config.file import load
from harness.errors import ConfigError, RecordsError
from harness.records import remembered
from harness.records.folder import RunFolder, read_run
from harness.report import write_reports
from harness.running.planning import MIN_GROUPS
from harness.running.run import Run
from harness.selftest.planted import DELAYS_US, describe, evaluate, last_result, plan, remember
from tests.fakes import FakeHost, Runner, Silent, VirtualClock
from tests.running.test_run import CONFIG

if TYPE_CHECKING:
    from pathlib import Path

    from harness.analysis.summary import Summary
    from harness.records.folder import Records

NOW = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
MACHINE = {"cpu": "a processor", "usable_cores": 2, "system": "Linux 6 x86_64", "clock_source": "tsc"}


@pytest.fixture
def run_selftest(tmp_path):
    return lambda host: _run(host, tmp_path)


def _run(host: FakeHost, where: Path) -> tuple[Records, dict[str, float]]:
    path = where / "config.yaml"
    path.write_text(CONFIG)
    loaded, delays = plan(load(path), seconds=0.001)
    folder = RunFolder(where / "run")
    outcome = Run(loaded, host, folder, Silent()).execute()
    assert outcome.exit_status == 0, outcome.message
    return read_run(folder.path), delays


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Of one selftest, for what only keeps and tells it."""
    host = FakeHost(clock=VirtualClock(reading_ns=20))
    return evaluate(*_run(host, tmp_path_factory.mktemp("selftest")), 60.0)


def test_a_quick_try_does_not_replace_a_longer_result(run_selftest, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    records, delays = run_selftest(FakeHost(clock=VirtualClock(reading_ns=20)))
    long, quick = (evaluate(records, delays, seconds) for seconds in (60.0, 1.0))
    remember(quick, "vllm 1.0", MACHINE)
    remember(long, "vllm 1.0", MACHINE)
    remember(quick, "vllm 1.0", MACHINE)
    assert last_result(MACHINE)["seconds"] == 60
    monkeypatch.setattr("harness.selftest.planted.KEPT", dt.timedelta(0))  # it is old
    remember(quick, "vllm 1.0", MACHINE)
    assert last_result(MACHINE)["seconds"] == 1


def test_the_letters_do_not_tell_the_delays_and_the_seed_decides_them(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    orders = set()
    for seed in range(20):
        loaded, delays = plan(load(path, [f"protocol.seed={seed}"]), 1.0)
        assert sorted(delays) == ["a", "b", "c", "d"]
        assert sorted(delays.values()) == list(DELAYS_US)
        assert delays[loaded.experiment.baseline] == 0
        assert {arm.reference for arm in loaded.experiment.arms} == {"patches.slot_mapping:List"}
        orders.add(tuple(delays.values()))
    assert len(orders) > 5


def test_planted_delays_come_back(run_selftest) -> None:
    records, delays = run_selftest(FakeHost(clock=VirtualClock(reading_ns=20)))
    result = evaluate(records, delays, 1.0)
    assert [each.planted_us for each in result.recovered] == [2, 5, 20]
    for each in result.recovered:
        assert each.scope.estimate == pytest.approx(each.planted_us, abs=0.03)  # a reading of the clock or so
        assert each.step.estimate == pytest.approx(each.planted_us, abs=0.03)
    assert result.slope_scope.estimate == pytest.approx(1, abs=0.01)
    assert result.passed


def test_an_instrument_that_loses_time_fails(run_selftest, monkeypatch) -> None:
    """Were the probes' corrections to take away half of what was measured, the delays would not come back."""
    from harness.analysis import measured

    records, delays = run_selftest(FakeHost(clock=VirtualClock(reading_ns=20)))
    corrected = measured.corrected_self
    monkeypatch.setattr(measured, "corrected_self", lambda *args: corrected(*args) / 2)
    result = evaluate(records, delays, 1.0)
    assert not result.passed
    assert [each.found for each in result.recovered] == [False, False, False]


def test_delays_that_were_not_planted_are_missed(run_selftest, monkeypatch) -> None:
    monkeypatch.setattr("harness.instrument.placing.plant", lambda call, delay_ns, clock: call)
    records, delays = run_selftest(FakeHost(clock=VirtualClock(reading_ns=20)))
    assert not evaluate(records, delays, 1.0).passed


def test_a_run_without_its_arms_is_refused(run_selftest) -> None:
    records, delays = run_selftest(FakeHost())
    with pytest.raises(RecordsError, match="arms z were not measured"):
        evaluate(records, {**delays, "z": 9.0}, 1.0)


def test_the_last_result_is_remembered_for_its_machine_and_quoted_with_its_age(
    run_selftest, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert last_result(MACHINE) is None
    assert "python -m harness selftest" in describe(None, NOW)
    records, delays = run_selftest(FakeHost(clock=VirtualClock(reading_ns=20)))
    remember(evaluate(records, delays, 60.0), "vllm 1.0", MACHINE)
    last = last_result(MACHINE)
    assert last_result({**MACHINE, "cpu": "another processor"}) is None
    assert last_result({**MACHINE, "usable_cores": 8}) is None
    when = dt.datetime.fromisoformat(last["when"])
    line = describe(last, when + dt.timedelta(hours=5))
    assert line.startswith("5 h before, vllm 1.0: recovered planted 2, 5 and 20 us; resolves ")
    assert describe(last, when + dt.timedelta(minutes=30)).startswith("30 min before")
    assert describe(last, when + dt.timedelta(days=3)).startswith("3 days before")
    assert "did NOT recover" in describe({**last, "passed": False}, when)


@pytest.mark.parametrize(
    "change",
    [
        {"when": ...}, {"when": "yesterday"}, {"when": "2026-01-01T00:00:00"}, {"when": 5}, {"passed": ...},
        {"passed": "perhaps"}, {"seconds": ...}, {"seconds": None}, {"seconds": 10**400}, {"recovered": ...},
        {"recovered": []}, {"recovered": [{}]}, {"resolves_us": ...}, {"resolves_us": "x"}, {"resolves_step_us": []},
        {"engine": ...}, {"engine": {}}, {"machine": ...},
    ],
)  # fmt: skip
def test_a_remembered_result_that_is_none_is_as_good_as_none(result, monkeypatch, tmp_path, change) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    remember(result, "vllm 1.0", MACHINE)
    file = tmp_path / "cache" / "harness" / "selftest.json"
    content = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))
    assert last_result(MACHINE) is None
    assert "none on this machine yet" in describe(last_result(MACHINE), NOW)
    remember(result, "vllm 1.0", MACHINE)
    assert last_result(MACHINE)["seconds"] == 60


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "7", "[" * 5000, '{"a": "x"}', '{"a": NaN}', '{"a": -1}', '{"a": 1e99}']
)
def test_what_is_remembered_of_durations_is_numbers_or_nothing(monkeypatch, tmp_path, text) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    remembered.remember("took", {"a": 3.5})
    assert remembered.recall("took") == {"a": 3.5}
    (tmp_path / "harness" / "took.json").write_text(text)
    assert remembered.recall("took") == {}


class Device:
    """Works on each step for a while, and has two steps under way: the host waits for the one before the last."""

    def __init__(self, clock: VirtualClock, step_ns: int) -> None:
        self.clock, self.step_ns = clock, step_ns
        self.done_ns: list[int] = []

    def __call__(self) -> None:
        begin_ns = max([self.clock.now_ns, *self.done_ns[-1:]])
        self.done_ns.append(begin_ns + self.step_ns)
        if len(self.done_ns) > 2:
            self.clock.now_ns = max(self.clock.now_ns, self.done_ns[-3])


def exposed_run(tmp_path, forward=lambda clock: lambda: None, *settings: str) -> Summary:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    loaded = load(path, ["protocol.exposed=true", "protocol.bare=true", "arms=[list, numpy]", *settings])
    clock = VirtualClock(reading_ns=20)
    host = FakeHost(clock=clock, runner=Runner(work=lambda: clock.advance(10_000), forward=forward(clock)))
    run = Run(loaded, host, RunFolder(tmp_path / "run"), Silent())
    assert run.execute().exit_status == 0
    return write_reports(run.folder.path)


@pytest.mark.parametrize("grain", ["step", "pass"])
def test_without_a_device_all_of_the_time_is_exposed(tmp_path, grain) -> None:
    summary = exposed_run(tmp_path, lambda clock: lambda: None, f"protocol.grain={grain}")
    assert summary.exposure.slope.estimate == pytest.approx(1, abs=0.01)
    assert 0 < summary.exposure.share.estimate < 1
    assert set(summary.arms) == {"list", "numpy", "A/A"}  # the planted ones are no arms of the table
    text = (tmp_path / "run" / "report.md").read_text()
    assert "A microsecond planted at slot_mapping made a turn of the engine's loop (" in text
    assert summary.exposure.turn_us > 10
    assert "a turn would be" in text


@pytest.mark.parametrize(("device_ns", "share"), [(5_000, 1.0), (90_000, 0.0)])
def test_what_hides_behind_the_device_is_not_exposed(tmp_path, device_ns, share) -> None:
    """Beside a host of 10 us a step a device of 5 us is never waited for; one of 90 us hides all delays."""
    summary = exposed_run(tmp_path, lambda clock: Device(clock, device_ns), "protocol.exposed=[30, 60]")
    assert summary.exposure.slope.estimate == pytest.approx(share, abs=0.02)


def test_exposure_without_bare_steps_is_refused(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    with pytest.raises(ConfigError, match="exposed needs bare steps"):
        load(path, ["protocol.exposed=true"])
    with pytest.raises(ConfigError, match="exposed needs order: random"):
        load(path, ["protocol.exposed=true", "protocol.bare=true", "protocol.order=rotate"])
    for wrong in ("[20, 5]", "[5, 5]", "[]", "[-1]"):
        with pytest.raises(ConfigError, match="exposed"):
            load(path, [f"protocol.exposed={wrong}", "protocol.bare=true"])


def test_seconds_fix_the_number_of_passes_before_measuring(run_selftest) -> None:
    records, _ = run_selftest(FakeHost())
    treatments = (4 + 1) * 2
    assert records.run["passes_planned"] % treatments == 0
    assert records.run["passes_planned"] >= MIN_GROUPS * treatments
