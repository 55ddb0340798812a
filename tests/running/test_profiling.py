"""What a profile looks at beside times: opened phases, objects that are left, lines, and what shows of each phase."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from harness.analysis.phase_exposure import shown_of_phases
from harness.config.file import load
from harness.config.profile import Profile
from harness.errors import ConfigError
from harness.hosts.base import PassResult
from harness.instrument.anatomy import ARRIVAL, OUTPUT, TURN, Phase
from harness.instrument.planting import PLANT_BASE_NS
from harness.records.folder import RunFolder, read_run
from harness.records.recorded import MOST
from harness.running import into
from harness.running.anatomy import phases_here
from harness.running.into import MOST_CALLS
from harness.running.planning import Budget
from harness.running.profiling import FEWEST_GROUPS, LEAST_NS, PROCESS_PASSES, Profiling, behind_phases
from harness.running.run import Run
from tests.fakes import FakeHost, Runner, Silent, VirtualClock

HERE = f"{__name__}.Engine"
CLOCK = VirtualClock(reading_ns=10)
KEPT, STEPS = 5, 8
CONFIG = f"""\
engine: {{model: none}}
workload: {{requests: 3, prompt_tokens: 6, output_tokens: {STEPS}}}
profile: PROFILE
protocol: {{groups: 5, counters: false, warmup: 1}}
"""
PHASES = [
    Phase("rest of execute", TURN, f"{HERE}.execute_model"),
    Phase("prepare inputs", TURN, f"{HERE}._prepare_inputs"),
    Phase("keeping", TURN, f"{HERE}.keep"),
    Phase("keeping", TURN, f"{HERE}.keep_nothing"),
    Phase("never", TURN, f"{HERE}.never"),
    Phase("hidden", OUTPUT, f"{HERE}.sample_tokens"),
    Phase("arriving", ARRIVAL, f"{HERE}.arrive"),
    Phase("missing", TURN, f"{HERE}.missing"),
]


class Kept:
    __slots__ = ("value",)


class Engine(Runner):
    """A step takes 1 ms; 200 us of it pass while a device works for 300 us, which hides them."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[list[Any]] = []

    def serve(self, lengths: Any) -> Any:
        self.held.clear()
        self.arrive()
        return super().serve(lengths)

    def arrive(self) -> None: ...

    def execute_model(self, scheduler_output: Any) -> None:
        CLOCK.advance(500_000)
        super().execute_model(scheduler_output)
        self.keep()
        self.keep_nothing()

    def _prepare_inputs(self, scheduler_output: Any) -> None:
        self.state(7)
        for row in range(400):
            self.often(row)
        super()._prepare_inputs(scheduler_output)

    def state(self, number: int) -> int:
        CLOCK.advance(30_000)
        return self.deeper(number)

    def deeper(self, number: int) -> int:
        CLOCK.advance(20_000)
        return number

    def often(self, row: int) -> int:
        return row

    def keep(self) -> None:
        self.held += [Kept() for _ in range(KEPT)]

    def keep_nothing(self) -> None:
        CLOCK.advance(50_000)

    def never(self) -> None: ...

    def sample_tokens(self) -> list[int]:
        began = CLOCK.now_ns
        tokens = self.sample()
        CLOCK.now_ns = max(CLOCK.now_ns, began + 300_000)
        return tokens

    def sample(self) -> list[int]:
        CLOCK.advance(200_000)
        return super().sample_tokens()


class Host(FakeHost):
    def start(self) -> Any:
        info = super().start()
        return dataclasses.replace(info, details={**info.details, "generation": "v1"})


@pytest.fixture(autouse=True)
def phases(monkeypatch):
    held = (f"{HERE}.execute_model", f"{HERE}.sample_tokens")
    monkeypatch.setattr("harness.running.profiling.MOST_GROUPS", 4)
    monkeypatch.setattr("harness.running.anatomy.whole", lambda turn, generation, front_apart: held)
    monkeypatch.setattr("harness.running.anatomy.phases_of", lambda turn, generation, model: PHASES)


@pytest.fixture
def run(tmp_path):
    def go(profile: str) -> tuple[Run, Any]:
        path = tmp_path / "config.yaml"
        path.write_text(CONFIG.replace("PROFILE", profile))
        made = Run(load(path), Host(CLOCK, Engine()), RunFolder(tmp_path / "run"), Silent())
        return made, made.execute()

    return go


