"""Rows of micro-benchmarks: columns that come to the same, and are timed as they are called."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.config.micro import Concat, Operations, Sizes
from harness.errors import ConfigError
from harness.micro.benchmarks import build_rows, device_of
from harness.micro.claims import AS_PUBLISHED
from harness.micro.measure import ROUNDS, measure_row
from harness.micro.rows import Row, differences
from patches import conversions, slot_mapping

int64 = st.integers(-(2**63), 2**63 - 1)
SMALL = {
    "to_cpu": Sizes(kind="micro", benchmark="to_cpu", sizes=[1, 5, 300]),
    "to_gpu": Sizes(kind="micro", benchmark="to_gpu", sizes=[1, 5, 300], device="cpu"),
    "incremental": Sizes(kind="micro", benchmark="incremental", sizes=[1, 5, 300]),
    "operations": Operations(kind="micro", benchmark="operations", items=50, added=7),
    "concat": Concat(kind="micro", benchmark="concat", pieces=[1, 3], lengths=[1, 4]),
}
COPIES = Sizes(kind="micro", benchmark="copy_to_gpu", sizes=[1, 300])


# Conversions.


@given(st.lists(st.lists(int64, max_size=5), max_size=6))
def test_every_conversion_gives_the_same_tensor(pieces) -> None:
    items = [item for piece in pieces for item in piece]
    expected = torch.tensor(items, dtype=torch.int64)
    as_array = array(conversions.INT64, items)
    for tensor in (
        conversions.from_list(items), conversions.from_list_with_array(items), conversions.from_array(as_array),
        conversions.guarded_from_array(as_array), conversions.from_list_or_array(items),
        conversions.from_list_or_array(as_array), conversions.from_numpy(np.array(items, dtype=np.int64)),
        conversions.joined_frombuffers(array(conversions.INT64, piece) for piece in pieces),
    ):  # fmt: skip
        assert tensor.dtype == torch.int64
        assert torch.equal(tensor, expected)


def test_an_array_cannot_grow_under_a_guarded_tensor() -> None:
    items = array(conversions.INT64, [1, 2, 3])
    tensor = conversions.guarded_from_array(items)
    with pytest.raises(BufferError):  # the thread's form: append while the last tensor still lives
        items.append(4)
    assert tensor.tolist() == [1, 2, 3]
    tensor[0] = 9  # the same memory
    assert items[0] == 9
    del tensor
    items.append(4)
    assert conversions.guarded_from_array(items).tolist() == [9, 2, 3, 4]


def test_torch_itself_does_not_notice_that_the_array_grows() -> None:
    items = array(conversions.INT64, [1, 2, 3])
    tensor = conversions.from_array(items)
    items.extend(range(100))  # no error: why the guard is there; the tensor must not be read from here on
    assert tensor.numel() == 3


def test_arms_and_micro_benchmarks_use_one_and_the_same_code() -> None:
    (row, *_) = build_rows(SMALL["to_cpu"])
    for name in ("from_list", "from_array", "from_list_with_array", "from_numpy"):
        assert row.names[name] is getattr(slot_mapping, name) is getattr(conversions, name)
    (row, *_) = build_rows(SMALL["concat"])
    assert row.names["joined_frombuffers"] is slot_mapping.joined_frombuffers


# Rows.


@pytest.mark.parametrize("name", ["to_cpu", "incremental", "concat"])
def test_all_columns_come_to_the_same(name) -> None:
    rows = build_rows(SMALL[name])
    assert [differences(row) for row in rows] == [{}] * len(rows)


def test_the_published_array_to_a_device_is_another_tensor() -> None:
    found = {row.label: differences(row) for row in build_rows(SMALL["to_gpu"])}
    assert found["5"] == {AS_PUBLISHED: "10 items instead of 5, beginning [0, 0, 1, 0, ..] instead of [0, 1, 2, 3, ..]"}
    assert list(found["300"]) == [AS_PUBLISHED]


def test_of_the_operations_only_the_published_extend_is_not_like_for_like() -> None:
    found = {row.label: differences(row) for row in build_rows(SMALL["operations"])}
    assert {label for label, unequal in found.items() if unequal} == {"extend, as published"}
    assert found["extend, as published"]["array"].startswith("100 items instead of 57")
    labels = {label.partition(" (")[0] for label in found}
    assert labels == {
        "init", "pre-allocate", "append", "extend, as published", "extend, from a list", "extend, same type", "slice",
        "assign", "index", "to_torch",
    }  # fmt: skip


def test_other_values_are_seen() -> None:
    row = Row("r", {"a": "[1, 2]", "b": "[1, 3]", "c": "array('q', [1, 2])"}, {"array": array})
    assert differences(row) == {"b": "other values, beginning [1, 3] instead of [1, 2]"}


def test_tensors_must_be_alike_in_type_and_no_fraction_is_cut_off() -> None:
    columns = {"a": "torch.tensor([1])", "b": "torch.tensor([1], dtype=torch.int8)", "c": "torch.tensor([1.9])",
               "d": "[1.9]", "e": "torch.tensor([1])"}  # fmt: skip
    found = differences(Row("r", columns, {"torch": torch}))
    assert found == {"b": "int8 instead of int64", "c": "float32 instead of int64",
                     "d": "other values, beginning [1.899999976158142] instead of [1]"}  # fmt: skip


def test_a_row_is_timed_in_rounds_and_checked() -> None:
    row = Row("r", {"a": "x = 1", "b": "x = 2"}, outcome={"a": "x", "b": "x"}, setup="y = 0")
    found = measure_row(row, seconds=0.006, rng=np.random.default_rng(0))
    for timing in found.timings.values():
        assert len(timing.rounds_s) == ROUNDS
        assert all(seconds > 0 for seconds in timing.rounds_s)
        assert timing.calls >= ROUNDS
    assert list(found.unequal) == ["b"]


def test_a_container_that_grows_is_made_afresh_before_it_has_grown_much() -> None:
    lengths: list[int] = []
    row = Row("r", {"a": "items.append(1); seen(items)"}, {"seen": lambda items: lengths.append(len(items))},
              "items = [0] * 50", {"a": "items"}, repeats=10)  # fmt: skip
    found = measure_row(row, seconds=0.001, rng=np.random.default_rng(0))
    assert max(lengths) == 60
    assert found.timings["a"].calls >= 10 * ROUNDS


def test_the_columns_of_a_row_take_turns_in_an_order_drawn_anew() -> None:
    order: list[str] = []
    names = {name: (lambda name=name: order.append(name)) for name in ("a", "b", "c")}
    row = Row("r", {name: f"{name}()" for name in names}, names, outcome=dict.fromkeys(names, "0"), repeats=1)
    measure_row(row, seconds=0.0001, rng=np.random.default_rng(1))
    turns = [name for i, name in enumerate(order[3:]) if i == 0 or order[3:][i - 1] != name]
    rounds = [tuple(turns[i : i + 3]) for i in range(0, 3 * ROUNDS, 3)]
    assert len(set(rounds)) > 1


def test_statements_to_a_gpu_wait_for_it(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_gpu = SMALL["to_gpu"].model_copy(update={"device": "auto"})
    for row in build_rows(on_gpu):
        assert row.names["device"] == "cuda"
        assert all(statement.endswith("; synchronize()") for statement in row.columns.values())
        assert row.names["synchronize"] is torch.cuda.synchronize
    assert not any(
        "synchronize" in statement for row in build_rows(SMALL["to_gpu"]) for statement in row.columns.values()
    )


def test_index_takes_an_item_that_python_does_not_have_already() -> None:
    row = next(row for row in build_rows(Operations(kind="micro", benchmark="operations")) if row.label[:5] == "index")
    assert row.comes_to("array") == row.comes_to("list") == 9999
    for row in build_rows(SMALL["concat"]):
        items = [item for piece in row.names["lists"] for item in piece]
        assert min(items) > 256
        assert len(set(items)) == len(items)


def test_cuda_is_refused_where_there_is_none(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(SMALL["to_gpu"].model_copy(update={"device": "auto"})) == "cpu"
    with pytest.raises(ConfigError, match="write auto, or cpu"):
        device_of(SMALL["to_gpu"].model_copy(update={"device": "cuda"}))
    with pytest.raises(ConfigError, match="copy_to_gpu needs a GPU, and PyTorch has none here"):
        device_of(COPIES)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of(COPIES) == "cuda"
    with pytest.raises(ConfigError, match="device: cpu was asked for"):
        device_of(COPIES.model_copy(update={"device": "cpu"}))


def test_copies_to_a_gpu_are_asked_for_while_it_is_idle_and_while_it_is_busy(monkeypatch) -> None:
    """What a GPU would be given; `pin_memory` itself needs one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    pageable = torch.empty
    monkeypatch.setattr(torch, "empty", lambda size, dtype, pin_memory: pageable(size, dtype=dtype))
    rows = build_rows(COPIES)
    assert [row.label for row in rows] == ["1, GPU idle", "300, GPU idle", "1, GPU busy", "300, GPU busy"]
    for row in rows:
        assert row.setup.startswith("synchronize()"), "copies of the block before are done"
        assert ("occupy(" in row.setup) == row.label.endswith("busy")
        assert not any("synchronize" in statement for statement in row.columns.values())
        assert row.names["items"].nbytes == row.names["buffer"].nbytes
