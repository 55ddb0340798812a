"""Passes of single arms beside the measured ones: which are served, what is written of them, and what is announced."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from harness.config.experiment import Flamegraph
from harness.errors import HostError, ProfilerError
from harness.instrument.counters import COUNTERS
from harness.instrument.device_columns import DEVICE_COLUMNS
from harness.records.folder import RunFolder
from harness.running.extras import DEVICE_PASSES, Extras
from harness.running.planning import Budget
from harness.sampling.flames import PLAIN_SHARE
from harness.sampling.stacks import fold
from tests.report.test_flamegraph import LIST

ARMS = ["list", "numpy"]
PASS_S = 4.0


class Told:
    """An observer that remembers everything that it is told, in order."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def note(self, text: str) -> None:
        self.all.append(text)

    def stage(self, name: str, passes: int, seconds: float | None = None) -> None:
        self.all.append((name, passes, seconds))

    def advance(self) -> None:
        self.all.append("advance")


class Host:
    """Serves passes of three steps, each of which takes `PASS_S` by the clock that budgets are told by."""

    def __init__(self) -> None:
        self.served: list[tuple[str, str, str]] = []
        self.drawn: list[Any] = []
        self.now_s = 0.0

    def alone(self, kind: str, arm: str, where: str, probed: Any = None) -> Any:
        self.drawn.append(probed)
        self.served.append((kind, arm, where))
        self.now_s += PASS_S
        place = len(self.served)
        counted = {key: [place, 0, 0] for key in COUNTERS} if kind == "count" else {}
        timed = {key: [1.0 * place, 2.0, 3.0] for key in DEVICE_COLUMNS} if kind == "device" else {}
        columns = {"step": [0, 1, 2], "execute_ns": [7, 7, 7], **counted, **timed}
        if kind == "probing":
            columns |= {
                "scope.total_ns": [place, 8, 9],
                "scope.calls": [1] * 3,
                "f.calls": [2, 0, 1],
                "g.calls": [1] * 3,
            }
        return SimpleNamespace(columns=columns, spans=[[0, f"of {arm}", 1000, 3000], [1, "later", 5000, 6000]])


@pytest.fixture
def make(tmp_path, monkeypatch):
    def extras(budget_s: float = 1000.0) -> tuple[Extras, Host]:
        host = Host()
        monkeypatch.setattr("harness.running.extras.Budget", lambda seconds: Budget(seconds, lambda: host.now_s))
        return Extras(host.alone, RunFolder(tmp_path / "run"), Told(), {}, budget_s, PASS_S), host

    return extras


def test_every_arm_is_counted_once_and_its_steps_are_written(make) -> None:
    extras, host = make()
    extras.count(ARMS)
    assert host.served == [("count", arm, f"the counting pass of arm {arm!r}") for arm in ARMS]
    assert extras.observer.all == [("counting what each arm makes PyTorch do", 2, 2 * PASS_S * 2), "advance", "advance"]
    table = pd.read_parquet(extras.folder.path / "counters.parquet")
    assert set(table) == {"arm", "step", *COUNTERS}
    assert table["arm"].tolist() == ["list"] * 3 + ["numpy"] * 3
    assert table["step"].tolist() == [0, 1, 2] * 2
    assert table[COUNTERS[0]].tolist() == [1, 0, 0, 2, 0, 0]
    assert extras.facts == {}


def test_each_step_of_one_arm_is_timed_with_its_probes_and_without_once_a_group(make) -> None:
    extras, host = make()
    extras.probing("numpy", steps=3, groups=4, seed=1, budget_s=1000.0)
    assert host.served == [("probing", "numpy", "a pass for the cost of probes in arm 'numpy'")] * 8
    assert extras.observer.all == [("measuring what probes cost", 8, 8 * PASS_S), *["advance"] * 8]
    for one, other in zip(host.drawn[::2], host.drawn[1::2], strict=True):
        assert [{*both} for both in zip(one, other, strict=True)] == [{False, True}] * 3
    assert len(set(map(tuple, host.drawn[::2]))) > 1, "drawn anew for each group"
    table = pd.read_parquet(extras.folder.path / "probing.parquet")
    assert set(table) == {"arm", "group", "step", "probed", "scope_ns", "calls"}
    assert set(table["arm"]) == {"numpy"}
    assert table["group"].tolist() == [group for group in range(4) for _ in range(6)]
    assert table["step"].tolist() == [0, 1, 2] * 8
    assert table["probed"].tolist() == [which for drawn in host.drawn for which in drawn]
    assert table["calls"].tolist() == [3, 1, 2] * 8, "of all probes but the scope's own"
    assert table["scope_ns"].tolist()[:6] == [1, 8, 9, 2, 8, 9]


@pytest.mark.parametrize(("budget_s", "groups"), [(1.0, 3), (30.0, 3), (33.0, 4)])
def test_what_probes_cost_is_looked_for_in_three_groups_at_least_and_within_the_budget(make, budget_s, groups) -> None:
    """A group takes 8 s: the fourth ends at 32 s."""
    extras, host = make()
    extras.probing("numpy", steps=3, groups=9, seed=1, budget_s=budget_s)
    assert extras.observer.all[0] == ("measuring what probes cost", 18, budget_s)
    assert len(host.served) == 2 * groups