def well(outcome: Any) -> bool:
    return (outcome.status, outcome.exit_status, outcome.message) == ("complete", 0, "")


def test_what_is_called_in_an_opened_phase_is_timed_beside_the_phases(run) -> None:
    made, outcome = run("{into: [prepare inputs], memory: false}")
    assert well(outcome)
    anatomy = made.facts["anatomy"]
    assert anatomy["phases"][f"{HERE}.state"] == {
        "label": "Engine.state", "section": TURN, "within": f"{HERE}._prepare_inputs", "depth": 1,
    }  # fmt: skip
    assert f"{HERE}.deeper" not in anatomy["phases"]
    assert {"name": f"{HERE}.often", "within": f"{HERE}._prepare_inputs", "calls_a_pass": 400 * STEPS} == {
        key: value for key, value in anatomy["untimed"][0].items() if key != "why"
    }
    assert anatomy["untimed"][0]["why"].startswith("it is called 400 times a step")
    columns = read_run(made.folder.path).columns
    probed = columns["probed"]
    assert set(columns[f"{HERE}.state.calls"][probed]) == {1}
    assert columns[f"{HERE}.state.self_ns"][probed].min() >= 50_000  # with `deeper`, which is not timed


def test_deeper_functions_are_timed_where_they_are_asked_for(run) -> None:
    made, outcome = run("{into: [_prepare_inputs], depth: 2, memory: false}")
    assert well(outcome)
    assert made.facts["anatomy"]["phases"][f"{HERE}.deeper"]["depth"] == 2
    columns = read_run(made.folder.path).columns
    own = columns[f"{HERE}.state.self_ns"][columns["probed"]]
    assert own.max() < 31_000


def test_a_function_that_is_no_phase_is_opened_by_its_full_name(run) -> None:
    made, outcome = run(f"{{into: [{HERE}.state], memory: false}}")
    assert well(outcome)
    phases = made.facts["anatomy"]["phases"]
    assert phases[f"{HERE}.state"] == {"label": "Engine.state", "section": ""}
    assert phases[f"{HERE}.deeper"]["within"] == f"{HERE}.state"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("nothing", "profile.into: nothing is no phase here, and no function by its full name; there are rest of exec"),
        (f"{HERE}.nothing", "is no phase here"),
        ("keep*", "is no phase here"),
    ],
)
def test_what_cannot_be_opened_is_told_with_what_can(run, entry, said) -> None:
    _, outcome = run(f"{{into: ['{entry}']}}")
    assert (outcome.status, outcome.exit_status) == ("failed", 2)
    assert said in outcome.message
    assert "keeping" in outcome.message


def test_last_parts_of_several_phases_are_told_apart_by_the_user(run, monkeypatch) -> None:
    other = Phase("other", TURN, "tests.fakes.Runner._prepare_inputs")
    monkeypatch.setattr("harness.running.anatomy.phases_of", lambda turn, generation, model: [*PHASES, other])
    _, outcome = run("{into: [_prepare_inputs]}")
    assert outcome.exit_status == 2
    assert f"is {HERE}._prepare_inputs and tests.fakes.Runner._prepare_inputs: name one" in outcome.message


def test_no_more_functions_are_timed_than_there_is_room_for(run, monkeypatch) -> None:
    monkeypatch.setattr(into, "MOST_TIMED", 1)
    made, outcome = run("{into: [rest of execute], depth: 3, memory: false}")
    assert well(outcome)
    inside = [name for name, about in made.facts["anatomy"]["phases"].items() if "within" in about]
    assert inside == ["tests.fakes.VirtualClock.advance"]  # which takes most
    assert "1 others take longer, and no more are timed at once" in {
        each["why"] for each in made.facts["anatomy"]["untimed"] if each["name"] == f"{HERE}.state"
    }
    assert MOST_CALLS < 400


