"""The leaves of any object: every tensor, array, number and text in it, each with the path that leads there.

Tensors are copied, since an engine writes its buffers again. Ids of requests are renamed by order of appearance, since
no two passes have the same. Types count: a numpy number is none of Python's, and a tuple no list. What differs by right
(times, locks, statistics, functions) or is huge (KV caches, weights) is passed over, by its type or its name.
"""

from __future__ import annotations

import enum
import functools
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import torch

from harness.instrument.held import PLAIN, held_by, is_single, is_skipped_name, is_skipped_type, role_of
from harness.instrument.rows import ROWS_FROM, Rows, rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from collections.abc import Set as AbstractSet

__all__ = ["CUT", "DEPTH", "LIMIT", "TYPE", "Leaf", "Typed", "Walk"]

DEPTH: Final = 9
"""How deep objects are looked into; what lies deeper is left out, and `cut` says where."""
LIMIT: Final = 100_000
"""Leaves of one object; what comes after them is left out, and `cut` says so."""
CUT, TYPE = ".cut", ".type"
"""Ends of paths: of what was not looked into, and of the type of what is no plain list, dict or tensor."""

Leaf: TypeAlias = "torch.Tensor | Rows | tuple[Any, ...] | complex | float | str | bytes | None"
"""What stands at a path: a copy of a tensor, what is left of a huge one, plain values in a row, or one plain value."""
BELOW_PLAIN: Final[tuple[Any, ...]] = (int, float, complex, bytes)
"""Of a class below one of these, the plain value is what counts."""


class Typed(str):
    """A type, or a number with its type, as it is told."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Place:
    """A path, and those below it: each is made once, since a walk comes to the same ones in every step."""

    __slots__ = ("_items", "_names", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._names: dict[str, Place] = {}
        self._items: dict[int | str, Place] = {}

    def name(self, name: str) -> Place:
        """Of what is held under this name."""
        place = self._names.get(name)
        if place is None:
            place = self._names[name] = Place(f"{self.path}.{name}")
        return place

    def item(self, key: int | str) -> Place:
        """Of what stands at this index, or under this key as it is told."""
        place = self._items.get(key)
        if place is None:
            place = self._items[key] = Place(f"{self.path}[{key}]")
        return place


class Walk:
    """Goes through objects; remembers the names that it gave to requests, so one walk serves a whole pass.

    Args:
        rows_from: tensors of more elements are kept as one digest a row.
    """

    def __init__(self, rows_from: int = ROWS_FROM) -> None:
        self._rows_from = rows_from
        self._names: dict[str, str] = {}
        self._places: dict[str, Place] = {}

    def register(self, request_ids: Iterable[str]) -> None:
        """From now on these are called `req#0`, `req#1` and so on, in this order after those known before."""
        for request_id in request_ids:
            self._names.setdefault(request_id, f"req#{len(self._names)}")

    def leaves(self, value: Any, path: str = "", depth: int = DEPTH, limit: int = LIMIT) -> dict[str, Leaf]:
        """All leaves by path, in the object's own order."""
        place = self._places.setdefault(path, Place(path))
        visit = _Visit(self._names, self._rows_from, limit, place)
        visit.go(value, place, depth)
        visit.fetch()
        return visit.found | {f"{at}{CUT}": True for at in visit.cut}


