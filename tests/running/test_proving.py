"""Showing that drop-ins do what native does, in an engine that they run inside of: what is struck, and what goes on."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from harness.changes.code import frozen
from harness.config.file import load
from harness.errors import HostError
from harness.instrument.checking import NATIVE_PASSES
from harness.records.folder import RunFolder, read_run
from harness.running.run import Run
from tests.fakes import FakeHost, Runner, Silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.running.run import Outcome

CONFIG = """\
engine: {{model: none}}
workload: {{requests: 4, prompt_tokens: 6, output_tokens: 8}}
swap: {swap}
arms: [{arms}]
scope: _prepare_inputs
protocol: {{groups: 3, bare: false, counters: false}}
"""
PUT = "tests.running.test_proving.Engine.put_row"
CALL = r"calls\.tests\.running\.test_proving\.Engine\.put_row\[0\]"
ROWS = rf"{CALL}\.self\.input_batch\.rows"


class Engine(Runner):
    """It keeps the blocks of each request in a row, which is written where the request comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.input_batch.rows = np.zeros((16, 16), dtype=np.int64)
        self.input_batch.served = np.zeros(1, dtype=np.int64)
        self.dead = False

    def put_row(self, row: int, blocks: list[int]) -> None:
        self.input_batch.rows[row, : len(blocks)] = blocks

    def total(self, counts: Any) -> int:
        return int(sum(counts))

    def _prepare_inputs(self, scheduler_output: Any) -> None:
        if self.dead:
            raise RuntimeError("the engine is dead")
        for row, req_id in enumerate(scheduler_output.num_scheduled_tokens):
            if self.requests[req_id].computed == 0:
                self.put_row(row, self.requests[req_id].block_ids[0])
        self.input_batch.served[0] = self.total(scheduler_output.num_scheduled_tokens.values())
        super()._prepare_inputs(scheduler_output)


# What stands in for `put_row(self, row, blocks)`, which works in place.


def does_nothing(self, row, blocks):
    pass


def forgets_the_last_block(self, row, blocks):
    self.input_batch.rows[row, : len(blocks) - 1] = blocks[:-1]


def writes_one_more(self, row, blocks):
    self.input_batch.rows[row, : len(blocks) + 1] = [*blocks, 5]


def changes_what_it_is_given(self, row, blocks):
    self.input_batch.rows[row, : len(blocks)] = blocks
    blocks.append(5)


def gives_something_back(self, row, blocks):
    self.input_batch.rows[row, : len(blocks)] = blocks
    return len(blocks)


def does_the_same(self, row, blocks):
    for place, block in enumerate(blocks):
        self.input_batch.rows[row, place] = block


# What stands in for `total(self, counts)`.


def raises(self, counts):
    if self.input_batch.served[0] != 0:
        raise ZeroDivisionError("on purpose")
    return sum(counts)


def raises_and_leaves(self, counts):
    self.input_batch.rows[:4, :4] = 77
    raise ZeroDivisionError("on purpose")


def kills(self, counts):
    self.dead = True
    raise MemoryError("no more")


def spoils_for_good(self, counts):
    """What it leaves nothing of the engine's own ever puts right."""
    self.input_batch.kept = 1
    return sum(counts)


def totals(self, counts):
    return sum(list(counts))


def hangs(self, counts):
    while True:
        pass


def calls_what_it_replaces(self, counts):
    return Engine.total(self, counts)


def exits(self, counts):
    raise SystemExit(0)


def interrupts(self, counts):
    raise KeyboardInterrupt


def changes_what_all_share(self, counts):
    torch.set_default_dtype(torch.float64)
    return sum(counts)


@pytest.fixture
def prove(tmp_path) -> Callable[..., tuple[Run, Outcome]]:
    """Makes a run of functions of this file."""

    def run(
        *arms: Any, swap: str, host: FakeHost | None = None, overrides: tuple[str, ...] = ()
    ) -> tuple[Run, Outcome]:
        named = ", ".join(f'{{{arm.__name__}: "{__name__}:{arm.__name__}"}}' for arm in arms)
        (tmp_path / "config.yaml").write_text(CONFIG.format(swap=swap, arms=named))
        loaded = load(tmp_path / "config.yaml", overrides)
        made = Run(loaded, host or FakeHost(runner=Engine()), RunFolder(tmp_path / "run"), Silent())
        return made, made.execute()

    return run


def struck(run: Run) -> list[str]:
    return [note for note in run.observer.notes if " is struck: " in note]


def measured(run: Run) -> set[str]:
    return set(read_run(run.folder.path).frame["arm"])