def test_what_each_phase_leaves_behind_is_written(run) -> None:
    made, outcome = run("{}")
    assert well(outcome)
    memory = read_run(made.folder.path).memory
    for counted in ("blocks", "tracked"):
        here = (memory["counted"] == counted) & (memory["name"] == f"{HERE}.keep")
        assert memory["step"][here].tolist() == list(range(STEPS))
        assert set(memory["calls"][here]) == {1}
        found = memory["objects"][here].tolist()
        assert found[1:] == [KEPT] * (STEPS - 1) if counted == "tracked" else abs(sum(found) / STEPS - KEPT) < 1
    of_nothing = (memory["counted"] == "tracked") & (memory["name"] == f"{HERE}.keep_nothing")
    assert set(memory["objects"][of_nothing]) == {0}
    assert f"{HERE}.never" not in set(memory["name"])
    assert made.host.passes[-4:] == ["blocks", "blocks", "tracked", "tracked"]


OTHER = "vllm.v1.engine.output_processor.OutputProcessor.process_outputs"


class Apart(Host):
    """With a front end in another process, which takes 7 ns a turn and 3 of them of a function that is the turn."""

    wanted: bool = False

    def start(self) -> Any:
        info = super().start()
        return dataclasses.replace(info, details={**info.details, "process": "subprocess"})

    def time_elsewhere(self, wanted: bool) -> dict[str, Any]:
        self.wanted = wanted
        about = {"phases": {OTHER: {"label": "rest of output", "section": OUTPUT}}, "turn": OTHER,
                 "calibration": {"inside_ns": 1.0, "outside_ns": 1.0}}  # fmt: skip
        return {"front end": about} if wanted else {}

    def run_pass(self, kind: Any, schedule: Any, requests: Any, probed: Any = ()) -> Any:
        result = super().run_pass(kind, schedule, requests, probed)
        if not (self.wanted and kind == "probed"):
            return result
        each = {"self_ns": 7, "total_ns": 9, "calls": 1, "nested_calls": 2}
        columns = {"step": list(range(STEPS)), "turn_ns": [6] * STEPS, "scope.self_ns": [1] * STEPS}
        columns |= {f"{OTHER}.{key}": [value] * (STEPS - 1) + [0] for key, value in each.items()}
        columns |= {f"{OTHER}.total_ns": [9] * (STEPS - 1) + [6]}
        return dataclasses.replace(result, processes={"front end": columns})


def test_other_processes_are_timed_in_passes_of_their_own(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("PROFILE", "{memory: false}"))
    host = Apart(CLOCK, Engine())
    made = Run(load(path), host, RunFolder(tmp_path / "run"), Silent())
    assert well(made.execute())
    records = read_run(made.folder.path)
    assert records.unreadable == {}
    table = pd.DataFrame(records.processes)
    assert set(table["process"]) == {"front end"}
    assert set(table["name"]) == {OTHER}
    assert len(table) == PROCESS_PASSES[1] * (STEPS - 1)  # the last step has no call
    assert set(table["self_ns"]) == {7 - (9 - 6)}  # without what the instrument did in the middle of the turn
    assert list(records.run["anatomy"]["processes"]) == ["front end"]
    assert not host.wanted


def test_memory_can_be_left_out(run) -> None:
    made, _ = run("{memory: false}")
    assert read_run(made.folder.path).memory == {}
    assert not {"blocks", "tracked"}.intersection(made.host.passes)


def test_what_shows_of_each_phase_is_told_by_delays_behind_it(run) -> None:
    made, outcome = run("{exposed: true, memory: false}")
    assert well(outcome)
    records = read_run(made.folder.path)
    table = pd.DataFrame(records.exposed)
    assert records.unreadable == {}
    names = ["", *(f"{HERE}.{name}" for name in ("execute_model", "_prepare_inputs", "keep", "keep_nothing"))]
    names += [f"{HERE}.sample_tokens"]
    assert table["group"].max() + 1 >= FEWEST_GROUPS
    for _, of_step in table.groupby(["group", "step"]):  # a block: each step meets each delay once a group
        assert sorted(of_step["name"]) == sorted([*names, *[""] * (len(names) - 2)])  # half of the turns have none
    assert (table.groupby("pass")["name"].nunique() > 1).any()  # drawn anew for each step
    delays = made.facts["anatomy"]["delays_ns"]
    planted = [delays[name] + PLANT_BASE_NS if name else 0 for name in table["name"]]
    assert table["planted_ns"].tolist() == planted
    assert dict(made.observer.stages)["planting delays behind phases"] == table["pass"].nunique()
    shares = shown_of_phases(records.exposed, {}, 0.95)
    assert {name: share.estimate for name, share in shares.items()} == {
        name: pytest.approx(1, abs=0.05) for name in names if name
    }


