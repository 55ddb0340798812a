"""The arms of the seams that vLLM 0.5.4 alone has, and that all that its builders make of them is compared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SeamError
from harness.instrument.arms import load_object
from harness.instrument.instrument import Instrument
from harness.instrument.instrumentation import Instrumentation
from harness.instrument.loops import V0Loop
from harness.seams import SEAMS, decode_seq_lens, slot_mapping_v0, tensor_from_list
from harness.seams.v0_torch import torch_with
from tests.fakes import VirtualClock, checked

LENGTHS = SEAMS["decode_seq_lens"].places["v0"].arms
TENSORS = SEAMS["tensor_from_list"].places["v0"].arms


@pytest.mark.parametrize("name", LENGTHS)
@given(lengths=st.lists(st.integers(1, 10**6)))
def test_every_arms_largest_is_the_largest(name, lengths) -> None:
    arm = load_object(LENGTHS[name])()
    decode_seq_lens.check_arm(arm)
    for _ in range(2):  # each step begins anew
        taken = arm.lengths()
        for length in lengths:
            taken.append(length)
        assert max(taken, default=0) == max(lengths, default=0)


@pytest.mark.parametrize("name", TENSORS)
@given(items=st.lists(st.integers(-(2**31), 2**31 - 1)), dtype=st.sampled_from([torch.int32, torch.int64]))
def test_every_arms_tensor_is_torchs(name, items, dtype) -> None:
    tensor = load_object(TENSORS[name])().tensor(items, dtype)
    assert tensor.dtype == dtype
    assert torch.equal(tensor, torch.tensor(items, dtype=dtype))


@pytest.mark.parametrize(
    ("module", "arm"),
    [(decode_seq_lens, SimpleNamespace(lengths=lambda: 3)), (decode_seq_lens, 3), (tensor_from_list, 3)],
)
def test_what_is_no_arm_is_refused(module, arm) -> None:
    with pytest.raises(SeamError, match=f"an arm at {module.__name__.rpartition('.')[2]}"):
        module.check_arm(arm)


@pytest.mark.parametrize("module", [decode_seq_lens, tensor_from_list, slot_mapping_v0])
def test_another_version_is_refused(module) -> None:
    with pytest.raises(SeamError, match=r"0\.5\.4"):
        module.check_signature(lambda other, arguments: None)
    runner = SimpleNamespace(attn_backend=SimpleNamespace(get_name=lambda: "xformers"), sliding_window=None)
    with pytest.raises(SeamError, match="not xformers"):
        module.sites(runner)


def test_a_sliding_window_is_refused() -> None:
    runner = SimpleNamespace(attn_backend=SimpleNamespace(get_name=lambda: "flash-attn"), sliding_window=64)
    with pytest.raises(SeamError, match="sliding window"):
        slot_mapping_v0.sites(runner)


def test_the_module_in_torchs_place_is_torch_but_for_tensor() -> None:
    said: list[str] = []
    host = SimpleNamespace(__name__="torch", long=torch.long, Tensor=torch.Tensor, zeros=lambda: said.append("first"))
    stand_in = torch_with(host, lambda data: ("ours", data))
    assert stand_in.tensor(3) == ("ours", 3)
    assert (stand_in.long, stand_in.Tensor) == (torch.long, torch.Tensor)
    stand_in.zeros()
    host.zeros = lambda: said.append("probed")
    stand_in.zeros()
    assert said == ["first", "probed"], "a function that is probed in torch is probed here"
    with pytest.raises(AttributeError):
        stand_in.nothing  # noqa: B018


class Modules(SimpleNamespace):
    """The two modules that build a step's inputs, as one: they make tensors by their own name `torch`."""


class Builder:
    """Of the attention metadata: the lengths of decodes, and their largest."""

    def __init__(self, input_builder: Any) -> None:
        self.curr_seq_lens: Any = []

    def build(self, lengths: list[int]) -> int:
        for length in lengths:
            self.curr_seq_lens.append(length)
        return max(self.curr_seq_lens, default=0)


class Model(torch.nn.Module):
    def forward(self, tokens: torch.Tensor, metadata: dict[str, Any]) -> torch.Tensor:
        return tokens.float()


