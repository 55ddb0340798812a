"""Two fingerprints: equal to themselves, different where something was changed, and told by step, field and index."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.instrument.digests import digests, first_difference_of_digests, not_repeated_of_digests
from harness.instrument.elements import difference_of
from harness.instrument.fingerprint import STEPS, Difference, Fingerprint, first_difference, generic, not_repeated
from harness.instrument.leaves import Walk
from tests.fuzzing import cases

NAN = math.nan
DTYPES = [torch.int32, torch.int64, torch.float32, torch.float64, torch.bfloat16, torch.uint8, torch.bool]


def one_step(**fields: Any) -> Fingerprint:
    return Fingerprint([{name.replace("__", "."): value for name, value in fields.items()}])


def copied(fingerprint: Fingerprint) -> Fingerprint:
    return Fingerprint(
        [{path: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for path, leaf in step.items()}
         for step in fingerprint.steps]
    )  # fmt: skip


tensors = st.builds(
    lambda shape, dtype, seed: torch.randint(
        0, 2 if dtype is torch.bool else 100, shape, generator=torch.Generator().manual_seed(seed)
    ).to(dtype),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.sampled_from(DTYPES),
    st.integers(0, 1000),
)
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())
fingerprints = st.builds(
    Fingerprint,
    st.lists(
        st.dictionaries(
            st.sampled_from(["scheduler_output.a[0]", "model[b]", "context.c", "logits", "calls.f[0].x", "state.d"]),
            st.one_of(tensors, plain, st.lists(plain, max_size=4).map(tuple)),
        ),
        max_size=4,
    ),
)


@pytest.mark.parametrize(
    ("native", "other", "field", "expected", "found"),
    [
        ([5, 6], [np.int64(5), np.int64(6)], "x", "int 5", "int64(5)"),
        (np.int64(5), np.int32(5), "x", "int64(5)", "int32(5)"),
        ([5, 6], (5, 6), "x.type", "list", "tuple"),
        ((5, 6), deque([5, 6]), "x.type", "tuple", "deque"),
        ([5, 6], {5, 6}, "x.type", "list", "set"),
        ([{}], ({},), "x.type", "list", "tuple"),
        (OrderedDict(a=1), {"a": 1}, "x.type", "OrderedDict", "dict"),
        (np.arange(2), torch.arange(2), "x.type", "ndarray", "Tensor"),
    ],
)
def test_the_same_in_another_type_is_a_difference(native, other, field, expected, found) -> None:
    one, two = (Fingerprint([Walk().leaves(value, "x")]) for value in (native, other))
    difference = first_difference(one, two)
    assert difference is not None
    assert (difference.field, difference.expected, difference.found) == (field, expected, found)
    of_texts = first_difference_of_digests(digests(one), digests(two))
    assert of_texts is not None
    assert of_texts.field == field
    assert first_difference(one, Fingerprint([Walk().leaves(native, "x")])) is None


@cases(200)
@given(fingerprints)
def test_a_fingerprint_equals_itself_and_its_copy(fingerprint: Fingerprint) -> None:
    other = copied(fingerprint)
    assert first_difference(fingerprint, fingerprint) is None
    assert first_difference(fingerprint, other) is None
    assert not_repeated([fingerprint, other, fingerprint]) == frozenset()
    assert digests(fingerprint) == digests(other)
    assert first_difference_of_digests(digests(fingerprint), digests(other)) is None


@cases(200)
@given(tensors, st.data(), st.booleans())
def test_one_changed_element_is_found_at_its_index(tensor: torch.Tensor, data: st.DataObject, by_text: bool) -> None:
    index = [data.draw(st.integers(0, size - 1)) for size in tensor.shape]
    native = one_step(model__before=torch.zeros(3), model__it=tensor, outputs=1)
    other = copied(native)
    changed = other.steps[0]["model.it"]
    assert isinstance(changed, torch.Tensor)
    changed[tuple(index)] = not changed[tuple(index)] if tensor.dtype is torch.bool else changed[tuple(index)] + 1
    difference = (
        first_difference_of_digests(digests(native), digests(other)) if by_text else first_difference(native, other)
    )
    assert difference is not None
    assert (difference.step, difference.field, difference.differ) == (0, "model.it", 1)
    if not by_text or tensor.numel() <= 64:
        assert (difference.index, difference.of) == (index, tensor.numel())
        assert str(difference.expected) == str(tensor[tuple(index)].item())
        assert str(difference.found) == str(changed[tuple(index)].item())


@cases(100)
@given(st.integers(0, 49), st.integers(0, 49), st.booleans())
def test_a_changed_element_of_a_huge_tensor_is_found_by_its_row(row: int, column: int, by_text: bool) -> None:
    tensor = torch.arange(50 * 300).reshape(50, 300)
    walk = Walk(rows_from=100)
    native = Fingerprint([walk.leaves(tensor, "logits")])
    tensor[row, column] += 1
    other = Fingerprint([walk.leaves(tensor, "logits")])
    if by_text:
        difference = first_difference_of_digests(digests(native), digests(other))
        assert difference is not None
        assert difference.index is None
    else:
        difference = first_difference(native, other)
        assert difference is not None
        assert (difference.index, difference.differ, difference.of) == ([row], 1, 50)
    assert difference.field == "logits"


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize(
    "dtype", [torch.complex128, torch.complex64, torch.float64, torch.bfloat16, torch.float8_e5m2, torch.bool], ids=str
)
def test_elements_of_any_size_are_compared_by_their_bits(dtype, shape) -> None:
    zero = torch.zeros(shape, dtype=dtype)
    assert difference_of(zero, zero.clone()) is None
    changed = zero.clone()
    changed.reshape(-1)[-1] = 1 if dtype is torch.bool else -0.0  # equal to 0.0 as a number
    found = difference_of(zero, changed)
    assert found is not None
    assert (found.differ, found.of) == (1, zero.numel())


def test_any_nan_is_every_nan() -> None:
    one, other = (torch.tensor([0, bits]).view(torch.float64) for bits in (0x7FF8 << 48, 0x7FF9 << 48))
    assert not torch.equal(one.view(torch.int64), other.view(torch.int64))
    assert difference_of(one, other) is None
    assert difference_of(one, torch.zeros(2, dtype=torch.float64)) is not None


@pytest.mark.parametrize(
    ("expected", "found", "index"),
    [((1, 0.0), (1, -0.0), [1]), ((1, 2), (1, True), [1]), ((1, float("nan")), (1, float("nan")), None),
     (("a", None, b"c"), ("a", None, b"c"), None), ((0, "a"), (False, "a"), [0])],
)  # fmt: skip
def test_elements_of_a_row_are_compared_with_their_types_and_bits(expected, found, index) -> None:
    difference = difference_of(expected, found)
    assert (difference and difference.index) == index


def test_it_is_told_in_one_line() -> None:
    slots = torch.arange(64)
    other = slots.clone()
    other[4] = 532
    difference = first_difference(one_step(slot_mapping=slots), one_step(slot_mapping=other))
    assert difference == Difference(0, "slot_mapping", [4], 4, 532, 1, 64)
    assert difference.told() == "`slot_mapping[4]`: expected 4, found 532 (1 of 64 differ)"
    table = torch.zeros(5, 8, dtype=torch.int32)
    wrong = table.clone()
    wrong[4, 0] = wrong[4, 3] = 8
    difference = first_difference(one_step(context__block_table=table), one_step(context__block_table=wrong))
    assert difference is not None
    assert difference.told() == "`context.block_table[4,0]`: expected 0, found 8 (2 of 40 differ)"


@pytest.mark.parametrize(
    ("expected", "found", "told"),
    [
        (1, 2, "`x`: expected 1, found 2"),
        (1, True, "`x`: expected int 1, found bool True"),
        (1, 1.0, "`x`: expected int 1, found float 1.0"),
        (0.0, -0.0, "`x`: expected 0.0, found -0.0"),
        (None, "a", "`x`: expected NoneType None, found str 'a'"),
        ((1, 2), (1, 3), "`x[1]`: expected 2, found 3 (1 of 2 differ)"),
        ((1, 2), (1,), "`x`: expected 2 elements, found 1 elements"),
        (torch.zeros(2), torch.zeros(3), "`x`: expected float32 [2], found float32 [3]"),
        (torch.zeros(2), torch.zeros(2).double(), "`x`: expected float32 [2], found float64 [2]"),
        (torch.zeros(2), torch.tensor([0.0, -0.0]), "`x[1]`: expected 0.0, found -0.0 (1 of 2 differ)"),
        (torch.tensor(3), torch.tensor(4), "`x`: expected 3, found 4"),
        (torch.zeros(2), (0.0, 0.0), "`x`: expected Tensor float32 [2], found tuple (0.0, 0.0)"),
        ("a" * 100, "b", f"`x`: expected '{'a' * 79}…, found 'b'"),
    ],
)
def test_what_differs_is_told(expected: Any, found: Any, told: str) -> None:
    difference = first_difference(one_step(x=expected), one_step(x=found))
    assert difference is not None
    assert difference.told() == told
    assert digests(one_step(x=expected)) != digests(one_step(x=found))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NAN, -NAN),
        ((1.0, NAN), (1.0, NAN)),
        (torch.tensor([NAN, 1.0]), torch.tensor([-NAN, 1.0])),
        (torch.tensor([NAN]).bfloat16(), torch.tensor([-NAN]).bfloat16()),
        (torch.zeros(0), torch.zeros(0)),
    ],
)
def test_what_is_the_same(one: Any, other: Any) -> None:
    assert first_difference(one_step(x=one), one_step(x=other)) is None
    assert first_difference_of_digests(digests(one_step(x=one)), digests(one_step(x=other))) is None


def test_small_floats_are_compared_by_their_bits() -> None:
    one, other = torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn), torch.tensor([1.0, 4.0]).to(torch.float8_e4m3fn)
    difference = first_difference(one_step(x=one), one_step(x=other))
    assert difference is not None
    assert (difference.index, difference.expected, difference.found) == ([1], 2.0, 4.0)


def test_the_first_is_that_of_the_first_step_and_there_the_first_in_the_flow_of_data() -> None:
    native = Fingerprint([
        {"outputs.x": 1, "calls.f[0].y": 1, "logits": 1, "model[p]": 1, "scheduler_output.s": 1},
        {"scheduler_output.s": 1},
    ])  # fmt: skip
    fields = []
    other = copied(native)
    other.steps[1]["scheduler_output.s"] = 2
    for path in [*native.steps[0]]:
        other.steps[0][path] = 2
        difference = first_difference(native, other)
        assert difference is not None
        fields.append((difference.step, difference.field))
    assert fields == [(0, "outputs.x"), (0, "calls.f[0].y"), (0, "logits"), (0, "model[p]"), (0, "scheduler_output.s")]


def test_state_is_told_only_where_nothing_else_differs() -> None:
    native = Fingerprint([{"state.a": 1, "model[x]": 1}, {"state.a": 1, "model[x]": 1}])
    other = Fingerprint([{"state.a": 2, "model[x]": 1}, {"state.a": 3, "model[x]": 2}])
    difference = first_difference(native, other)
    assert difference is not None
    assert (difference.step, difference.field) == (1, "model[x]")
    other.steps[1]["model[x]"] = 1
    difference = first_difference(native, other)
    assert difference is not None
    assert (difference.step, difference.field, difference.found) == (0, "state.a", 2)


def test_what_only_one_has_is_told() -> None:
    native, other = one_step(model__a=1, model__b=torch.zeros(3)), one_step(model__a=1, model__c=(1,))
    difference = first_difference(native, other)
    assert difference is not None
    assert difference.told() == "`model.b`: expected a tensor [3], found nothing"
    difference = first_difference(native, other, {"model.b"})
    assert difference is not None
    assert difference.told() == "`model.c`: expected nothing, found tuple"


def test_another_number_of_steps_is_a_difference() -> None:
    native = Fingerprint([{"model[x]": 1}, {"model[x]": 1}])
    other = Fingerprint([{"model[x]": 1, "state.s": 2}])
    difference = first_difference(native, other)
    assert difference is not None
    assert difference.told() == "`steps`: expected 2, found 1"
    assert first_difference(native, other, {STEPS, "state.s"}) is None
    assert STEPS in not_repeated([native, other])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("context.m[model.layers.3.self_attn.attn].x", "context.m[model.layers.*.self_attn.attn].x"),
        ("scheduler_output.num_scheduled_tokens[req#14]", "scheduler_output.num_scheduled_tokens[req#*]"),
        ("outputs[0].outputs[12].new_token_ids", "outputs[*].outputs[*].new_token_ids"),
        ("x[h.11]", "x[h.*]"),
        ("state.v2.top_k8", "state.v2.top_k8"),
    ],
)  # fmt: skip
def test_a_field_is_the_same_for_all_requests_layers_and_places(path: str, field: str) -> None:
    assert generic(path) == field


def test_what_native_does_not_repeat_is_left_out_as_a_whole_field() -> None:
    def native(junk: int) -> Fingerprint:
        return Fingerprint([
            {f"context[layers.{layer}].junk": torch.tensor([junk if at == layer else 0 for at in range(4)])
             for layer in range(4)} | {"outputs": 1} | ({"model[extra]": 1} if junk == 3 else {})
        ])  # fmt: skip

    passes = [native(1), native(2), native(3)]
    left_out = not_repeated(passes)
    assert left_out == {"context[layers.*].junk", "model[extra]"}
    assert not_repeated_of_digests([digests(each) for each in passes]) == left_out
    assert first_difference(native(1), native(9)) is not None
    assert first_difference(native(1), native(9), left_out) is None
    assert first_difference_of_digests(digests(native(1)), digests(native(9)), left_out) is None


@pytest.mark.parametrize(
    ("left_out", "different"),
    [
        ("context.m[layers.0].x", True),
        ("context.m[layers.*].x", False),
        ("context.m[*].x", False),
        ("context.m", False),
        ("context", False),
        ("context.m[*].y", True),
        ("cont", True),
        ("context.m[*", True),
    ],
)
def test_what_does_not_count_may_be_named_by_field_or_by_what_it_is_in(left_out: str, different: bool) -> None:
    native, other = ({f"context.m[layers.{at}].x": value for at in range(2)} for value in (1, 2))
    found = first_difference(Fingerprint([native]), Fingerprint([other]), [left_out])
    assert (found is not None) is different


def test_small_leaves_are_text_and_large_ones_a_digest() -> None:
    rows = digests(one_step(a=torch.tensor([[1, 2]]), b=torch.zeros(65), c=(1, "x"), d=tuple(range(100)), e="y" * 5000))
    texts = {row.field: row.text for row in rows}
    assert texts["a"] == "int64 [1, 2]: 1, 2"
    assert texts["c"] == "2 elements: 1, 'x'"
    assert texts["b"].startswith("float32 [65] #")
    assert texts["d"].startswith("100 elements #")
    assert texts["e"].startswith("str #")
    assert all(len(text) < 100 for text in texts.values())


def test_steps_of_several_processes_are_one_pass() -> None:
    core, worker = [(0, "scheduler_output.a", "1"), (1, "outputs", "2")], [(0, "model[x]", "3"), (1, "model[x]", "4")]
    assert first_difference_of_digests(core + worker, worker + core) is None
    difference = first_difference_of_digests(core + worker, [*core, (0, "model[x]", "3"), (1, "model[x]", "5")])
    assert difference is not None
    assert (difference.step, difference.field, difference.expected, difference.found) == (1, "model[x]", "4", "5")
