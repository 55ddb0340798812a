"""What a walk finds in an object, what it names, and what it passes over."""

from __future__ import annotations

import enum
import functools
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import torch

from harness.instrument import leaves as leaves_module
from harness.instrument.elements import difference_of
from harness.instrument.leaves import Walk
from harness.instrument.rows import Rows, rows_of


class Colour(enum.IntEnum):
    RED = 1


class Pair(NamedTuple):
    first: int
    second: torch.Tensor


class Slotted:
    __slots__ = ("held", "missing")

    def __init__(self) -> None:
        self.held = 3


class Below(Slotted):
    __slots__ = ("own",)

    def __init__(self) -> None:
        super().__init__()
        self.own = 4


class Struct(msgspec.Struct):
    tokens: list[int]
    timestamp: float = 0.0


@dataclass
class Data:
    number: int
    nested: Any = None
    made: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.added_later = "here"


def leaves(value: Any, **arguments: Any) -> dict[str, Any]:
    return Walk().leaves(value, "x", **arguments)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {"x": None}),
        (True, {"x": True}),
        (3, {"x": 3}),
        (0.5, {"x": 0.5}),
        ("text", {"x": "text"}),
        (b"bytes", {"x": b"bytes"}),
        (Colour.RED, {"x": "Colour.RED"}),
        (torch.int32, {"x": "torch.int32"}),
        (torch.device("cpu"), {"x": "cpu"}),
        (np.int64(7), {"x": "int64(7)"}),
        (np.float32(0.1), {"x": "float32(0.10000000149011612)"}),
        (np.str_("a"), {"x": "a"}),
        (np.dtype("int8"), {"x": "int8"}),
        (dict, {"x": "dict"}),
        ([1, 2.5, "a", None], {"x": (1, 2.5, "a", None)}),
        ((), {"x": (), "x.type": "tuple"}),
        (deque([1, 2]), {"x": (1, 2), "x.type": "deque"}),
        ([[1], [2, 3]], {"x.len": 2, "x[0]": (1,), "x[1]": (2, 3)}),
        ({3, 1, 20}, {"x": (1, 3, 20), "x.type": "set"}),
        (frozenset({"b", "a"}), {"x": ("a", "b"), "x.type": "frozenset"}),
        ({(1, "a")}, {"x": ("(1, a)",), "x.type": "set"}),
        ({np.int64(1): 2}, {"x.keys": ("1",), "x[1]": 2}),
        (([1], [2]), {"x.len": 2, "x.type": "tuple", "x[0]": (1,), "x[1]": (2,)}),
        ({"a": 1, 2: [3]}, {"x.keys": ("a", "2"), "x[a]": 1, "x[2]": (3,)}),
        (OrderedDict(b=1), {"x.keys": ("b",), "x.type": "OrderedDict", "x[b]": 1}),
        (Data(1, Data(2)), {
            "x.number": 1, "x.nested.number": 2, "x.nested.nested": None, "x.nested.made": (),
            "x.nested.added_later": "here", "x.made": (), "x.added_later": "here",
        }),
        (Below(), {"x.held": 3, "x.own": 4}),
        (Struct([1, 2]), {"x.tokens": (1, 2)}),
        (SimpleNamespace(a=1), {"x.a": 1}),
        (np.array(["a", "b"]), {"x.keys": ("dtype", "shape", "values"), "x[dtype]": "<U1", "x[shape]": (2,),
                                "x[shape].type": "tuple", "x[values]": ("a", "b")}),
    ],
)  # fmt: skip
def test_every_kind_of_value_is_found(value: Any, expected: dict[str, Any]) -> None:
    assert leaves(value) == expected


@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3), np.arange(6)[::-1], np.array(3.5), np.arange(3) > 1])
def test_arrays_are_tensors(array: np.ndarray) -> None:
    found = leaves(array)
    assert list(found) == ["x", "x.type"]
    assert found["x.type"] == "ndarray"
    assert torch.equal(found["x"], torch.from_numpy(array.copy()))


def test_a_read_only_array_is_copied_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    array = np.arange(3)
    array.flags.writeable = False
    assert leaves(array)["x"].tolist() == [0, 1, 2]
    assert not recwarn.list


def test_a_named_tuple_has_names() -> None:
    found = leaves(Pair(1, torch.tensor([2])))
    assert list(found) == ["x.first", "x.second"]


def test_tensors_are_copies() -> None:
    buffer, array = torch.zeros(3), np.zeros(3)
    found = leaves({"tensor": buffer, "array": array, "list": (numbers := [1, 2])})
    buffer.fill_(1)
    array.fill(1)
    numbers.append(3)
    assert found["x[tensor]"].tolist() == found["x[array]"].tolist() == [0, 0, 0]
    assert found["x[list]"] == (1, 2)