class Worker:
    """A V0 worker with its runner in one: it prepares a step by the module's `torch` and the builder, and runs it."""

    def __init__(self) -> None:
        self.model_runner = self
        self.model = Model()
        self.attn_backend = SimpleNamespace(get_name=lambda: "flash-attn", get_builder_cls=lambda: Builder)
        self.module = Modules(torch=torch)
        self.prepared: list[Any] = []

    def execute_model(self, work: Any) -> torch.Tensor:
        tokens, metadata = self.prepare_model_input(work)
        self.prepared.append((tokens.clone(), dict(metadata)))
        result: torch.Tensor = self.model(tokens, metadata=metadata)
        return result

    def prepare_model_input(self, work: Any) -> tuple[torch.Tensor, dict[str, Any]]:
        made = self.module.torch
        return (
            made.tensor(work.tokens, dtype=torch.int64, device="cpu"),
            {
                "lengths": made.tensor(work.lengths, dtype=torch.int32, device="cpu"),
                "table": made.tensor(np.zeros((2, 2)), dtype=torch.int32, device="cpu"),
                "largest": Builder(None).build(work.lengths),
            },
        )

    def serve(self) -> None:
        for step in range(3):
            lengths = [4 + step, 9 + step, 7 + step]
            groups = [SimpleNamespace(seq_data={0: None}, is_prompt=False, token_chunk_size=1)] * 3
            self.execute_model(
                SimpleNamespace(seq_group_metadata_list=groups, tokens=[1, 2, 3 + step], lengths=lengths)
            )