def test_the_devices_clock_is_read_in_several_passes_of_each_arm_in_turn(make) -> None:
    extras, host = make()
    extras.device(ARMS)
    assert [arm for _, arm, _ in host.served] == ARMS * DEVICE_PASSES
    assert host.served[0] == ("device", "list", "a pass of arm 'list' by the device's clock")
    passes = 2 * DEVICE_PASSES
    assert extras.observer.all == [("reading the device's clock", passes, passes * PASS_S), *["advance"] * passes]
    table = pd.read_parquet(extras.folder.path / "device.parquet")
    assert set(table) == {"arm", "pass", "step", *DEVICE_COLUMNS}
    assert table["arm"].tolist()[:6] == ["list"] * 3 + ["numpy"] * 3
    assert table["pass"].tolist() == [index for index in range(DEVICE_PASSES) for _ in range(6)]
    assert table["step"].tolist() == [0, 1, 2] * passes
    assert table[DEVICE_COLUMNS[-1]].tolist()[:6] == [1.0, 2.0, 3.0, 2.0, 2.0, 3.0]


def test_without_time_the_devices_clock_is_read_twice_under_each_arm(make) -> None:
    """Two passes give an interval."""
    extras, host = make(budget_s=1.0)
    extras.device(ARMS)
    assert [arm for _, arm, _ in host.served] == ARMS * 2
    assert set(pd.read_parquet(extras.folder.path / "device.parquet")["pass"]) == {0, 1}


def test_the_devices_clock_is_read_as_often_as_there_is_time(make) -> None:
    """A round of both arms takes 8 s; the fourth is begun at 24 s and would be likely to end at 32 s."""
    extras, host = make(budget_s=26.0)
    extras.device(ARMS)
    assert len(host.served) == 2 * 3


def test_the_first_steps_of_every_arm_are_traced(make) -> None:
    extras, host = make()
    extras.trace(ARMS, steps=1)
    assert host.served == [("trace", arm, f"the tracing pass of arm {arm!r}") for arm in ARMS]
    assert extras.observer.all == [("tracing a few steps of each arm", 2, 2 * PASS_S), "advance", "advance"]
    names = [event["name"] for event in json.loads((extras.folder.path / "trace.json").read_text())["traceEvents"]]
    assert "of list" in names
    assert "of numpy" in names
    assert "later" not in names  # of the second step


def test_what_a_stage_is_said_to_take_is_never_more_than_its_budget(make) -> None:
    extras, _ = make(budget_s=5.0)
    extras.trace(ARMS, steps=1)
    assert extras.observer.all[0] == ("tracing a few steps of each arm", 2, 5.0)
    assert extras.facts == {"not_traced": ["numpy"]}
    extras.count(ARMS)
    assert ("counting what each arm makes PyTorch do", 2, 5.0) in extras.observer.all
    assert extras.facts == {"not_traced": ["numpy"], "not_counted": ["numpy"]}


@pytest.fixture
def py_spy(monkeypatch):
    """Plays the recordings; gives what was asked of them. `raises` is raised by that of the second arm."""
    asked: dict[str, Any] = {"recorded": [], "bearable": [], "raises": None}

    def bearable_rate(pid: int, settings: Flamegraph, serve: Any) -> int:
        serve()
        asked["bearable"].append((pid, settings))
        return 77

    def record(pid: int, settings: Flamegraph, scope: str, serve: Any) -> tuple[Any, Any]:
        serve()
        if len(asked["recorded"]) == 1 and asked["raises"] is not None:
            raise asked["raises"]
        asked["recorded"].append((pid, settings.rate_hz, settings.seconds, scope))
        return SimpleNamespace(as_dict=lambda: {"number": len(asked["recorded"])}), LIST

    monkeypatch.setattr("harness.running.extras.bearable_rate", bearable_rate)
    monkeypatch.setattr("harness.running.extras.record", record)
    return asked


def test_every_arm_is_sampled_at_the_rate_that_the_engine_bears(make, py_spy) -> None:
    extras, host = make()
    settings = Flamegraph(seconds=10.0)
    extras.sample(ARMS, lambda: 4711, settings, "_prepare_inputs")
    assert py_spy["bearable"] == [(4711, settings)]
    assert py_spy["recorded"] == [(4711, 77, 10.0, "_prepare_inputs")] * 2
    assert host.served == [
        ("bare", arm, f"a pass of arm {arm!r} under py-spy") for arm in ("list", "list", "numpy")  # once for the rate
    ]  # fmt: skip
    seconds = 2 * (10.0 * (1 + PLAIN_SHARE) + PASS_S)
    assert extras.observer.all == [("flamegraphs: each arm under py-spy", 2, seconds), "advance", "advance"]
    assert extras.facts == {"flamegraphs": {"list": {"number": 1}, "numpy": {"number": 2}}}
    for arm in ARMS:
        assert (extras.folder.path / f"flamegraphs/{arm}.folded").read_text() == fold(LIST)


def test_a_rate_that_is_asked_for_is_taken(make, py_spy) -> None:
    extras, _ = make()
    extras.sample(ARMS, lambda: 4711, Flamegraph(rate_hz=50), "_prepare_inputs")
    assert py_spy["bearable"] == []
    assert [rate_hz for _, rate_hz, *_ in py_spy["recorded"]] == [50, 50]


@pytest.mark.parametrize("fault", [HostError("the engine died"), ProfilerError("py-spy gave up")])
def test_a_fault_while_sampling_keeps_the_arms_before_and_is_told(make, py_spy, fault) -> None:
    extras, _ = make()
    py_spy["raises"] = fault
    extras.sample(ARMS, lambda: 4711, Flamegraph(), "_prepare_inputs")
    assert extras.facts == {"flamegraphs": {"list": {"number": 1}}, "flamegraphs_missing": str(fault)}
