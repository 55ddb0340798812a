"""The instrument on a runner without an engine: what it times, what it checks, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import threading
import types
from json import dumps  # noqa: F401 (under two names)
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.errors import ConfigError
from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.events import freeze_heap, uncollected
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import Instrumentation
from harness.instrument.ptrace import admit_tracers
from harness.instrument.steps import TURN_NS, StepRows
from harness.seams import SEAMS
from harness.seams.slot_contract import POISON
from patches.slot_mapping import List, Numpy
from tests import fakes
from tests.fakes import BlockTable, Runner, VirtualClock, checked

SEAM = SEAMS["slot_mapping"]
PROBES = ["torch.tensor", "compute_slot_mapping", "torch.frombuffer", "torch.cat"]
ARMS = [("native", "", None), *((name, reference, None) for name, reference in SEAM.places["v1"].arms.items())]
LENGTHS = [(5, 4), (3, 4), (8, 4)]
STEPS = 4


class OffByOne:
    """Wrong at the last token of every step."""

    takes = "arrays"

    def slots(self, *args):
        slots = Numpy().slots(*args)
        slots[-1] += 1
        return slots


class TooShort:
    takes = "arrays"

    def slots(self, *args):
        return Numpy().slots(*args)[:-1]


class WrongType:
    """Right numbers, but 4 bytes each."""

    takes = "arrays"

    def slots(self, *args):
        return Numpy().slots(*args).to(torch.int32)


class RaisesLater:
    takes = "arrays"

    def __init__(self) -> None:
        self.calls = 0

    def slots(self, *args):
        self.calls += 1
        if self.calls > 2:
            raise ZeroDivisionError("on purpose")
        return Numpy().slots(*args)


def instrument(runner, arms=ARMS, probes=PROBES, clock=None, scope="_prepare_inputs") -> Instrument:
    return Instrument(runner, Instrumentation("slot_mapping", arms, probes, scope), clock or VirtualClock(reading_ns=1))


def own(found) -> str:
    return f"{__name__}:{found.__name__}"


def snapshot(runner) -> dict:
    """Everything that a pass may touch: what instances hide of their classes, functions and their code by identity."""
    return {
        "runner": set(vars(runner)),
        "table": dict(vars(runner.table)),
        "names": list(vars(fakes)),
        "code": {
            (cls.__name__, name): (function, function.__code__, function.__defaults__, function.__kwdefaults__)
            for cls in (Runner, BlockTable)
            for name, function in vars(cls).items()
            if isinstance(function, types.FunctionType)
        },
        "torch": {name: getattr(torch, name) for name in ("tensor", "frombuffer", "cat")},
        "copy_": vars(torch.Tensor).get("copy_"),
    }


@pytest.mark.parametrize("kind", ["probed", "bare", "check"])
def test_after_a_pass_everything_is_as_it_was(kind) -> None:
    runner = Runner()
    under_test = instrument(runner, probes=[*PROBES, "torch.Tensor.copy_"])
    before = snapshot(runner)
    under_test.begin(kind, [0])
    assert set(vars(runner)) != before["runner"]
    runner.serve(LENGTHS)
    assert under_test.end()["unrestored"] == []
    assert snapshot(runner) == before
    assert not under_test.under_way


def test_after_an_exception_in_the_engine_everything_is_as_it_was() -> None:
    def broken() -> None:
        raise RuntimeError("the engine broke")

    runner = Runner(work=broken)
    under_test = instrument(runner)
    before = snapshot(runner)
    under_test.begin("probed", [0])
    with pytest.raises(RuntimeError, match="broke"):
        runner.serve(LENGTHS)
    result = under_test.end()
    assert result["unrestored"] == []
    assert result["columns"]["step"] == []
    runner.requests.clear()
    assert snapshot(runner) == before


def test_an_interrupt_while_probes_are_bound_leaves_nothing_behind() -> None:
    """Ctrl-C can come between any two lines: here, as the scope's clock is read with the probes just bound."""

    class Interrupting(VirtualClock):
        def __call__(self) -> int:
            if torch.cat is not original:
                raise KeyboardInterrupt
            return super().__call__()

    original = torch.cat
    runner = Runner()
    under_test = instrument(runner, clock=Interrupting())
    before = snapshot(runner)
    under_test.begin("probed", [0])
    with pytest.raises(KeyboardInterrupt):
        runner.serve(LENGTHS)
    try:
        assert under_test.end()["unrestored"] == []
        assert snapshot(runner) == before
    finally:
        torch.cat = original


