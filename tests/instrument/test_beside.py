"""Passes that look at functions in another way than by a ledger's clock, on a runner without an engine."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import ConfigError
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import Instrumentation
from tests.fakes import Runner, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTHS = [(5, 6), (3, 6)]
STEPS = 6
KEPT = 7
HERE = f"{__name__}.Engine"


class Kept:
    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class Base:
    def inherited(self) -> None: ...


class Engine(Runner, Base):
    """Its `keeps` leaves objects behind, and `lets_go` takes some of them away."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Any] = []
        self.elsewhere: list[Any] = []
        self.raises = False

    def _prepare_inputs(self, scheduler_output: Any) -> None:
        self.keeps()
        self.lets_go()
        for _ in range(3):
            self.deeper(1)
        sum(self.value(each) for each in [1, 2])
        (lambda: self.inherited())()
        cached(len(self.held))
        list(self.makes() if self.one else [])
        HIDDEN(self)
        super()._prepare_inputs(scheduler_output)

    @property
    def one(self) -> int:
        return 1

    def makes(self) -> Iterator[int]:
        yield 1

    def hidden(self) -> None: ...

    def keeps(self) -> None:
        self.held += [Kept(SimpleNamespace) for _ in range(KEPT)]
        self.keeps_more()

    def keeps_more(self) -> None:
        self.elsewhere.append(Kept(None))
        if self.raises:
            raise ZeroDivisionError("on purpose")

    def lets_go(self) -> None:
        del self.held[:2]

    def deeper(self, more: int) -> int:
        return self.deeper(more - 1) if more else self.value(more)

    def value(self, each: int) -> int:
        return each


HIDDEN = vars(Engine)["hidden"]
Engine.hidden = Engine.lets_go


@lru_cache(maxsize=1)
def cached(number: int) -> int:
    return number


def instrument(probes: list[str], runner: Runner | None = None, clock: Any = None) -> Instrument:
    arms = [("native", "", None)]
    runner = runner or Engine()
    return Instrument(runner, Instrumentation("", arms, probes, "_prepare_inputs"), clock or VirtualClock(reading_ns=1))


def serve(made: Instrument, kind: Any) -> dict[str, Any]:
    made.begin(kind, [0])
    made._loop.runner.serve(LENGTHS)
    result = made.end()
    assert result["unrestored"] == []
    return result


PROBES = [f"{HERE}.{name}" for name in ("keeps", "keeps_more", "lets_go", "deeper")]


@pytest.mark.parametrize(("kind", "apart"), [("tracked", 0), ("blocks", 1)])
def test_what_a_phase_leaves_is_counted_without_what_phases_inside_leave(kind, apart) -> None:
    """`blocks` sees the memory of a list that grows as well, where that is small."""
    made = instrument(PROBES)
    serve(made, kind)
    columns = serve(made, kind)["columns"]
    for name, left, calls in (("keeps", KEPT, 1), ("keeps_more", 1, 1), ("lets_go", -2, 1), ("deeper", 0, 6)):
        assert columns[f"{HERE}.{name}.calls"] == [calls] * STEPS
        for found in columns[f"{HERE}.{name}.objects"][1:]:
            assert abs(found - left) <= apart


def test_what_the_probes_keep_themselves_is_none_of_it() -> None:
    """Of six calls a step; what one of them takes from a free list can be missing."""
    made = instrument(PROBES)
    serve(made, "blocks")
    columns = serve(made, "blocks")["columns"]
    assert {abs(found) for found in columns[f"{HERE}.deeper.objects"]} <= {0, 1}


def test_the_collector_rests_meanwhile_and_runs_again_after() -> None:
    made, seen = instrument(PROBES), []
    made._loop.runner.forward = lambda: seen.append(gc.isenabled())
    serve(made, "tracked")
    assert seen == [False] * STEPS
    assert gc.isenabled()


def test_an_exception_in_a_phase_counts_to_the_end_and_leaves_nothing_bound() -> None:
    made = instrument(PROBES)
    runner = made._loop.runner
    before = {name: vars(Engine)[name] for name in ("keeps", "lets_go")}
    runner.raises = True
    made.begin("tracked", [0])
    with pytest.raises(ZeroDivisionError):
        runner.serve(LENGTHS)
    assert made.end()["unrestored"] == []
    assert {name: vars(Engine)[name] for name in before} == before
    runner.raises = False
    runner.requests.clear()
    assert serve(made, "probed")["columns"][f"{HERE}.keeps.calls"] == [1] * STEPS


def look(depth: int, names: tuple[str, ...] = ("_prepare_inputs",)) -> dict[str, dict[str, Any]]:
    made = instrument([])
    made.beside.look_into([f"{HERE}.{name}" for name in names], depth)
    found = serve(made, "look")["found"]
    assert len(made._switch.functions) == 1  # of the scope alone again
    assert max(Counter(row["name"] for row in found).values()) == 1
    return {row["name"].removeprefix(f"{__name__}."): row for row in found}


def test_every_function_called_in_an_opened_one_is_found_with_its_calls() -> None:
    found = look(1)
    assert {name: row["calls"] for name, row in found.items() if name.startswith("Engine.")} == {
        "Engine.keeps": STEPS,
        "Engine.lets_go": STEPS,
        "Engine.makes": 2 * STEPS,  # each time that it goes on
        "Engine.hidden": STEPS,
        "Engine.one": STEPS,
        "Engine.deeper": 3 * STEPS,
        "Engine.value": 2 * STEPS,  # of a generator, whose frame is no level of its own
        "Engine._prepare_inputs.<locals>.<lambda>": STEPS,
    }
    assert {row["depth"] for row in found.values()} == {1}
    assert {row["within"] for row in found.values()} == {f"{HERE}._prepare_inputs"}
    assert "tests.fakes.Runner._prepare_inputs" in found


