"""The seam on V2 runners: what arms are handed, what they write, and that they never read what is on the device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SeamError
from harness.instrument.arms import load_arm
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import Instrumentation
from harness.seams import SEAMS
from harness.seams.slot_contract import POISON
from harness.seams.slot_mapping_v2 import check_signature, sites
from tests.fakes import checked
from tests.fakes_v2 import MAX_BLOCKS, PAD, BlockTables, V2Runner

PLACE = SEAMS["slot_mapping"].places["v2"]
ARMS = [("native", "", None), *((name, reference, None) for name, reference in PLACE.arms.items())]


def instrument(runner: V2Runner, arms=ARMS, probes=("compute_slot_mapping", "torch.frombuffer")) -> Instrument:
    return Instrument(runner, Instrumentation("slot_mapping", arms, probes, PLACE.scope))


def serve(runner: V2Runner) -> None:
    """Chunked prefill, a decode beside it, a new block, and a row that another request takes over."""
    groups = len(runner.block_tables.block_sizes)

    def blocks(*ids: int) -> tuple[list[int], ...]:
        return tuple([block + 100 * group for block in ids] for group in range(groups))

    runner.step({"a": 5, "b": 1}, new={"a": (9, blocks(7, 3, 9)), "b": (1, blocks(5))})
    runner.step({"a": 4, "b": 1})
    runner.step({"a": 1, "b": 1})
    runner.finish("a")
    runner.step({"b": 1, "c": 2}, new={"c": (2, blocks(8, 2))})
    runner.step({"b": 1, "c": 1}, more_blocks={"b": blocks(6)})
    for req_id in list(runner.req_states.req_id_to_index):
        runner.finish(req_id)


@pytest.mark.parametrize(
    ("sizes", "enabled"),
    [([4], None), ([4, 8], None), ([4, 2], [True, False])],
    ids=["one", "two", "one without slots"],
)
def test_every_arm_writes_what_the_kernel_writes_padding_included(sizes, enabled) -> None:
    runner = V2Runner(BlockTables(sizes, enabled))
    under_test = instrument(runner)
    mixed = [arm % len(ARMS) for arm in (4, 1, 0, 3, 2)]
    for result in checked(under_test, lambda: serve(runner), *([arm] for arm in range(len(ARMS))), mixed):
        assert result["mismatches"] == []
        assert result["watched"]["calls"] == {"tests.fakes_v2.BlockTables.compute_slot_mappings": [1] * 5}
    assert int(runner.mapped[0, 0]) not in (PAD, POISON), "an arm's own slots are what the model uses"


def test_what_an_arm_leaves_unwritten_is_found(tmp_path) -> None:
    (tmp_path / "mine.py").write_text(
        "from patches.slot_mapping import List\n\n\nclass Short(List):\n"
        "    def slots(self, *batch):\n        return super().slots(*batch)[:-1]\n"
    )
    runner = V2Runner()
    under_test = instrument(runner, [("native", "", None), ("short", f"{tmp_path}/mine.py:Short", None)])
    (result,) = checked(under_test, lambda: serve(runner), [1])
    (found,) = result["mismatches"]
    assert (found["arm"], found["step"], found["raised"]) == ("short", 0, False)
    assert found["field"] == "batch.attention[1]"
    assert found["reason"] == f"`batch.attention[1][0,5]`: expected 20, found {PAD} (1 of 6 differ)"


def test_a_step_is_two_scopes_one_seam_call_and_its_own_batch() -> None:
    runner = V2Runner()
    under_test = instrument(runner)
    before = dict(vars(runner)), dict(vars(runner.block_tables))
    under_test.begin("probed", [[name for name, *_ in ARMS].index("cat_frombuffers")])
    serve(runner)
    columns = under_test.end()["columns"]
    assert columns["scope.calls"] == [2] * 5
    assert columns["compute_slot_mapping.calls"] == [1] * 5
    assert columns["torch.frombuffer.calls"] == columns["num_reqs"] == [2] * 5
    assert columns["num_tokens"] == [6, 5, 2, 3, 2]
    assert columns["num_prefills"] == [2, 1, 0, 1, 0]
    for owner, was in ((runner, before[0]), (runner.block_tables, before[1])):
        assert set(vars(owner)) == set(was), "what was bound for the pass is gone"
    assert runner.block_tables.calls == 0, "no step of this pass was native's"


@settings(deadline=None, max_examples=60)
@given(
    block_size=st.integers(1, 8),
    arm=st.sampled_from(sorted(PLACE.arms)),
    data=st.data(),
)
def test_any_batch_is_mapped_as_the_kernel_maps_it(block_size, arm, data) -> None:
    tables = BlockTables([block_size])
    runner = V2Runner(tables)
    under_test = instrument(runner, [("native", "", None), (arm, PLACE.arms[arm], None)])
    capacity = block_size * MAX_BLOCKS
    prompts = data.draw(st.lists(st.integers(1, min(capacity - 1, 30)), min_size=1, max_size=4))
    ids = iter(range(1, 1000))
    new = {
        f"r{i}": (prompt, ([next(ids) for _ in range(prompt // block_size + 1)],)) for i, prompt in enumerate(prompts)
    }
    first = {f"r{i}": data.draw(st.integers(1, prompt), label="chunk") for i, prompt in enumerate(prompts)}
    rest = {req_id: prompts[i] - done for i, (req_id, done) in enumerate(first.items())}

    def serve_them() -> None:
        runner.step(first, new=new)
        runner.step({req_id: left or 1 for req_id, left in rest.items()})
        for req_id in new:
            runner.finish(req_id)

    (result,) = checked(under_test, serve_them, [1])
    assert result["mismatches"] == []


def test_no_arm_reads_what_is_on_the_device(monkeypatch) -> None:
    """On `meta` every attempt to read a value raises, as none may wait for a GPU; native is not asked to help out."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # there is no device to pin for
    for index in range(1, len(ARMS)):
        runner = V2Runner(BlockTables([4, 2], [True, False], device="meta"))
        under_test = instrument(runner)
        under_test.begin("bare", [index])
        serve(runner)
        assert under_test.end()["failure"] is None
        assert runner.block_tables.calls == 0


