"""How long a run takes: the plan by time, and the budgets of passes beside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.summarise import summarise
from harness.config.experiment import Protocol
from harness.records.folder import Records, read_run
from harness.records.remembered import recall, remember
from harness.running.planning import BESIDE_S, MIN_GROUPS, Budget, Plan, beside_s, counting_s, plan_groups, plan_run
from tests.fakes import FakeHost, Runner

times = st.floats(min_value=1e-4, max_value=1e4)


def test_a_number_of_groups_is_taken_as_it_is() -> None:
    assert plan_groups(2.0, groups=20, seconds=None) == Plan(20, 40.0)


@given(times, times)
def test_the_time_asked_for_is_filled_to_the_nearest_group_and_never_with_too_few(group_s, seconds) -> None:
    plan = plan_groups(group_s, 20, seconds)
    assert plan.groups >= MIN_GROUPS
    assert plan.expected_s == pytest.approx(plan.groups * group_s)
    assert plan.short == (plan.fit < MIN_GROUPS)
    assert plan.short or abs(plan.expected_s - seconds) <= group_s / 2 * (1 + 1e-9)


def test_a_budget_is_a_quarter_of_the_measuring_and_not_less_than_its_floor() -> None:
    assert beside_s(Plan(20, 45.0)) == BESIDE_S
    assert beside_s(Plan(20, 1000.0)) == 250.0


def test_a_launch_takes_a_pass_for_each_arm_and_another_where_bare_passes_are_measured() -> None:
    """Three arms, of passes that take half a second."""
    assert plan_run(Protocol(groups=7), 3, 0.5) == Plan(7, 21.0)
    assert plan_run(Protocol(groups=7, bare=False), 3, 0.5) == Plan(7, 10.5)
    assert plan_run(Protocol(seconds=30), 3, 0.5) == Plan(10, 30.0, 30.0, 10)
    until = Protocol(until={"half_width_us": 1.0, "max_seconds": 60})
    assert plan_run(until, 3, 0.5) == Plan(20, 60.0, 60.0, 20)
    assert Plan(5, 15.0, 3.0, 1).as_dict() == {"groups": 5, "expected_s": 15.0, "asked_s": 3.0, "fit": 1}


def test_a_pass_that_counts_takes_twice_as_long_and_all_of_them_no_more_than_their_budget() -> None:
    assert (counting_s(3, 0.5, 30.0), counting_s(30, 1.0, 30.0)) == (3.0, 30.0)


@given(times, st.lists(times, min_size=1, max_size=12))
def test_a_budget_admits_the_first_and_then_only_what_is_likely_to_fit(seconds, each_takes) -> None:
    now = [0.0]
    budget = Budget(seconds, lambda: now[0])
    for place, takes in enumerate(each_takes):
        admitted = budget.admits()
        likely = place == 0 or now[0] + max(each_takes[:place]) <= seconds
        assert admitted == likely
        if not admitted:
            break
        now[0] += takes


@pytest.fixture
def slow_host(monkeypatch):
    """Says that every pass takes ten seconds: of the clock that plans are made by, and of no other."""
    now = [0.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    for module in ("starting", "warming", "measuring"):
        monkeypatch.setattr(f"harness.running.{module}.time", Clock)
    monkeypatch.setattr("harness.running.extras.Budget", lambda seconds: Budget(seconds, Clock.monotonic))

    def before_pass(index: int, host: FakeHost) -> None:
        now[0] += 10.0

    return FakeHost(runner=Runner(), before_pass=before_pass)


def test_a_machine_too_slow_for_the_time_is_told_what_it_gets(make_run_of_list, slow_host) -> None:
    run = make_run_of_list(slow_host, "protocol.seconds=45", "protocol.counters=true")
    assert run.execute().status == "complete"
    told = "\n".join(run.observer.notes)
    assert "a pass takes 10 s here: 5 groups of every arm, probed and bare, are measured in about 3.7 min" in told
    assert "an interval needs 5 groups, and 45 s are enough for 1: measuring takes longer" in told
    records = read_run(run.folder.path)
    assert records.run["plan"] == {"groups": 5, "expected_s": 200.0, "asked_s": 45.0, "fit": 1}
    assert records.frame["group"].nunique() == 5
    few = "only 5 groups were measured, the fewest that give an interval (45 s had room for 1)"
    assert any(few in note for note in summarise(records).notes)


@pytest.fixture
def run_five_arms(make_run_of_list, slow_host):
    def run(*overrides: str) -> Records:
        arms = "arms=[list, numpy, native, array, list_with_array]"
        run = make_run_of_list(slow_host, arms, "protocol.counters=true", "protocol.bare=false", *overrides)
        run.trace_steps = 2
        assert run.execute().status == "complete"
        return read_run(run.folder.path)

    return run


def test_while_the_measuring_takes_long_every_arm_is_counted(run_five_arms) -> None:
    records = run_five_arms("protocol.groups=5")
    assert records.run["plan"]["expected_s"] == 300.0  # a quarter of it has room for seven passes
    assert set(records.counters["arm"]) == {"list", "numpy", "native", "array", "list_with_array"}
    assert [note for note in summarise(records).notes if not note.startswith("objects that a step leaves")] == []


def test_arms_that_no_longer_fit_the_budget_are_not_counted_and_named(run_five_arms) -> None:
    records = run_five_arms("protocol.groups=2")
    assert records.run["not_counted"] == records.run["not_traced"] == ["array", "list_with_array"]
    assert set(records.counters["arm"]) == {"list", "numpy", "native"}
    notes = summarise(records).notes
    assert "not counted, since counting the other arms used up the time for it: array, list_with_array" in notes
    assert "not traced, since tracing the other arms used up the time for it: array, list_with_array" in notes


def test_what_is_remembered_comes_back_and_what_cannot_be_read_is_nothing(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert recall("starts") == {}
    remember("starts", {"vllm": 31.5})
    assert recall("starts") == {"vllm": 31.5}
    for unfit in ("no json", "[1]"):
        (tmp_path / "harness" / "starts.json").write_text(unfit)
        assert recall("starts") == {}
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    remember("starts", {"vllm": 31.5})  # a machine without a home is none the worse
    assert recall("starts") == {}