def test_what_was_measured_of_what_shows_is_kept_where_a_fault_ends_it(run, monkeypatch) -> None:
    served, serve = [], Engine.serve

    def fails(self: Engine, lengths: Any) -> Any:
        served.append(1)
        if len(served) > 60:
            raise ZeroDivisionError("on purpose")
        return serve(self, lengths)

    monkeypatch.setattr(Engine, "serve", fails)
    monkeypatch.setattr("harness.running.profiling.MOST_GROUPS", 20)
    made, outcome = run("{exposed: true}")
    assert outcome.status == "failed"
    assert "on purpose" in outcome.message
    records = read_run(made.folder.path)
    after = made.host.passes[made.host.passes.index("tracked") + 2 :]
    assert after[0] == "probed"
    assert (
        len(set(records.exposed["pass"])) == len(after) - 3 > 0
    )  # that one, the one that warms up, the one that failed
    assert len(records.columns["step"]) > 0


def test_what_a_device_hides_does_not_show(run, monkeypatch) -> None:
    hidden = Phase("sampling", OUTPUT, f"{HERE}.sample")
    monkeypatch.setattr("harness.running.anatomy.phases_of", lambda turn, generation, model: [PHASES[0], hidden])
    made, outcome = run("{exposed: true, memory: false}")
    assert well(outcome)
    shares = shown_of_phases(read_run(made.folder.path).exposed, {}, 0.95)
    shown = [share.estimate for name, share in shares.items() if "sample" in name]
    assert shown
    assert max(shown) < 0.05  # 100 us of the device's time are left over, and the delay is 85 us


def test_delays_are_a_tenth_of_a_turn_and_only_behind_what_usual_turns_call() -> None:
    columns = {
        "begin_ns": [0, 10**6, 2 * 10**6, 3 * 10**6],
        "a.calls": [1, 2, 2, 9], "b.calls": [5, 0, 0, 0], "c.calls": [50, 50, 50, 50], "d.calls": [1] * 4,
        "e.calls": [1] * 4,
    }  # fmt: skip
    phases = {name: {"section": TURN} for name in "abc"}
    phases |= {"d": {"section": ARRIVAL}, "e": {"section": TURN, "within": "a"}}
    of_a, of_c = behind_phases(columns, phases)
    assert of_a == (
        "a",
        50_000,
        tuple(calls * (50_000 + PLANT_BASE_NS) for calls in (1, 2, 2)),
    )  # what the last step calls comes after its begin
    assert of_c == ("c", LEAST_NS, (50 * (LEAST_NS + PLANT_BASE_NS),) * 3)
    assert behind_phases({**columns, "begin_ns": [0]}, phases) == []


def test_functions_line_by_line_are_written_with_their_source(run) -> None:
    made, outcome = run(f"{{lines: [{HERE}.state], memory: false}}")
    assert well(outcome)
    lines = read_run(made.folder.path).lines
    assert lines["text"].tolist() == [
        "    def state(self, number: int) -> int:", "        CLOCK.advance(30_000)",
        "        return self.deeper(number)",
    ]  # fmt: skip
    assert lines["hits"].tolist() == [0, STEPS, STEPS]
    first = Engine.state.__code__.co_firstlineno
    assert lines["line"].tolist() == [first, first + 1, first + 2]
    assert lines["ns"][1:].min() > 0
    assert set(lines["name"]) == {f"{HERE}.state"}
    assert made.host.passes[-2:] == ["lines"] * 2


def test_a_function_for_its_lines_that_is_not_there_is_told_before_anything_is_measured(run) -> None:
    made, outcome = run(f"{{lines: [{HERE}.nothing]}}")
    assert (outcome.status, outcome.exit_status) == ("failed", 2)
    assert f"profile.lines '{HERE}.nothing'" in outcome.message
    assert "mixed" not in made.host.passes