def test_one_memory_is_copied_once_and_named_wherever_it_is_held() -> None:
    buffer = torch.zeros(4)
    found = leaves([buffer, buffer.numpy(), buffer[:2], buffer.view(2, 2), buffer])
    assert list(found) == ["x.len", "x[0]", "x[1]", "x[1].type", "x[2]", "x[3]", "x[4]"]
    assert found["x[0]"] is found["x[1]"] is found["x[4]"]
    assert found["x[2]"].shape == (2,)
    assert found["x[3]"].shape == (2, 2)


def test_memory_that_is_used_again_is_another_tensor() -> None:
    class Anew:
        """Gives what is made for the asking and lives no longer, as what hides a slot may."""

        __slots__ = ("_number",)
        __struct_fields__ = ("part",)

        def __init__(self, number: int) -> None:
            self._number = number

        def __getattr__(self, name: str) -> Any:
            if name == "part":
                return torch.full((1000,), self._number)
            raise ValueError(name)

    found = leaves([Anew(number) for number in range(50)])
    assert [int(found[f"x[{number}].part"][0]) for number in range(50)] == list(range(50))


def test_shared_objects_are_named_wherever_they_are_held() -> None:
    shared = Data(5)
    found = leaves({"a": shared, "b": [shared]})
    assert found["x[a].number"] == found["x[b][0].number"] == 5


def test_cycles_end() -> None:
    one, other = SimpleNamespace(name="one"), SimpleNamespace(name="other")
    one.other, other.other, other.itself = other, one, [other]
    assert leaves(one) == {"x.name": "one", "x.other.name": "other", "x.other.itself.len": 1}


def test_requests_are_named_in_the_order_of_their_appearance() -> None:
    walk = Walk()
    walk.register(["0-f3a1", "1-77b0"])
    walk.register(["1-77b0", "2-0c0c"])
    found = walk.leaves(
        {"ids": ["2-0c0c", "0-f3a1"], "1-77b0": 1, "done": {"2-0c0c"}, "one": "1-77b0", "other": "9-abcd"}, "x"
    )
    assert found == {
        "x.keys": ("ids", "req#1", "done", "one", "other"), "x[ids]": ("req#2", "req#0"), "x[req#1]": 1,
        "x[done]": ("req#2",), "x[done].type": "set", "x[one]": "req#1", "x[other]": "9-abcd",
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        threading.Lock(), threading.RLock(), threading.Event(), threading.Thread(), lambda: None, len, threading,
        functools.partial(len), (one for one in [1]), torch.nn.Linear(2, 2), pytest.raises,
    ],
)  # fmt: skip
def test_what_is_no_data_is_passed_over(value: Any) -> None:
    assert leaves({"a": value, "b": 1}) == {"x.keys": ("a", "b"), "x[b]": 1}


@pytest.mark.parametrize(
    "name",
    [
        "arrival_time", "timestamp", "timestamps", "scheduler_stats", "events", "kv_cache", "kv_caches",
        "no_compile_layers", "logitsprocs", "data_ptr", "vllm_config", "prev_free_block", "stats", "queued_time",
    ],
)  # fmt: skip
def test_what_differs_by_right_is_passed_over_by_its_name(name: str) -> None:
    assert leaves(SimpleNamespace(**{name: 1, "other": 2})) == {"x.other": 2}
    assert leaves({name: 1, "other": 2})["x[other]"] == 2
    assert f"x[{name}]" not in leaves({name: 1})


@pytest.mark.parametrize("name", ["times_scheduled", "events_seen", "statistics", "timestamped"])
def test_names_that_only_look_so_are_kept(name: str) -> None:
    assert leaves(SimpleNamespace(**{name: 1})) == {f"x.{name}": 1}


def test_a_generator_is_known_by_its_state() -> None:
    generator = torch.Generator().manual_seed(3)
    before = leaves({0: generator})
    assert torch.equal(before["x[0][state]"], leaves({0: generator})["x[0][state]"])
    torch.rand(1, generator=generator)
    assert not torch.equal(before["x[0][state]"], leaves({0: generator})["x[0][state]"])


def test_depth_ends_and_says_where() -> None:
    assert leaves([[[[1]]]], depth=2) == {"x.len": 1, "x[0].len": 1, "x[0][0].cut": True}
    deep = SimpleNamespace(a=SimpleNamespace(b=SimpleNamespace(c=1)), d=2)
    assert leaves(deep, depth=2) == {"x.d": 2, "x.a.b.cut": True}
    assert leaves(deep, depth=3) == {"x.a.b.c": 1, "x.d": 2}


