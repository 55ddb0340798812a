"""The arms of the seams that vLLM 0.5.4 alone has, and equality over all that a scope gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SeamError
from harness.instrument.arms import load_object
from harness.instrument.output_checking import OutputChecker, leaves
from harness.seams import SEAMS, decode_seq_lens, slot_mapping_v0, tensor_from_list
from harness.seams.v0_torch import torch_with

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


@dataclass
class Output:
    tokens: torch.Tensor
    lengths: list[int]
    more: dict[str, Any] = field(default_factory=dict)
    unseen: object = None


class Host:
    """A scope that makes its output by what is at its one site."""

    attribute = "call"

    def __init__(self) -> None:
        self.owner = self
        self.native = self.call = lambda: Output(torch.tensor([1, 2, 3]), [4, 5], {"a": {"b": 1.5}}, object())

    def implement(self, arm: Any, on_error: Any, strict: bool = False) -> Any:
        return arm

    def scope(self) -> Output:
        return self.call()


def output(tokens: Any = (1, 2, 3), lengths: Any = (4, 5), dtype: Any = torch.int64, more: Any = None) -> Output:
    return Output(torch.tensor(tokens, dtype=dtype), list(lengths), {"a": {"b": 1.5}} if more is None else more)


def raising() -> Output:
    raise ZeroDivisionError("no")


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        (lambda: output(), ""),
        (lambda: output(tokens=(1, 9, 9)), "tokens: expected 2, found 9 (2 differ)"),
        (lambda: output(dtype=torch.int32), "tokens: expected int64 [3], found int32 [3]"),
        (lambda: output(tokens=(1, 2)), "tokens: expected int64 [3], found int64 [2]"),
        (lambda: output(lengths=(4,)), "lengths.len: expected 2, found 1"),
        (lambda: output(lengths=(4, 6)), "lengths.1: expected 5, found 6"),
        (lambda: output(lengths=(4, 5.0)), "lengths.1: expected 5, found 5.0"),
        (lambda: output(more={}), "more.a.b: expected 1.5, found None"),
        (lambda: output(more={"a": {"b": 1.5}, "c": 1}), "more.c: expected None, found 1"),
        (raising, f"raised ZeroDivisionError: no (test_v0_seams.py:{raising.__code__.co_firstlineno + 1})"),
    ],
)
def test_all_that_the_scope_gives_back_is_compared(arm, said) -> None:
    host = Host()
    checker = OutputChecker([host], {"native": None, "mine": arm})
    compared = checker.around(host.scope)
    for step in range(2):
        checker.bind(step)
        assert dict(leaves(compared()))["lengths.1"] == 5, "the engine goes on with the host's own"
        assert host.call is host.native
    assert checker.take_calls() == [1, 1]
    found = checker.take_mismatches()
    assert [(each["arm"], each["step"], each["reason"]) for each in found] == ([("mine", 0, said)] if said else [])
    assert checker.take_mismatches() == []


def test_a_result_that_holds_itself_ends() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    assert ("1.1.0", 1) in list(leaves(ring))