def test_lines_without_line_profiler_are_refused_when_the_config_is_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("harness.config.profile.find_spec", lambda name: None)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("PROFILE", f"{{lines: [{HERE}.state]}}"))
    with pytest.raises(ConfigError, match=r"profile\.lines: .*install line_profiler"):
        load(path)


def test_everything_at_once_leaves_nothing_behind(run) -> None:
    before = {name: (value, getattr(value, "__code__", None)) for name, value in vars(Engine).items()}
    made, outcome = run(f"{{into: [prepare inputs], exposed: true, lines: [{HERE}.state], targets: ['{HERE}.st*']}}")
    assert well(outcome)
    assert {name: (value, getattr(value, "__code__", None)) for name, value in vars(Engine).items()} == before
    kinds = made.host.passes
    places = [kinds.index(kind) for kind in ("look", "mixed", "blocks", "tracked", "lines")]
    assert places == sorted(places)
    assert json.loads((Path(made.folder.path) / "run.json").read_text())["anatomy"]["untimed"]


class Served:
    """Gives what it is told to, pass by pass, each of which takes 4 s; remembers what was asked for."""

    def __init__(self, *results: dict[str, Any]) -> None:
        self.results, self.asked, self.now_s = list(results), [], 0.0

    def __call__(self, kind: str, schedule: list[int], where: str) -> PassResult:
        self.asked.append((kind, schedule, where))
        self.now_s += 4.0
        given = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        return PassResult(
            given.get("columns", {}), None, None, [], [], **{k: v for k, v in given.items() if k != "columns"}
        )