def test_slots_for_a_device_are_staged_in_pinned_memory_and_copied_without_waiting(monkeypatch) -> None:
    pinned, copies = [], []
    copy = torch.Tensor.copy_
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    monkeypatch.setattr(
        torch.Tensor, "copy_", lambda self, *args, **kwargs: copies.append(kwargs) or copy(self, *args, **kwargs)
    )
    runner = V2Runner(BlockTables([4], device="meta"))
    under_test = instrument(runner)
    under_test.begin("bare", [1])
    serve(runner)
    under_test.end()
    assert len(pinned) == len(copies) == 5
    assert all(kwargs == {"non_blocking": True} for kwargs in copies)


def test_a_call_for_another_buffer_is_natives() -> None:
    runner = V2Runner()
    site = sites(runner)[0]
    call = site.implement(load_arm("list", PLACE.arms["list"]), pytest.fail)
    out = torch.zeros(1, 16, dtype=torch.int64)
    runner.step({"a": 3}, new={"a": (3, ([6],))})
    batch = runner.prepare_inputs(type("Work", (), {"num_scheduled_tokens": {"a": 1}}))
    assert call(batch.idx_mapping, batch.query_start_loc, batch.positions, 1, out).tolist() == [[6 * 4 + 3]]
    assert runner.block_tables.calls == 2


@pytest.mark.parametrize("slots", [None, [1, 2]])
def test_an_arm_that_gives_no_tensor_is_told_so_and_leaves_the_step_to_native(slots) -> None:
    runner, errors = V2Runner(), []
    (site,) = sites(runner)
    arm = SimpleNamespace(takes="arrays", slots=lambda *args: slots)
    runner.block_tables.compute_slot_mappings = site.implement(arm, errors.append)
    runner.prepare_attn = site._watch_batch(runner.prepare_attn)
    serve(runner)
    assert {str(error) for error in errors} == {
        f"slots must be int64 [tokens] on cpu, not builtins.{type(slots).__name__}"
    }
    assert runner.block_tables.calls == len(errors) == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda runner: setattr(runner, "num_speculative_steps", 2), "speculative"),
        (lambda runner: setattr(runner, "pcp_manager", object()), "context parallelism"),
        (lambda runner: setattr(runner.block_tables, "cp_size", 2), "context parallelism"),
        (lambda runner: setattr(runner, "block_tables", BlockTables([])), "no KV-cache group"),
        (lambda runner: setattr(runner, "block_tables", object()), "no V2 runner"),
    ],
)
def test_what_no_host_arm_can_know_is_refused(change, said) -> None:
    runner = V2Runner()
    change(runner)
    with pytest.raises(SeamError, match=said):
        sites(runner)


def test_an_unknown_signature_is_refused_and_nothing_patched() -> None:
    with pytest.raises(SeamError, match=r"compute_slot_mappings\(batch\).*slot_mapping_v2"):
        check_signature(lambda batch: batch)
