"""What a profile looks at beside times: opened phases, objects that are left, lines, and what shows of each phase."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.analysis.phase_exposure import shown_of_phases
from harness.config.file import load
from harness.errors import ConfigError
from harness.instrument.anatomy import ARRIVAL, OUTPUT, TURN, Phase
from harness.instrument.planting import PLANT_BASE_NS
from harness.records.folder import RunFolder, read_run
from harness.running import into
from harness.running.into import MOST_CALLS
from harness.running.profiling import FEWEST_GROUPS, LEAST_NS, behind_phases
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
    monkeypatch.setattr("harness.running.anatomy.whole", lambda turn, generation: held)
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