def test_an_interrupt_before_an_attribute_was_set_is_no_second_error() -> None:
    class Stubborn(Runner):
        def __setattr__(self, name, value):
            if name == "sample_tokens":
                raise KeyboardInterrupt
            super().__setattr__(name, value)

    runner = Stubborn()
    under_test = instrument(runner)
    before = snapshot(runner)
    with pytest.raises(KeyboardInterrupt):
        under_test.begin("probed", [0])
    assert under_test.end()["unrestored"] == []
    assert snapshot(runner) == before


def test_an_interrupted_beginning_takes_no_method_away(monkeypatch) -> None:
    runner = Runner()
    under_test = instrument(runner, probes=["tests.fakes.Runner.serve"])
    monkeypatch.setattr(under_test._ledger, "probe", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        under_test.begin("probed", [0])
    assert under_test.end()["unrestored"] == []
    assert "serve" in vars(Runner)


def test_something_that_was_patched_meanwhile_is_named(monkeypatch) -> None:
    runner = Runner()
    under_test = instrument(runner)
    under_test.begin("probed", [0])
    runner.serve(LENGTHS)
    monkeypatch.setattr(torch, "cat", lambda *args: None)
    assert under_test.end()["unrestored"] == ["cat"]


@pytest.mark.parametrize(
    ("arm", "tensor", "frombuffer", "cat"),
    [
        ("native", 0, 0, 0),
        ("list", 1, 0, 0),
        ("array", 0, 1, 0),
        ("list_with_array", 0, 1, 0),
        ("cat_frombuffers", 0, 3, 1),
        ("numpy", 0, 0, 0),
    ],
)
def test_probes_fire_as_often_as_they_must(arm, tensor, frombuffer, cat) -> None:
    """In each of 4 steps over 3 sequences."""
    runner = Runner()
    under_test = instrument(runner)
    under_test.begin("probed", [under_test.arm_names.index(arm)])
    runner.serve(LENGTHS)
    columns = under_test.end()["columns"]
    assert columns["torch.tensor.calls"] == [tensor] * STEPS
    assert columns["torch.frombuffer.calls"] == [frombuffer] * STEPS
    assert columns["torch.cat.calls"] == [cat] * STEPS
    assert columns["compute_slot_mapping.calls"] == [1] * STEPS
    assert columns["compute_slot_mapping.nested_calls"] == [tensor + frombuffer + cat] * STEPS
    assert columns["scope.calls"] == [1] * STEPS


def test_the_seams_function_by_its_full_name_is_the_same_probe() -> None:
    """A probe that resolves to the function behind the seam follows the arms, as the short name does."""
    runner = Runner()
    under_test = instrument(runner, probes=["tests.fakes.BlockTable.compute_slot_mapping"])
    under_test.begin("probed", [1])
    runner.serve(LENGTHS)
    assert under_test.end()["columns"]["tests.fakes.BlockTable.compute_slot_mapping.calls"] == [1] * STEPS


def test_step_i_runs_the_arm_that_the_schedule_says_and_the_signature_is_recorded() -> None:
    runner = Runner()
    under_test = instrument(runner)
    schedule = [1, 4, 0, 5]
    under_test.begin("probed", schedule)
    runner.serve(LENGTHS)
    columns = under_test.end()["columns"]
    assert columns["arm"] == schedule
    assert columns["num_reqs"] == [3] * STEPS
    assert columns["num_tokens"] == [16, 3, 3, 3]
    assert columns["num_prefills"] == [3, 0, 0, 0]
    assert columns["torch.tensor.calls"] == [1, 0, 0, 0]  # only `list` calls it
    assert columns["torch.cat.calls"] == [0, 1, 0, 0]  # only `cat_frombuffers` does


def test_parts_rebuild_the_scope_in_every_step() -> None:
    clock = VirtualClock(reading_ns=7)
    runner = Runner(work=lambda: clock.advance(1000))
    under_test = instrument(runner, clock=clock)
    under_test.begin("probed", [0, 1, 4, 5])
    runner.serve(LENGTHS)
    columns = under_test.end()["columns"]
    parts = np.sum([columns[f"{name}.self_ns"] for name in ("scope", *PROBES)], axis=0)
    assert parts.tolist() == columns["scope.total_ns"]
    assert min(columns["scope.self_ns"]) >= 1000
    assert all(np.array(columns["execute_ns"]) > np.array(columns["scope.total_ns"]))


def test_a_bare_pass_times_the_step_and_nothing_else() -> None:
    runner = Runner()
    under_test = instrument(runner)
    under_test.begin("bare", [1])
    runner.serve(LENGTHS)
    columns = under_test.end()["columns"]
    assert not any("." in name for name in columns)
    assert min(columns["execute_ns"]) > 0
    assert columns["bookkeeping_ns"] == [0] * STEPS


def test_a_mixed_pass_probes_the_steps_that_it_says_and_leaves_the_others_bare() -> None:
    runner = Runner()
    under_test = instrument(runner)
    before = snapshot(runner)
    under_test.begin("mixed", [1, 1, 4, 4], [True, False, False, True])
    runner.serve(LENGTHS)
    result = under_test.end()
    columns = result["columns"]
    assert columns["probed"] == [1, 0, 0, 1]
    assert columns["scope.calls"] == [1, 0, 0, 1]
    assert columns["torch.tensor.calls"] == [1, 0, 0, 0]
    assert columns["torch.frombuffer.calls"] == [0, 0, 0, 3]
    assert [ns > 0 for ns in columns["bookkeeping_ns"]] == [True, False, False, True]
    assert result["unrestored"] == []
    assert snapshot(runner) == before


def test_a_pass_for_the_cost_of_probes_times_the_scope_also_where_none_of_its_steps_is_drawn_to_be_probed() -> None:
    runner = Runner()
    under_test = instrument(runner)
    under_test.begin("probing", [1], [False])
    runner.serve(LENGTHS)
    columns = under_test.end()["columns"]
    assert columns["probed"] == [0] * STEPS
    assert columns["scope.calls"] == [1] * STEPS
    assert min(columns["scope.total_ns"]) > 0
    assert columns["torch.tensor.calls"] == [0] * STEPS


@pytest.mark.parametrize("reference", ["", SEAM.places["v1"].arms["numpy"]])
def test_a_planted_delay_is_at_least_as_long_as_asked_for(reference) -> None:
    clock = VirtualClock(reading_ns=1)
    runner = Runner()
    arms = [("zero", reference, 0), ("five", reference, 5000)]
    under_test = instrument(runner, arms=arms, clock=clock)
    under_test.begin("probed", [0, 1, 0, 1])
    runner.serve(LENGTHS)
    zero, five, *_ = under_test.end()["columns"]["compute_slot_mapping.total_ns"]
    assert five - zero in range(4998, 5003)


def test_equal_arms_pass_the_check_and_the_seam_is_seen_in_each_step() -> None:
    runner = Runner()
    under_test = instrument(runner)
    plain = Runner().serve(LENGTHS)
    tokens = []
    results = checked(
        under_test, lambda: tokens.append(runner.serve(LENGTHS)), *([arm] for arm in range(len(ARMS))), [3, 0, 5, 1]
    )
    assert tokens == [plain] * len(tokens)
    for result in results:
        assert result["mismatches"] == []
        assert result["watched"]["calls"] == {"tests.fakes.BlockTable.compute_slot_mapping": [1] * STEPS}
        assert (result["failure"], result["changed"]) == (None, [])
    assert under_test.checked["not_repeated"] == under_test.checked["ignored"] == []
    assert under_test.checked["leaves"] > 10 * STEPS


def test_before_native_has_served_its_passes_no_arm_can_be_compared() -> None:
    runner = Runner()
    under_test = instrument(runner)
    under_test.begin("check", [1])
    runner.serve(LENGTHS)
    with pytest.raises(RuntimeError, match=f"native has not served {NATIVE_PASSES} checking passes yet"):
        under_test.end()
    assert not under_test.under_way


class Mutates:
    """Right slots, but it shifts the engine's own positions in passing."""

    takes = "arrays"

    def slots(self, block_tables, first_positions, counts, block_size):
        slots = Numpy().slots(block_tables, first_positions, counts, block_size)
        first_positions += 1
        return slots


class MutatesLists:
    takes = "lists"

    def slots(self, block_tables, first_positions, counts, block_size):
        slots = List().slots(block_tables, first_positions, counts, block_size)
        block_tables[0].append(7)
        return slots


@pytest.mark.parametrize(("cls", "name"), [(Mutates, "first_positions"), (MutatesLists, "block_tables")])
def test_an_arm_that_changes_its_inputs_is_named_and_no_other(cls, name) -> None:
    runner = Runner()
    plain = Runner().serve(LENGTHS)
    under_test = instrument(runner, arms=[ARMS[0], ("guilty", own(cls), None), *ARMS[1:]])
    tokens = []
    results = checked(under_test, lambda: tokens.append(runner.serve(LENGTHS)), [1], *([arm] for arm in range(2, 7)))
    assert tokens == [plain] * len(tokens)
    (mismatch,) = results[0]["mismatches"]
    assert (mismatch["arm"], mismatch["step"], mismatch["raised"], mismatch["field"]) == ("guilty", 0, True, "")
    assert f"changed its input {name}" in mismatch["reason"]
    assert [result["mismatches"] for result in results[1:]] == [[]] * 5


BUFFER = "calls.tests.fakes.BlockTable.compute_slot_mapping[0].self.slot_mapping.cpu"


class NotAllOfThem:
    """Leaves the last slot unwritten where all prompts are prefilled: native's from the pass before would be right."""

    takes = "arrays"

    def slots(self, *args):
        slots = Numpy().slots(*args)
        return slots[:-1] if len(slots) > 3 else slots


class TooMany:
    """The right slots, and one more: native on a CPU leaves the rest of the buffer alone, so must an arm."""

    takes = "arrays"

    def slots(self, *args):
        return torch.cat([Numpy().slots(*args), torch.tensor([-1])])


@pytest.mark.parametrize(
    ("cls", "index", "expected", "found"),
    [
        (OffByOne, 15, lambda slots: slots[15], lambda slots: slots[15] + 1),
        (TooShort, 15, lambda slots: slots[15], lambda slots: POISON),
        (NotAllOfThem, 15, lambda slots: slots[15], lambda slots: POISON),
        (TooMany, 16, lambda slots: POISON, lambda slots: -1),
    ],
)
def test_a_wrong_arm_is_caught_with_step_field_index_and_both_values(cls, index, expected, found) -> None:
    runner, slots = Runner(), []
    runner.forward = lambda: slots.append(runner.table.slot_mapping.cpu[:16].tolist())
    under_test = instrument(runner, arms=[ARMS[0], ("wrong", own(cls), None), ARMS[-1]])
    wrong, right = checked(under_test, lambda: runner.serve(LENGTHS), [1], [2])
    (mismatch,) = wrong["mismatches"]
    assert (mismatch["arm"], mismatch["step"], mismatch["raised"]) == ("wrong", 0, False)
    assert mismatch["field"] == BUFFER
    told = f"`{BUFFER}[{index}]`: expected {expected(slots[0])}, found {found(slots[0])} (1 of 512 differ)"
    assert mismatch["reason"] == told
    assert right["mismatches"] == []


def test_an_arm_of_another_type_is_caught_by_its_contract() -> None:
    runner = Runner()
    under_test = instrument(runner, arms=[ARMS[0], ("wrong", own(WrongType), None)])
    (result,) = checked(under_test, lambda: runner.serve(LENGTHS), [1])
    (mismatch,) = result["mismatches"]
    assert (mismatch["arm"], mismatch["step"], mismatch["raised"], mismatch["field"]) == ("wrong", 0, True, "")
    assert re.search("slots must be int64 .* not int32", mismatch["reason"])


def test_where_a_struck_arm_has_run_native_and_the_others_are_equal_afterwards() -> None:
    runner = Runner()
    under_test = instrument(runner, arms=[ARMS[0], ("wrong", own(OffByOne), None), ("bad", own(RaisesLater), None)])
    results = checked(under_test, lambda: runner.serve(LENGTHS), [1], [0], [2], [0])
    assert [[found["arm"] for found in result["mismatches"]] for result in results] == [["wrong"], [], ["bad"], []]


def test_a_wrong_step_of_a_mixed_pass_is_put_on_the_arm_that_ran_it() -> None:
    runner = Runner()
    under_test = instrument(runner, arms=[ARMS[0], ("wrong", own(OffByOne), None), ARMS[-1]])
    (result,) = checked(under_test, lambda: runner.serve(LENGTHS), [2, 0, 1, 2])
    (mismatch,) = result["mismatches"]
    assert (mismatch["arm"], mismatch["step"]) == ("wrong", 2)


def test_an_arm_that_raises_does_not_take_the_engine_down() -> None:
    runner = Runner()
    plain = Runner().serve(LENGTHS)
    under_test = instrument(runner, arms=[ARMS[0], ("bad", own(RaisesLater), None)])
    under_test.begin("probed", [1])
    assert runner.serve(LENGTHS) == plain  # native took over
    failure = under_test.end()["failure"]
    assert (failure["arm"], failure["step"]) == ("bad", 2)
    assert re.fullmatch(r"ZeroDivisionError: on purpose \(test_instrument\.py:\d+\)", failure["error"])
    under_test.begin("probed", [0])
    runner.serve(LENGTHS)
    assert under_test.end()["failure"] is None


def test_steps_without_tokens_are_no_steps() -> None:
    runner = Runner()
    runner.execute_model = lambda output: "nothing to do"
    under_test = instrument(runner)
    under_test.begin("probed", [0])
    empty = SimpleNamespace(total_num_scheduled_tokens=0, num_scheduled_tokens={})
    assert runner.execute_model(empty) == "nothing to do"
    assert under_test.end()["columns"]["step"] == []


def test_two_passes_at_once_are_refused() -> None:
    under_test = instrument(Runner())
    under_test.begin("bare", [0])
    with pytest.raises(RuntimeError, match="under way"):
        under_test.begin("bare", [0])


def test_an_unknown_scope_is_refused_with_the_likely_ones() -> None:
    with pytest.raises(ConfigError, match=r"no such method; it has \['_prepare_inputs'\]"):
        instrument(Runner(), scope="_prepare_outputs")


@pytest.mark.parametrize(
    "probes",
    [
        ["torch.tensor", "torch:tensor"],
        ["compute_slot_mapping", "tests.fakes.BlockTable.compute_slot_mapping"],
        ["tests.fakes.BlockTable.compute_slot_mapping", "compute_slot_mapping"],
        ["json.dumps", "tests.instrument.test_instrument.dumps"],  # a re-export
        ["tests.fakes.BlockTable._write", "tests.fakes.OldBlockTable._write"],  # a method that is inherited
    ],
)
def test_one_function_under_two_names_is_refused(probes) -> None:
    with pytest.raises(ConfigError, match="are the same function; name it once"):
        instrument(Runner(), probes=probes)


def test_calls_of_other_threads_are_told() -> None:
    def from_another_thread() -> None:
        thread = threading.Thread(target=lambda: torch.cat([torch.zeros(1)]))
        thread.start()
        thread.join()

    under_test = instrument(runner := Runner(work=from_another_thread))
    under_test.begin("probed", [0])
    runner.serve(LENGTHS)
    result = under_test.end()
    assert result["other_threads"] == len(result["columns"]["step"])
    assert set(result["columns"]["torch.cat.calls"]) == {0}


def test_every_pass_begins_with_a_collection_and_the_heap_is_frozen_before(monkeypatch) -> None:
    """Else what one pass leaves behind is collected in the next, in whichever arm's step that falls."""
    done = []
    monkeypatch.setattr("harness.instrument.instrument.freeze_heap", lambda: done.append("freeze"))
    under_test = instrument(Runner())
    assert done == ["freeze"]
    monkeypatch.setattr(gc, "collect", lambda: done.append("collect"))
    for _ in range(2):
        under_test.begin("bare", [0])
        under_test.end()
    assert done == ["freeze", "collect", "collect"]


def rows_of(turn, bookkeeping: list[int]) -> StepRows:
    """Of steps of one request, over a ledger that has spent these nanoseconds each time that it is asked."""
    ledger = SimpleNamespace(mark=lambda: (3, 0), extend=lambda: 4, take_bookkeeping=lambda: bookkeeping.pop(0))
    return StepRows(SimpleNamespace(batch=lambda work: (1, 2, 0), turn=turn), ledger)


def test_the_instruments_own_time_is_taken_out_of_a_step() -> None:
    """By hand: 5000 ns as timed, of which 1200 went into binding the probes."""
    rows = rows_of(None, [0, 1200, 1200])
    rows.executed(0, True, None, 10_000, 15_000, 4000)
    rows.sampled(700, 600)
    rows.begin()
    rows.executed(0, True, None, 18_000, 21_000, 2500)
    columns = rows.columns()
    assert columns["execute_ns"] == [3800, 1800]
    assert columns["bookkeeping_ns"] == [1200, 1200]
    assert columns["sample_ns"] == [700, 0]
    assert columns["cpu_ns"] == [4600, 2500]
    assert columns["begin_ns"] == [0, 8000]
    assert TURN_NS not in columns


def test_a_turn_is_a_step_without_the_instruments_own_time_and_one_without_a_step_belongs_to_the_last() -> None:
    """By hand: of 9000 ns, 300 before the execution, 1200 in it, 40 behind it, 60 at the end were the instrument's.

    And 5000 before the first turn, while requests arrived.
    """
    rows = rows_of(("core", "step_fn"), [0, 5000, 300, 1200, 60, 7, 0, 0, 0])
    rows.begin(100_000)
    rows.before_execute()
    rows.executed(0, True, None, 101_000, 106_000, 4000)
    rows.beside(40)
    rows.sampled(700, 600)
    rows.turned(9000, 8000, executed=True)
    rows.begin(110_000)
    rows.turned(500, 400, executed=False)
    rows.begin(111_000)
    rows.before_execute()
    rows.executed(1, True, None, 111_200, 112_200, 900)
    rows.turned(2000, 1900, executed=True)
    columns = rows.columns()
    assert columns[TURN_NS] == [9000 - 300 - 1200 - 40 - 60 + 500 - 7, 2000]
    assert columns["execute_ns"] == [3800, 1000]
    assert columns["bookkeeping_ns"] == [1200 + 60 + 7, 0]
    assert columns["cpu_ns"] == [8400, 1900]
    assert columns["begin_ns"] == [0, 11_000]


def test_calibrating_reads_the_instruments_own_clock() -> None:
    found = Instrument(
        Runner(), Instrumentation("slot_mapping", ARMS, [], "_prepare_inputs"), VirtualClock(40)
    ).calibrate()
    assert found.inside_ns == pytest.approx(40, abs=0.2)


def test_any_process_may_trace_the_engines(monkeypatch) -> None:
    """By prctl(2): PR_SET_PTRACER, any, and three arguments that are not used."""
    called = []
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(prctl=lambda *args: called.append((name, *args))))
    admit_tracers()
    ((library, option, admitted, *unused),) = called
    assert (library, option, unused) == (None, 0x59616D61, [0, 0, 0])  # None: of this process itself
    assert isinstance(admitted, ctypes.c_ulong)
    assert admitted.value == 2**64 - 1