class Makes:
    """An arm at tensor_from_list that makes every tensor but the first by `wrong`, which stands in a subclass."""

    def tensor(self, items: list[int], dtype: torch.dtype) -> torch.Tensor:
        return self.wrong(items, dtype) if dtype is torch.int64 else torch.tensor(items, dtype=dtype)

    def wrong(self, items: list[int], dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor(items, dtype=dtype)


class OtherNumbers(Makes):
    def wrong(self, items, dtype):
        return torch.tensor([items[0], 9, 9], dtype=dtype)


class OtherType(Makes):
    def wrong(self, items, dtype):
        return torch.tensor(items, dtype=torch.int32)


class OtherLength(Makes):
    def wrong(self, items, dtype):
        return torch.tensor(items[:-1], dtype=dtype)


class Raises(Makes):
    def wrong(self, items, dtype):
        raise ZeroDivisionError("no")


class ShiftsTheList(Makes):
    """Right, but the list that it is handed is the engine's own."""

    def tensor(self, items, dtype):
        made = torch.tensor(items, dtype=dtype)
        if dtype is torch.int32:
            items[0] += 100
        return made


class Smallest:
    """At decode_seq_lens, where the largest is asked for."""

    def lengths(self):
        return _Kept()


class _Kept(list):
    def append(self, length):
        self[:] = [min([length, *self])]


class RaisesInLengths:
    made = 0

    def lengths(self):
        RaisesInLengths.made += 1
        if RaisesInLengths.made > 2:  # the first is asked for when the arm is loaded
            raise ZeroDivisionError("no")
        return []


def instrument(worker: Worker, seam: str, arms: list[tuple[str, str, None]]) -> Instrument:
    described = Instrumentation(seam, [("native", "", None), *arms], [seam, "torch.tensor"], "prepare_model_input")
    return Instrument(worker, described, VirtualClock(1), V0Loop(worker))


@pytest.fixture
def worker(monkeypatch) -> Worker:
    made = Worker()
    monkeypatch.setattr(tensor_from_list, "sites", lambda runner: [tensor_from_list.Site([made.module])])
    return made


@pytest.mark.parametrize("seam", ["decode_seq_lens", "tensor_from_list"])
def test_the_projects_arms_are_equal_and_leave_nothing(worker, seam) -> None:
    arms = [(name, reference, None) for name, reference in SEAMS[seam].places["v0"].arms.items()]
    under_test = instrument(worker, seam, arms)
    initialise, calls = Builder.__init__, 1 if seam == "decode_seq_lens" else 3
    for result in checked(under_test, worker.serve, *([arm] for arm in range(len(arms) + 1)), [2, 0, 1]):
        assert (result["mismatches"], result["failure"]) == ([], None)
        assert result["watched"]["calls"] == {seam: [calls] * 3}
    under_test.begin("probed", [1])
    worker.serve()
    assert under_test.end()["columns"][f"{seam}.calls"] == [calls] * 3
    assert worker.module.torch is torch
    assert Builder.__init__ is initialise
    assert set(vars(worker)) == set(vars(Worker()))


TOKENS, LARGEST = "model[arg0]", "model[metadata][largest]"


@pytest.mark.parametrize(
    ("seam", "arm", "field", "said"),
    [
        ("tensor_from_list", OtherNumbers, TOKENS, f"`{TOKENS}[1]`: expected 2, found 9 (2 of 3 differ)"),
        ("tensor_from_list", OtherType, TOKENS, f"`{TOKENS}`: expected int64 [3], found int32 [3]"),
        ("tensor_from_list", OtherLength, TOKENS, f"`{TOKENS}`: expected int64 [3], found int64 [2]"),
        ("tensor_from_list", ShiftsTheList, LARGEST, f"`{LARGEST}`: expected 9, found 104"),
        ("tensor_from_list", Raises, "", "raised ZeroDivisionError: no (test_v0_seams.py:"),
        ("decode_seq_lens", Smallest, LARGEST, f"`{LARGEST}`: expected 9, found 4"),
    ],
)
def test_what_an_arm_makes_of_the_models_inputs_is_compared(worker, seam, arm, field, said) -> None:
    name = f"{__name__}:{arm.__name__}"
    under_test = instrument(worker, seam, [("mine", name, None), ("list", SEAMS[seam].places["v0"].arms["list"], None)])
    mine, other, native = checked(under_test, worker.serve, [1], [2], [0])
    (found,) = mine["mismatches"]
    assert (found["arm"], found["step"], found["field"], found["raised"]) == ("mine", 0, field, arm is Raises)
    assert found["reason"] == said if field else found["reason"].startswith(said)
    assert other["mismatches"] == native["mismatches"] == []


def test_where_an_arm_raises_the_host_does_its_step(worker) -> None:
    RaisesInLengths.made = 0
    under_test = instrument(worker, "decode_seq_lens", [("mine", f"{__name__}:RaisesInLengths", None)])
    (result,) = checked(under_test, worker.serve, [1])
    (found,) = result["mismatches"]
    assert (found["arm"], found["raised"]) == ("mine", True)
    assert "raised ZeroDivisionError: no (test_v0_seams.py:" in found["reason"]
    assert [metadata["largest"] for _, metadata in worker.prepared[-3:]] == [9, 10, 11]


class NativeBuilder:
    """What the seam touches of `FlashAttentionMetadataBuilder`."""

    def __init__(self, input_builder: Any, module: Any) -> None:
        self.input_builder, self.module, self.block_size = input_builder, module, 4
        self.slot_mapping: list[int] = []

    def build(self, padding: int) -> torch.Tensor:
        for data in self.input_builder.inter_data_list:
            lengths = data.orig_seq_lens[0], data.context_lens[0]
            self.module.compute_slot_mapping(
                False, self.slot_mapping, data.seq_ids[0], *lengths, 0, self.block_size, data.block_tables
            )
        self.slot_mapping.extend([-1] * padding)
        return self.module.torch.tensor(self.slot_mapping, dtype=torch.long, device="cpu")


def compute_slot_mapping(
    is_profile_run: Any, slot_mapping: Any, seq_id: Any, seq_len: Any, context_len: Any, start_idx: Any,
    block_size: Any, block_tables: Any,
) -> None:  # fmt: skip
    positions = range(context_len, seq_len)
    slot_mapping.extend(block_tables[seq_id][at // block_size] * block_size + at % block_size for at in positions)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("by_sequence", [True, False])
@pytest.mark.parametrize("slots", [None, [1, 2], np.zeros(3, dtype=np.int64)])
def test_an_arm_that_gives_no_tensor_is_told_so_and_leaves_the_batch_to_the_host(slots, by_sequence, padding) -> None:
    arm = SimpleNamespace(takes="lists", slots=lambda *args: slots)
    if by_sequence:
        arm.container, arm.append, arm.tensor = list, lambda *args: None, lambda gathered: slots
    module = SimpleNamespace(
        torch=torch,
        compute_slot_mapping=compute_slot_mapping,
        FlashAttentionMetadataBuilder=type("Builder", (NativeBuilder,), {}),
    )
    errors: list[BaseException] = []
    site = slot_mapping_v0.Site(module, 4)
    for owner, attribute, around in site.watches():
        setattr(owner, attribute, around(getattr(owner, attribute)))
    module.compute_slot_mapping = site.implement(arm, errors.append)
    batch = [SimpleNamespace(seq_ids=[7], orig_seq_lens=[6], context_lens=[0], block_tables={7: [5, 2]})]
    builder = module.FlashAttentionMetadataBuilder(SimpleNamespace(inter_data_list=batch), module)
    assert builder.build(padding).tolist() == [20, 21, 22, 23, 8, 9, *[-1] * padding]
    kind = f"{type(slots).__module__}.{type(slots).__qualname__}"
    assert [str(error) for error in errors] == [f"slots must be int64 [tokens] on cpu, not {kind}"]