class Told(Silent):
    """Remembers how long stages were said to take, too."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def stage(self, name: str, passes: int, seconds: float | None = None) -> None:
        super().stage(name, passes, seconds)
        self.seconds.append(seconds)


@pytest.fixture
def profiling(tmp_path, monkeypatch):
    def make(served: Served, anatomy: dict[str, Any] | None = None, elsewhere: Any = None, **details: Any) -> Profiling:
        monkeypatch.setattr("harness.running.profiling.Budget", lambda seconds: Budget(seconds, lambda: served.now_s))
        facts = {"anatomy": anatomy or {"phases": {}}, "host": {"details": details}}
        return Profiling(
            served, lambda _: None, elsewhere or (lambda _: {}), RunFolder(tmp_path / "run"), Told(), facts, 1000.0, 4.0
        )

    return make


def test_lines_are_the_mean_of_two_passes_line_by_line(profiling) -> None:
    def found(hits: int, ns: float) -> dict[str, Any]:
        row = {"name": "a.f", "text": "x = 1"}
        return {"found": [{**row, "line": 1, "hits": hits, "ns": ns}, {**row, "line": 2, "hits": 10 * hits, "ns": 7.0}]}

    served = Served(found(1, 100.0), found(3, 300.0))
    made = profiling(served)
    made.lines()
    assert served.asked == [("lines", [0], "a pass that times lines")] * 2
    assert (made.observer.stages, made.observer.seconds, made.observer.advanced) == ([("timing lines", 2)], [8.0], 2)
    lines = pd.read_parquet(made.folder.path / "lines.parquet")
    assert lines.to_dict("records") == [
        {"name": "a.f", "text": "x = 1", "line": 1, "hits": 2.0, "ns": 200.0},
        {"name": "a.f", "text": "x = 1", "line": 2, "hits": 20.0, "ns": 7.0},
    ]


def test_what_phases_leave_is_of_the_second_pass_of_each_kind_and_of_steps_that_call_them(profiling) -> None:
    def columns(more: int) -> dict[str, Any]:
        return {
            "columns": {"step": [0, 1], "a.f.calls": [2, 0], "a.f.objects": [5 + more, 9], "a.g.calls": [1, 1],
                        "a.g.objects": [more, -1]}
        }  # fmt: skip

    served = Served(columns(100), columns(10), columns(200), columns(20))
    made = profiling(served, {"phases": {"a.f": {}, "a.g": {}}})
    made.memory()
    assert [(kind, where) for kind, _, where in served.asked] == [
        (kind, f"a pass that counts objects ({kind})") for kind in ("blocks", "blocks", "tracked", "tracked")
    ]
    assert made.observer.stages == [("counting the objects that phases leave", 4)]
    assert (made.observer.seconds, made.observer.advanced) == ([16.0], 4)
    memory = pd.read_parquet(made.folder.path / "memory.parquet")
    assert memory[["counted", "name", "step", "calls", "objects"]].to_numpy().tolist() == [
        row
        for counted, more in (("blocks", 10), ("tracked", 20))
        for row in (
            [counted, "a.f", 0, 2, 5 + more], [counted, "a.g", 0, 1, more], [counted, "a.g", 1, 1, -1],
        )
    ]  # fmt: skip


FRONT_COLUMNS = {
    "step": [0, 1], "turn_ns": [60, 70], "scope.self_ns": [1, 1],
    "a.turn.self_ns": [50, 55], "a.turn.total_ns": [90, 75], "a.turn.calls": [1, 1], "a.turn.nested_calls": [3, 4],
    "a.f.self_ns": [20, 0], "a.f.total_ns": [20, 0], "a.f.calls": [2, 0], "a.f.nested_calls": [0, 0],
}  # fmt: skip


@pytest.mark.parametrize(("budget_s", "groups"), [(1.0, 5), (30.0, 7), (1000.0, 20)])
def test_other_processes_are_timed_as_often_as_there_is_time_and_five_times_at_least(
    profiling, budget_s, groups
) -> None:
    """A pass takes 4 s: the eighth would end at 32 s."""
    wanted: list[bool] = []

    def elsewhere(on: bool) -> dict[str, Any]:
        wanted.append(on)
        return {"front end": {"turn": "a.turn"}} if on else {}

    served = Served({"processes": {"front end": FRONT_COLUMNS}})
    made = profiling(served, elsewhere=elsewhere, process="subprocess")
    made.budget_s = budget_s
    made.processes()
    assert wanted == [True, False]
    assert made.facts["anatomy"]["processes"] == {"front end": {"turn": "a.turn"}}
    assert served.asked == [
        ("probed", [0], "a pass that warms up other processes"),
        *[("probed", [0], "a pass that times other processes")] * groups,
    ]
    assert (made.observer.stages, made.observer.seconds) == ([("timing the other processes", 20)], [80.0])
    assert made.observer.advanced == groups
    table = pd.read_parquet(made.folder.path / "processes.parquet")
    names = ["group", "process", "step", "name", "calls", "nested_calls", "self_ns"]
    assert set(table) == set(names)
    assert table[names].to_numpy().tolist() == [
        [group, "front end", *row]
        for group in range(groups)
        for row in ([0, "a.turn", 1, 3, 20], [1, "a.turn", 1, 4, 50], [0, "a.f", 2, 0, 20])
    ]  # of the turn without what the instrument did in it: 50 - (90 - 60), 55 - (75 - 70)


@pytest.mark.parametrize(
    ("details", "timed"),
    [
        ({"process": "subprocess"}, True), ({"process": "subprocess", "core_in_reach": True}, True),
        ({"process": "in_process", "core_in_reach": False}, True), ({"process": "in_process"}, False),
        ({"process": "in_process", "core_in_reach": True}, False), ({}, False),
    ],
)  # fmt: skip
def test_an_engine_has_other_processes_where_it_or_its_core_is_in_one(profiling, details, timed) -> None:
    served = Served({"processes": {}})
    made = profiling(served, **details)
    made.processes()
    assert bool(served.asked) is timed
    assert ("processes" in made.facts["anatomy"]) is timed
    assert not (made.folder.path / "processes.parquet").exists(), "there was nothing to write"


def test_as_many_functions_as_a_run_can_hold_are_timed_and_no_more() -> None:
    found: list[str] = []
    host: Any = SimpleNamespace(there=list, find=lambda pattern: found)
    turn = "vllm.v1.engine.core.EngineCore.step"
    profile = Profile(targets=["package.module.*"])
    _, alone = phases_here(host, profile, turn, "v1")
    found[:] = [f"package.module.f{number}" for number in range(MOST - len(alone))]
    _, phases = phases_here(host, profile, turn, "v1")
    assert len(phases) == MOST
    assert phases[found[0]] == {"label": found[0], "section": ""}
    found.append("package.module.last")
    with pytest.raises(ConfigError, match=rf"with the phases {MOST + 1} functions would be timed, and at most {MOST}"):
        phases_here(host, profile, turn, "v1")