def test_deeper_levels_are_found_where_they_are_asked_for() -> None:
    found = look(2)
    assert found["Engine.keeps_more"]["depth"] == 2
    assert found["Base.inherited"] | {"elapsed_ns": 0} == {
        "name": f"{__name__}.Base.inherited", "within": f"{HERE}._prepare_inputs", "depth": 2, "calls": STEPS,
        "why": "", "elapsed_ns": 0,
    }  # fmt: skip
    assert found["Engine.deeper"]["calls"] == 6 * STEPS
    assert found["Engine.deeper"]["depth"] == 1
    assert found["Engine.value"]["calls"] == 2 * STEPS


def test_what_no_name_leads_to_says_why() -> None:
    found = look(1)
    assert found["Engine._prepare_inputs.<locals>.<lambda>"]["why"] == "it is made anew inside of another function"
    assert found["Engine.keeps"]["why"] == ""
    assert found["Engine.makes"]["why"].startswith("calling it does none of its work")
    assert found["Engine.one"]["why"].startswith("it is a property")
    assert found["Engine.hidden"]["why"] == "another function stands under its name, or none"


def test_what_is_called_in_an_opened_function_is_no_part_of_another_that_called_it() -> None:
    found = look(2, ("_prepare_inputs", "keeps"))
    assert found["Engine.keeps_more"]["within"] == f"{HERE}.keeps"
    assert found["Engine.keeps_more"]["depth"] == 1
    assert found["Engine.value"]["within"] == f"{HERE}._prepare_inputs"
    assert "Engine.keeps" not in found


def test_the_hook_is_set_only_while_an_opened_function_runs_and_another_comes_back() -> None:
    made, seen = instrument([]), []
    runner = made._loop.runner
    made.beside.look_into([f"{HERE}._prepare_inputs"], 1)
    runner.work = lambda: seen.append(sys.getprofile() is not None)
    runner.forward = lambda: seen.append(sys.getprofile() is own)

    def own(*_: object) -> None: ...

    sys.setprofile(own)
    try:
        serve(made, "look")
        assert sys.getprofile() is own
    finally:
        sys.setprofile(None)
    assert seen == [True, True] * STEPS


def test_what_takes_most_time_comes_first() -> None:
    clock = VirtualClock()
    made = instrument([], clock=clock)
    runner = made._loop.runner
    runner.work = lambda: clock.advance(5)
    made.beside.look_into([f"{HERE}._prepare_inputs"], 1)
    first = serve(made, "look")["found"][0]
    assert (first["name"], first["elapsed_ns"]) == ("tests.fakes.Runner._prepare_inputs", 5 * STEPS)


def test_another_kind_of_pass_looks_at_nothing() -> None:
    made = instrument([])
    made.beside.look_into([f"{HERE}._prepare_inputs"], 1)
    assert serve(made, "bare")["found"] == []


@pytest.mark.parametrize("name", ["torch.tensor", f"{HERE}.nothing"])
def test_what_is_no_function_of_python_is_not_opened(name) -> None:
    with pytest.raises(ConfigError, match=r"profile\.into"):
        instrument([]).beside.look_into([name], 1)
    with pytest.raises(ConfigError, match=r"profile\.lines"):
        instrument([]).beside.time_lines([name])


def test_a_functions_lines_have_hits_and_their_text() -> None:
    made = instrument([])
    made.beside.time_lines([f"{HERE}.deeper", f"{HERE}._prepare_inputs"])
    code = vars(Engine)["deeper"].__code__
    for _ in range(2):  # each pass begins from nothing
        rows = serve(made, "lines")["found"]
        of_deeper = [(row["hits"], row["text"]) for row in rows if row["name"] == f"{HERE}.deeper"]
        assert of_deeper == [
            (0, "    def deeper(self, more: int) -> int:"),
            (6 * STEPS, "        return self.deeper(more - 1) if more else self.value(more)"),
        ]
    assert [row["line"] for row in rows][:2] == [code.co_firstlineno, code.co_firstlineno + 1]
    loop = next(row for row in rows if row["text"].endswith("for _ in range(3):"))
    assert loop["hits"] == 4 * STEPS
    assert all(row["ns"] > 0 for row in rows if row["hits"])
    assert vars(Engine)["deeper"].__code__ is code
    assert sys.gettrace() is None


def test_a_delay_is_planted_behind_any_function_under_its_arm_alone() -> None:
    clock, runner = VirtualClock(reading_ns=10), Engine()
    code = vars(Engine)["keeps"].__code__
    arms = [("native", "", None), ("late", "", 40_000, "", (), f"{HERE}.keeps")]
    made = Instrument(runner, Instrumentation("", arms, [], "_prepare_inputs"), clock)
    made.begin("bare", [0, 1, 0, 1])
    runner.serve(LENGTHS)
    result = made.end()
    arm_of = zip(result["columns"]["arm"], result["columns"]["execute_ns"], strict=True)
    assert [(arm, ns > 42_000) for arm, ns in arm_of][:4] == [(0, False), (1, True), (0, False), (1, True)]
    assert result["unrestored"] == []
    assert vars(Engine)["keeps"].__code__ is code


@pytest.mark.parametrize("at", ["torch.tensor", f"{HERE}.nothing"])
def test_behind_what_is_no_function_of_python_nothing_is_planted(at) -> None:
    with pytest.raises(ConfigError, match="a delay behind"):
        Instrument(Engine(), Instrumentation("", [("late", "", 5, "", (), at)], [], "_prepare_inputs"), VirtualClock())