@pytest.mark.parametrize("kind", ["probed", "bare", "mixed", "check", "trace"])
def test_what_counts_and_what_reads_a_devices_clock_stands_around_nothing_that_is_timed(monkeypatch, kind) -> None:
    def refuse(*args, **kwargs):
        raise AssertionError("a wrapper on the timed path")

    for place in ("device.DeviceClock.ending", "device.DeviceClock.scoped", "counting.Counter.counted"):
        monkeypatch.setattr(f"harness.instrument.{place}", refuse)
    runner = Runner()
    under_test = instrument(runner)
    under_test.begin(kind, [0], [True, False] if kind == "mixed" else ())
    runner.serve(LENGTHS)
    assert len(under_test.end()["columns"]["step"]) == STEPS


def test_a_probe_of_the_scopes_own_function_is_called_as_often_as_the_scope() -> None:
    runner = Runner()
    under_test = instrument(runner, probes=["tests.fakes.Runner._prepare_inputs", "compute_slot_mapping"])
    under_test.begin("probed", [0])
    runner.serve(LENGTHS)
    columns = under_test.end()["columns"]
    assert columns["scope.calls"] == columns["tests.fakes.Runner._prepare_inputs.calls"] == [1] * STEPS
    assert columns["compute_slot_mapping.calls"] == [1] * STEPS
    assert all(
        own <= whole
        for own, whole in zip(
            columns["tests.fakes.Runner._prepare_inputs.total_ns"], columns["scope.total_ns"], strict=True
        )
    )


@pytest.mark.parametrize(("frozen", "expected"), [(0, ["collect", "freeze"]), (7, [])])
def test_the_heap_is_frozen_once_a_process_and_not_where_vllm_has_done_so(monkeypatch, frozen, expected) -> None:
    done: list[str] = []
    monkeypatch.setattr(gc, "get_freeze_count", lambda: frozen)
    monkeypatch.setattr(gc, "collect", lambda: done.append("collect"))
    monkeypatch.setattr(gc, "freeze", lambda: done.append("freeze"))
    freeze_heap.cache_clear()
    try:
        freeze_heap()
        freeze_heap()
        assert done == expected
    finally:
        freeze_heap.cache_clear()


def test_garbage_is_collected_after_an_import_as_before() -> None:
    for collects in (True, False):
        (gc.enable if collects else gc.disable)()
        try:
            with contextlib.suppress(ZeroDivisionError), uncollected():
                assert not gc.isenabled()
                raise ZeroDivisionError
            assert gc.isenabled() == collects
        finally:
            gc.enable()