class _Visit:
    """One walk through one object; whoever changes what is in it must wait until it is over."""

    def __init__(self, names: dict[str, str], rows_from: int, limit: int, root: Place) -> None:
        self.found: dict[str, Leaf] = {}
        self.cut: dict[str, None] = {}
        """Where something was not looked into; the whole, where there was too much."""
        self._names, self._rows_from, self._limit, self._root = names, rows_from, limit, root
        self._copies: dict[tuple[Any, ...], Leaf] = {}
        self._held: list[torch.Tensor] = []
        """What was copied stays alive, so that nothing else comes to lie at its address meanwhile."""
        self._there: dict[tuple[Any, ...], torch.Tensor] = {}
        """What lies on a device and is fetched at the end, all of it together."""
        self._awaited: dict[str, tuple[Any, ...]] = {}
        self._above: set[int] = set()
        """Objects that this one is in: a cycle ends there. Shared ones are named wherever they are held."""

    def go(self, value: Any, place: Place, depth: int) -> None:
        kind: Any = type(value)
        if len(self.found) >= self._limit:
            self.cut = {self._root.path: None}
        elif kind in PLAIN:
            self.found[place.path] = value
        elif (role := role_of(kind)) == "single":
            self.found[place.path] = self._single(value)
        elif role == "tensor":
            self._copy(value, place)
        elif role == "array":
            self._array(value, place, depth)
        elif role == "set":
            self.found[place.path] = self._sorted(value, place)
            self._note_type(value, place)
        elif role == "row" and (singles := self._singles(value)) is not None:
            self.found[place.path] = singles
            self._note_type(value, place)
        elif role == "generator":  # how often it was asked shows in its state
            self._inside({"state": value.get_state()}, place, depth)
        elif role == "function" or id(value) in self._above:
            return
        elif depth <= 0:
            self.cut[place.path] = None
        else:
            self._above.add(id(value))
            self._inside(value, place, depth)
            self._above.discard(id(value))

    def _inside(self, value: Any, place: Place, depth: int) -> None:
        kind: Any = type(value)
        if (role := role_of(kind)) == "mapping":
            self.found[place.name("keys").path] = tuple(self._told(key, place) for key in value)
            self._note_type(value, place)
            parts = [
                (place.item(self._told(key, place)), part) for key, part in value.items() if not is_skipped_name(key)
            ]
        elif role == "row":
            self.found[place.name("len").path] = len(value)
            self._note_type(value, place)
            parts = [(place.item(index), part) for index, part in enumerate(value)]
        else:
            parts = [(place.name(name), part) for name, part in held_by(value)]
        for below, part in parts:
            kind = type(part)
            if kind in PLAIN or not is_skipped_type(kind):
                self.go(part, below, depth - 1)

    def _note_type(self, value: Any, place: Place) -> None:
        """Note a container's type, unless it is the plain one of its kind."""
        kind: Any = type(value)
        if kind not in (list, dict):
            self.found[f"{place.path}{TYPE}"] = _type_name(kind)

    def _array(self, value: np.ndarray[Any, Any], place: Place, depth: int) -> None:
        tensor = _tensor(value)
        if tensor is not None:
            self._copy(tensor, place)
            self._note_type(value, place)
            return
        self.go({"dtype": str(value.dtype), "shape": value.shape, "values": value.reshape(-1).tolist()}, place, depth)

    def _copy(self, tensor: torch.Tensor, place: Place) -> None:
        """A copy on the CPU. What lies at one place in memory is copied once, under whatever names."""
        path = place.path
        if tensor.device.type == "meta" or tensor.layout is not torch.strided:
            self.found[path] = f"{tensor.dtype} {list(tensor.shape)} {tensor.layout} on {tensor.device}"
            return
        key = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        self._awaited[path] = key
        self.found[path] = None  # in its place among the others
        if key in self._copies or key in self._there:
            return
        self._held.append(tensor)
        tensor = tensor.detach()
        if tensor.numel() > self._rows_from:
            self._copies[key] = rows_of(tensor)
        elif _is_far(tensor):
            self._there[key] = tensor
        else:
            self._copies[key] = tensor.clone(memory_format=torch.contiguous_format)

    def fetch(self) -> None:
        """Fetch what lies on devices: each fetching waits for one, and has to wait its turn where others use it."""
        for device in {tensor.device for tensor in self._there.values()}:
            keys = [key for key, tensor in self._there.items() if tensor.device == device]
            parts = [self._there[key].contiguous().reshape(-1).view(torch.uint8) for key in keys]
            fetched = torch.cat(parts).to("cpu")
            copies = torch.split(fetched, [part.numel() for part in parts])
            for key, copy in zip(keys, copies, strict=True):
                there = self._there[key]  # a clone has memory of its own, which begins where any type may
                self._copies[key] = copy.clone().view(there.dtype).reshape(there.shape)
        self.found |= {path: self._copies[key] for path, key in self._awaited.items()}

    def _singles(self, values: Collection[Any]) -> tuple[Any, ...] | None:
        """These values, each as `_single` gives it; None where one of them is more than a leaf."""
        kinds = set(map(type, values))
        if kinds <= PLAIN:
            return tuple(values)
        if kinds == {str}:
            return tuple(map(self._names.get, values, values))
        return tuple(map(self._single, values)) if all(map(is_single, kinds)) else None

    def _single(self, value: Any) -> Any:
        kind: Any = type(value)
        if kind is str:
            return self._names.get(value, value)
        if kind in PLAIN:
            return value
        if isinstance(value, enum.Enum):
            return f"{kind.__name__}.{value.name}"
        if isinstance(value, np.generic):
            plain = value.item()
            return Typed(f"{kind.__name__}({plain!r})") if isinstance(plain, BELOW_PLAIN) else str(value)
        if isinstance(value, type):
            return value.__qualname__
        for above in BELOW_PLAIN:
            if isinstance(value, above):
                return above(value)
        return self._names.get(str(value), str(value))

    def _told(self, key: Any, place: Place) -> str:
        """A key, or a member of a set, as text: of an object only its type, so that it is not looked into."""
        if isinstance(key, tuple):
            return f"({', '.join(self._told(part, place) for part in key)})"
        if isinstance(key, np.generic):  # it is the same key as the number
            return str(key)
        if is_single(type(key)):
            return str(self._single(key))
        self.cut[place.path] = None
        return type(key).__name__

    def _sorted(self, values: AbstractSet[Any], place: Place) -> Leaf:
        if all(type(value) is int for value in values):
            return tuple(sorted(values))
        return tuple(sorted(self._told(value, place) for value in values))


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor | None:
    """The same memory as a tensor, or a copy where PyTorch cannot use it; None for numbers that it does not have."""
    if array.dtype.kind not in "biufc":
        return None
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError):  # of another machine's order of bytes, for one
        return None


def _is_far(tensor: torch.Tensor) -> bool:
    """Whether copying it waits for a device."""
    return tensor.device.type != "cpu"


@functools.cache
def _type_name(kind: type) -> Typed:
    return Typed(kind.__name__)