def test_objects_by_which_others_are_known_are_not_looked_into_and_that_is_said() -> None:
    assert leaves({Slotted()}) == {"x": ("Slotted",), "x.type": "set", "x.cut": True}
    assert leaves({Slotted(): 1}) == {"x.keys": ("Slotted",), "x[Slotted]": 1, "x.cut": True}


def test_the_number_of_leaves_ends_and_says_so() -> None:
    found = leaves([[index] for index in range(10)], limit=4)
    assert found == {"x.len": 10, "x[0]": (0,), "x[1]": (1,), "x[2]": (2,), "x.cut": True}


def test_a_huge_tensor_is_kept_as_a_digest_a_row() -> None:
    tensor = torch.arange(4 * 300).reshape(4, 300)
    walk = Walk(rows_from=1000)
    found = walk.leaves(tensor, "x")["x"]
    assert isinstance(found, Rows)
    assert (found.dtype, found.shape, found.each, len(set(found.digests))) == ("int64", (4, 300), 1, 4)
    tensor[2, 7] = -1
    other = walk.leaves(tensor, "x")["x"]
    assert isinstance(other, Rows)
    assert [one == two for one, two in zip(found.digests, other.digests, strict=True)] == [True, True, False, True]


def test_short_rows_share_a_digest() -> None:
    found = Walk(rows_from=1000).leaves(torch.arange(1500), "x")["x"]
    assert isinstance(found, Rows)
    assert (found.each, len(found.digests)) == (256, 6)


def test_a_tensor_of_exactly_the_limit_is_kept() -> None:
    assert isinstance(Walk(rows_from=10).leaves(torch.zeros(10), "x")["x"], torch.Tensor)
    assert isinstance(Walk(rows_from=10).leaves(torch.zeros(11), "x")["x"], Rows)


def test_a_tensor_without_memory_is_told_by_its_form() -> None:
    assert leaves(torch.zeros(2, 3, device="meta"))["x"] == "torch.float32 [2, 3] torch.strided on meta"


def test_a_property_that_raises_hides_only_its_own_field() -> None:
    class Raises:
        def __init__(self) -> None:
            self.fine = 1
            vars(self)["broken"] = 2

        @property
        def broken(self) -> int:
            raise RuntimeError("no")

    assert leaves(Raises()) == {"x.fine": 1}


def test_numbers_that_pytorch_lacks_are_found() -> None:
    assert leaves(np.array([1 + 2j]))["x"].tolist() == [1 + 2j]
    swapped = np.array([1, 2], dtype=">i4")
    assert leaves(swapped)["x[values]"] == (1, 2)


def test_what_lies_on_a_device_is_fetched_in_one_piece(monkeypatch) -> None:
    """Each fetching waits for the device. A device is played: its tensors take the way of those that are far."""
    base = torch.arange(24)
    shared = base.to(torch.float64)
    held = {
        "nan": torch.tensor([1.0, float("nan"), -0.0]),
        "bfloat16": base.to(torch.bfloat16),
        "float8": base[:5].to(torch.float32).to(torch.float8_e4m3fn),
        "bool": base % 3 == 0,
        "int8": base[:3].to(torch.int8),
        "complex": base.to(torch.complex64),
        "transposed": base.reshape(4, 6).T,
        "every other": base[1::2],
        "number": torch.tensor(7, dtype=torch.int16),
        "empty": torch.zeros(0, 3),
        "shared": [shared, shared],
        "rows": torch.arange(70_000),
        "not far": 5,
    }
    near = leaves(held)
    fetched: list[int] = []
    cat = torch.cat
    monkeypatch.setattr(leaves_module, "_is_far", lambda tensor: True)
    monkeypatch.setattr(torch, "cat", lambda parts: fetched.append(len(parts)) or cat(parts))
    far = leaves(held)
    assert fetched == [11], "what has two names is fetched once, and what is kept as digests apart"
    assert list(far) == list(near)
    assert [path for path in near if difference_of(near[path], far[path])] == []
    assert far["x[transposed]"].is_contiguous()
    assert far["x[shared][0]"] is far["x[shared][1]"]
    shared += 1
    assert far["x[shared][0]"][0] == 0, "they are copies"


def test_digests_do_not_depend_on_how_much_is_fetched_at_once(monkeypatch) -> None:
    tensors = [torch.arange(70_000), torch.arange(70_000.0).reshape(700, 100), torch.arange(70_000).reshape(2, -1)]
    whole = [rows_of(tensor) for tensor in tensors]
    monkeypatch.setattr("harness.instrument.rows.AT_ONCE", 1000)
    assert [rows_of(tensor) for tensor in tensors] == whole
    assert len(whole[0].digests) == -(-70_000 // 256)