def the_old_way(native: Callable[..., Any], arm: Callable[..., Any], state: Callable[[], Any], *args: Any) -> bool:
    """How a scope without a buffer of its own was checked: native first, then the arm, both on the same objects."""
    expected = native(*args), np.copy(state())
    found = arm(*args), np.copy(state())
    return expected[0] == found[0] and np.array_equal(expected[1], found[1])


def test_a_function_in_place_that_does_nothing_looked_equal_the_old_way_and_is_struck(prove) -> None:
    engine = Engine()
    assert the_old_way(frozen(Engine.put_row), does_nothing, lambda: engine.input_batch.rows, engine, 2, [7, 8])
    assert not the_old_way(frozen(Engine.put_row), writes_one_more, lambda: engine.input_batch.rows, engine, 2, [7, 8])

    run, outcome = prove(does_nothing, does_the_same, swap=PUT)
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    (note,) = struck(run)
    assert re.fullmatch(
        rf"does_nothing is struck: differs at step 0: `{ROWS}\[0,0\]`: expected \d+, found \d+ \(\d+ of 256 differ\)",
        note,
    )
    assert measured(run) == {"native", "does_the_same", "A/A"}


@pytest.mark.parametrize(
    ("arm", "field", "said"),
    [
        (forgets_the_last_block, rf"{ROWS}\[0,3\]", r"expected \d+, found \d+ \(\d of 256 differ\)"),
        (writes_one_more, rf"{ROWS}\[0,4\]", r"expected \d+, found 5 \(\d of 256 differ\)"),
        (
            changes_what_it_is_given,
            rf"{CALL}\.args\[1\]",
            "expected 4 elements, found 5 elements",
        ),
        (
            gives_something_back,
            rf"{CALL}\.result",
            "expected NoneType None, found int 4",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_function_in_place_does_wrong_is_told_by_field_and_index(prove, arm, field, said) -> None:
    run, outcome = prove(arm, does_the_same, swap=PUT)
    assert outcome.exit_status == 1
    (note,) = struck(run)
    assert re.fullmatch(rf"{arm.__name__} is struck: differs at step 0: `{field}`: {said}", note)
    assert measured(run) == {"native", "does_the_same", "A/A"}


class Noting(FakeHost):
    """Keeps what was served, and what native's checking passes gave."""

    def __init__(self) -> None:
        super().__init__(runner=Engine())
        self.served: list[tuple[str, list[int], list[Any]]] = []
        self.native: list[Any] = []
        self.recovered = 0

    def run_pass(self, kind: Any, schedule: Any, requests: Any, probed: Any = ()) -> Any:
        self.served.append((kind, list(schedule), [(each.prompt_token_ids, each.output_tokens) for each in requests]))
        result = super().run_pass(kind, schedule, requests, probed)
        if kind == "check" and set(schedule) == {0}:
            self.native.append(result)
        return result

    def recover(self) -> bool:
        self.recovered += 1
        return super().recover()


def test_an_arm_that_raises_out_of_the_engine_is_struck_and_native_is_as_before(prove) -> None:
    host = Noting()
    run, outcome = prove(totals, raises, raises_and_leaves, swap=f"{__name__}.Engine.total", host=host)
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    assert host.recovered == 2
    assert struck(run) == [
        f"{arm.__name__} is struck: fails: raised ZeroDivisionError: on purpose (test_proving.py:{line_of(arm, 2)})"
        for arm in (raises, raises_and_leaves)
    ]
    # Native's tokens and its whole fingerprint: before any arm, after the first that raised, and after the second.
    assert len(host.native) >= NATIVE_PASSES + 2
    assert all(result.tokens == host.native[0].tokens for result in host.native)
    assert [result.mismatches for result in host.native[:NATIVE_PASSES]] == [[]] * NATIVE_PASSES
    assert host.native[-1].mismatches == []
    assert not [note for note in run.observer.notes if "anew" in note]
    assert measured(run) == {"native", "totals", "A/A"}
    assert not host.instrument.under_way


def test_a_changed_module_that_is_imported_only_while_the_engine_serves(prove, monkeypatch) -> None:
    monkeypatch.setattr("harness.instrument.placing.Placer.imported", ["vllm.late"])
    _, outcome = prove(totals, swap=f"{__name__}.Engine.total")
    assert (outcome.status, outcome.exit_status) == ("failed", 2)
    assert outcome.refused == "vllm.late: imported only while the engine serves, as it is installed"


class Starting(FakeHost):
    """A host that counts its starts; each has an engine of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(runner=Engine(), **options)
        self.starts: list[int] = []

    def start(self) -> Any:
        self.starts.append(len(self.passes))
        self.runner = Engine()
        return super().start()

    def stop(self) -> None:
        self.partial()
        super().stop()


def test_an_engine_that_does_not_survive_an_arm_is_started_anew(prove) -> None:
    host = Starting()
    run, outcome = prove(kills, totals, swap=f"{__name__}.Engine.total", host=host)
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    assert struck(run) == [f"kills is struck: fails: raised MemoryError: no more (test_proving.py:{line_of(kills, 2)})"]
    assert [note for note in run.observer.notes if "anew" in note] == [
        "the engine does not serve as before after arm 'kills', and is started anew: RuntimeError: the engine is dead"
    ]
    assert len(host.starts) == 2
    # In the new one native serves its passes before any other arm is compared with it.
    assert host.passes[host.starts[1] :][: NATIVE_PASSES + 3] == ["check"] * (NATIVE_PASSES + 3)
    assert measured(run) == {"native", "totals", "A/A"}


def line_of(function: Any, lines: int) -> int:
    return int(function.__code__.co_firstlineno) + lines


@pytest.mark.parametrize("how", ["says so", "raises"])
def test_an_engine_that_cannot_be_put_right_is_started_anew(prove, how) -> None:
    host = Starting()

    def recover() -> bool:
        if how == "raises":
            raise HostError("the engine is gone")
        return False

    host.recover = recover
    run, outcome = prove(raises_and_leaves, totals, swap=f"{__name__}.Engine.total", host=host)
    assert outcome.exit_status == 1
    (note,) = [note for note in run.observer.notes if "anew" in note]
    assert note.endswith("it cannot serve on" if how == "says so" else "HostError: the engine is gone")
    assert len(host.starts) == 2
    assert measured(run) == {"native", "totals", "A/A"}


def test_where_an_arm_has_spoilt_the_engine_for_good_it_is_started_anew(prove) -> None:
    host = Starting()
    run, outcome = prove(spoils_for_good, totals, swap=f"{__name__}.Engine.total", host=host)
    assert outcome.exit_status == 1
    (note,) = struck(run)
    field = "calls.tests.running.test_proving.Engine.total[0].self.input_batch.kept"
    assert note == f"spoils_for_good is struck: differs at step 0: `{field}`: expected nothing, found int"
    (note,) = [note for note in run.observer.notes if "anew" in note]
    assert f"after arm 'spoils_for_good', and is started anew: `{field}`" in note
    assert len(host.starts) == 2
    assert measured(run) == {"native", "totals", "A/A"}


def test_an_engine_that_does_not_come_back_ends_the_run(prove) -> None:
    class Gone(Starting):
        def start(self) -> Any:
            if self.starts:
                raise HostError("the engine did not start: no")
            return super().start()

    run, outcome = prove(kills, totals, swap=f"{__name__}.Engine.total", host=Gone())
    assert (outcome.status, outcome.message) == ("failed", "the engine did not start: no")
    assert "passes_planned" not in run.facts


# State between steps, which only a mixed pass can show.


class Counting(Engine):
    """It counts steps in memory of its own, deeper than `self` is compared, and puts the count where it is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.input_batch.ticks = np.zeros(1, dtype=np.int64)
        self.away = SimpleNamespace(memory=SimpleNamespace(first=0, second=0))

    def tick(self, begins: bool) -> None:
        kept = self.away.memory
        kept.first = kept.second = self.input_batch.ticks[0] = 1 if begins else kept.first + 1

    def never(self, begins: bool) -> None:
        raise AssertionError

    def _prepare_inputs(self, scheduler_output: Any) -> None:
        self.tick(all(request.computed == 0 for request in self.requests.values()))
        super()._prepare_inputs(scheduler_output)


TICK = f"{__name__}.Counting.tick"
_counted = [0]


def ticks_too(self, begins):
    kept, ticks = self.away.memory, self.input_batch.ticks
    kept.first = kept.second = ticks[0] = 1 if begins else ticks[0] + 1


def counts_by_itself(self, begins):
    """Misses the steps that others take."""
    kept, mine = self.away.memory, _counted
    kept.first = kept.second = self.input_batch.ticks[0] = mine[0] = 1 if begins else mine[0] + 1


def keeps_nothing(self, begins):
    """Right wherever it runs, but native finds its own memory as native left it."""
    self.input_batch.ticks[0] = 1 if begins else self.input_batch.ticks[0] + 1


def leaves_one(self, begins):
    """Right wherever it runs, and so is native, which reads `first` alone."""
    self.away.memory.first = self.input_batch.ticks[0] = 1 if begins else self.input_batch.ticks[0] + 1


def reads_the_other(self, begins):
    kept = self.away.memory
    kept.first = kept.second = self.input_batch.ticks[0] = 1 if begins else kept.second + 1


def raises_where_it_missed_a_step(self, begins):
    kept, mine = self.away.memory, _counted
    mine[0] = 1 if begins else mine[0] + 1
    if not begins and mine[0] != self.input_batch.ticks[0] + 1:
        raise ValueError("missed a step")
    kept.first = kept.second = self.input_batch.ticks[0] = mine[0]


SEEN = (
    r"`calls\.tests\.running\.test_proving\.Counting\.tick\[0\]\.self\.input_batch\.ticks\[0\]`: "
    r"expected (\d+), found (\d+)"
)


@pytest.mark.parametrize(
    ("arm", "whose"), [(counts_by_itself, ""), (keeps_nothing, ", which is native's,")], ids=["its own", "native's"]
)
def test_state_that_one_leaves_and_another_cannot_read_is_found_in_a_mixed_pass(prove, arm, whose) -> None:
    """Alone the arm is right at every step. It is blamed also where the step that shows it is native's."""
    host = FakeHost(runner=Counting())
    run, outcome = prove(ticks_too, arm, swap=TICK, host=host)
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    (note,) = struck(run)
    told = re.fullmatch(rf"{arm.__name__} is struck: differs at step (\d){whose}, mixed with native: {SEEN}", note)
    assert told, note
    step, expected, found = map(int, told.groups())
    assert expected == step + 1 != found
    assert measured(run) == {"native", "ticks_too", "A/A"}
    assert "anew" not in "".join(run.observer.notes)


def test_of_two_arms_that_cannot_be_mixed_with_each_other_the_one_that_differs_is_struck(prove) -> None:
    """The longer a pass, the more surely each has run behind each."""
    host = FakeHost(runner=Counting())
    run, outcome = prove(leaves_one, reads_the_other, swap=TICK, host=host, overrides=("workload.output_tokens=40",))
    assert outcome.exit_status == 1
    (note,) = struck(run)
    assert re.fullmatch(rf"reads_the_other is struck: differs at step \d+, mixed with other arms: {SEEN}", note), note
    assert measured(run) == {"native", "leaves_one", "A/A"}


def test_an_arm_that_raises_where_others_have_run_is_struck_and_the_engine_goes_on(prove) -> None:
    arm = raises_where_it_missed_a_step
    run, outcome = prove(ticks_too, arm, swap=TICK, host=FakeHost(runner=Counting()))
    assert outcome.exit_status == 1
    where = f"(test_proving.py:{line_of(arm, 4)})"
    (note,) = struck(run)
    assert note == f"{arm.__name__} is struck: fails, mixed with native: raised ValueError: missed a step {where}"
    assert measured(run) == {"native", "ticks_too", "A/A"}


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        (calls_what_it_replaces, "fails: raised RecursionError: maximum recursion depth exceeded"),
        (exits, "fails: raised SystemExit: 0 (test_proving.py:"),
        (interrupts, "fails: raised KeyboardInterrupt: no message (test_proving.py:"),
        (hangs, "fails: raised ArmTimeout: it had not returned after 1 s (protocol.step_timeout_s) (test_proving.py:"),
        (changes_what_all_share, "fails at step 7: changed torch's default dtype, for all that came after it"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_whatever_an_arm_does_the_others_are_measured(prove, arm, said) -> None:
    run, outcome = prove(arm, totals, swap=f"{__name__}.Engine.total", overrides=("protocol.step_timeout_s=1",))
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    (note,) = struck(run)
    assert note.startswith(f"{arm.__name__} is struck: {said}")
    hint = "; does it call the function that it replaces? Whoever calls that calls the arm itself"
    assert note.endswith(hint) is (arm is calls_what_it_replaces)
    assert measured(run) == {"native", "totals", "A/A"}
    assert torch.get_default_dtype() == torch.float32


def test_what_is_never_called_is_refused_before_anything_is_timed(prove) -> None:
    host = FakeHost(runner=Counting())
    run, outcome = prove(ticks_too, swap=f"{__name__}.Counting.never", host=host)
    assert (outcome.status, outcome.exit_status) == ("failed", 2)
    assert outcome.message == (
        f"0 calls of {__name__}.Counting.never in this workload, so there is nothing to measure; nothing was timed"
    )
    assert set(host.passes) == {"check"}
    assert "passes_planned" not in run.facts


def test_before_each_checking_pass_native_serves_other_requests(prove) -> None:
    host = Noting()
    prove(totals, swap=f"{__name__}.Engine.total", host=host)
    checks = [index for index, (kind, *_) in enumerate(host.served) if kind == "check"]
    (own,) = {str(host.served[index][2]) for index in checks}
    for index in checks:
        kind, schedule, requests = host.served[index - 1]
        assert (kind, schedule) == ("soil", [0])
        assert len(requests) == len(host.served[index][2])
        assert all(one[0] != other[0] for one, other in zip(requests, host.served[index][2], strict=True))
        assert str(requests) != own
    assert len([kind for kind, *_ in host.served if kind == "soil"]) == len(checks)
