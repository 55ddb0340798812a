"""The leaves of any object: every tensor, array, number and text in it, each with the path that leads there.

Tensors are copied, since an engine writes its buffers again. Ids of requests are renamed by order of appearance, since
no two passes have the same. Types count: a numpy number is none of Python's, and a tuple no list. What differs by right
(times, locks, statistics, functions) or is huge (KV caches, weights) is passed over, by its type or its name.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import os
import re
import types
from collections import deque
from collections.abc import Hashable, Mapping, Set
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import torch

from harness.instrument.rows import ROWS_FROM, Rows, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CUT", "DEPTH", "LIMIT", "TYPE", "Leaf", "Typed", "Walk"]

DEPTH: Final = 9
"""How deep objects are looked into; what lies deeper is left out, and `cut` says where."""
LIMIT: Final = 100_000
"""Leaves of one object; what comes after them is left out, and `cut` says so."""
CUT, TYPE = ".cut", ".type"
"""Ends of paths: of what was not looked into, and of the type of what is no plain list, dict or tensor."""

Leaf: TypeAlias = "torch.Tensor | Rows | tuple[Any, ...] | complex | float | str | bytes | None"
"""What stands at a path: a copy of a tensor, what is left of a huge one, plain values in a row, or one plain value."""

PLAIN: Final[tuple[Any, ...]] = (bool, int, float, complex, bytes)
SINGLES: Final[tuple[Any, ...]] = (
    *PLAIN, types.NoneType, str, enum.Enum, np.generic, type, torch.dtype, torch.device, torch.layout, np.dtype,
    os.PathLike,
)  # fmt: skip
FUNCTIONS: Final = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType, types.ModuleType,
    types.GeneratorType, types.CoroutineType, types.CodeType, functools.partial, torch.nn.Module,
)  # fmt: skip
SKIPPED_TYPES: Final = frozenset(
    {
        "lock", "RLock", "Lock", "Condition", "Semaphore", "Event", "Stream", "Future", "Thread", "Process", "Queue",
        "SimpleQueue", "Logger", "ReferenceType", "LogitsProcessors", "UvaBufferPool", "BlockPool", "ProcessGroup",
        "GroupCoordinator", "CUDAGraph", "Connection", "socket",
    }
)  # fmt: skip
"""Names of classes (their own, or of one above) of which nothing is looked at; what is asked for itself always is."""
SKIPPED_NAMES: Final = frozenset(
    {
        "events", "trace_headers", "no_compile_layers", "logitsprocs", "kv_cache", "kv_caches", "prev_free_block",
        "next_free_block", "pid", "iteration_details", "weight_version",
    }
)  # fmt: skip
SKIPPED_ENDINGS: Final = re.compile(r"(^|_)(time|times|timestamp|timestamps|stats|ptr|ptrs|pointers|config)$")
"""Of names: times and statistics are of this pass alone, and addresses of this process."""


class Typed(str):
    """A type, or a number with its type, as it is told."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Walk:
    """Goes through objects; remembers the names that it gave to requests, so one walk serves a whole pass.

    Args:
        rows_from: tensors of more elements are kept as one digest a row.
    """

    def __init__(self, rows_from: int = ROWS_FROM) -> None:
        self._rows_from = rows_from
        self._names: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        """Every path once, or a pass would hold the same texts again for each of its steps."""

    def register(self, request_ids: Iterable[str]) -> None:
        """From now on these are called `req#0`, `req#1` and so on, in this order after those known before."""
        for request_id in request_ids:
            self._names.setdefault(request_id, f"req#{len(self._names)}")

    def leaves(self, value: Any, path: str = "", depth: int = DEPTH, limit: int = LIMIT) -> dict[str, Leaf]:
        """All leaves by path, in the object's own order."""
        visit = _Visit(self._names, self._rows_from, limit, path)
        visit.go(value, path, depth)
        visit.fetch()
        visit.found |= dict.fromkeys((f"{at}{CUT}" for at in visit.cut), True)
        return {self._paths.setdefault(name, name): leaf for name, leaf in visit.found.items()}


class _Visit:
    """One walk through one object; whoever changes what is in it must wait until it is over."""

    def __init__(self, names: dict[str, str], rows_from: int, limit: int, root: str) -> None:
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

    def go(self, value: Any, path: str, depth: int) -> None:
        if len(self.found) >= self._limit:
            self.cut = {self._root: None}
        elif isinstance(value, torch.Tensor):
            self._copy(value, path)
        elif isinstance(value, np.ndarray):
            self._array(value, path, depth)
        elif _is_single(value):
            self.found[path] = self._single(value)
        elif isinstance(value, Set):
            self.found[path] = self._sorted(value, path)
            self._note_type(value, path)
        elif isinstance(value, list | tuple | deque) and all(map(_is_single, value)) and not hasattr(value, "_fields"):
            self.found[path] = tuple(map(self._single, value))
            self._note_type(value, path)
        elif isinstance(value, torch.Generator):  # how often it was asked shows in its state
            self._object({"state": value.get_state()}, path, depth)
        elif id(value) in self._above or isinstance(value, FUNCTIONS):
            return
        elif depth <= 0:
            self.cut[path] = None
        else:
            self._above.add(id(value))
            self._object(value, path, depth)
            self._above.discard(id(value))

    def _object(self, value: Any, path: str, depth: int) -> None:
        if isinstance(value, Mapping):
            self.found[f"{path}.keys"] = tuple(self._told(key, path) for key in value)
            self._note_type(value, path)
            parts = [
                (f"{path}[{self._told(key, path)}]", part) for key, part in value.items() if not _is_skipped_name(key)
            ]
        elif isinstance(value, list | tuple | deque) and not hasattr(value, "_fields"):
            self.found[f"{path}.len"] = len(value)
            self._note_type(value, path)
            parts = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
        else:
            parts = [(f"{path}.{name}", part) for name, part in _attributes(value) if not _is_skipped_name(name)]
        for name, part in parts:
            kind: Any = type(part)
            if not _is_skipped_type(kind):
                self.go(part, name, depth - 1)

    def _note_type(self, value: Any, path: str) -> None:
        """Note a container's type, unless it is the plain one of its kind."""
        kind: Any = type(value)
        if kind not in (list, dict):
            self.found[f"{path}{TYPE}"] = _type_name(kind)

    def _array(self, value: np.ndarray[Any, Any], path: str, depth: int) -> None:
        tensor = _tensor(value)
        if tensor is not None:
            self._copy(tensor, path)
            self._note_type(value, path)
            return
        self.go({"dtype": str(value.dtype), "shape": value.shape, "values": value.reshape(-1).tolist()}, path, depth)

    def _copy(self, tensor: torch.Tensor, path: str) -> None:
        """A copy on the CPU. What lies at one place in memory is copied once, under whatever names."""
        if tensor.device.type == "meta" or tensor.layout is not torch.strided:
            self.found[path] = f"{tensor.dtype} {list(tensor.shape)} {tensor.layout} on {tensor.device}"
            return
        key = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
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
            self._copies[key] = tensor.to("cpu", copy=True).contiguous()

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

    def _single(self, value: Any) -> Any:
        if type(value) is str:
            return self._names.get(value, value)
        if value is None or type(value) in PLAIN:
            return value
        if isinstance(value, enum.Enum):
            return f"{type(value).__name__}.{value.name}"
        if isinstance(value, np.generic):
            plain = value.item()
            return Typed(f"{type(value).__name__}({plain!r})") if isinstance(plain, PLAIN) else str(value)
        if isinstance(value, type):
            return value.__qualname__
        for kind in PLAIN:  # a class below one of these
            if isinstance(value, kind):
                return kind(value)
        return self._names.get(str(value), str(value))

    def _told(self, key: Any, path: str) -> str:
        """A key, or a member of a set, as text: of an object only its type, so that it is not looked into."""
        if isinstance(key, tuple):
            return f"({', '.join(self._told(part, path) for part in key)})"
        if isinstance(key, np.generic):  # it is the same key as the number
            return str(key)
        if _is_single(key):
            return str(self._single(key))
        self.cut[path] = None
        return type(key).__name__

    def _sorted(self, values: Set[Any], path: str) -> Leaf:
        if all(type(value) is int for value in values):
            return tuple(sorted(values))
        return tuple(sorted(self._told(value, path) for value in values))


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


def _is_single(value: Any) -> bool:
    kind: type = type(value)
    return _is_single_type(kind)


@functools.cache  # asked of every element of every list; `PathLike` looks for a method each time
def _is_single_type(kind: type) -> bool:
    return issubclass(kind, SINGLES)


@functools.cache
def _type_name(kind: type) -> Typed:
    return Typed(kind.__name__)


def _is_skipped_name(name: Any) -> bool:
    return isinstance(name, str) and _has_skipped_name(name)


@functools.cache
def _has_skipped_name(name: str) -> bool:
    return name in SKIPPED_NAMES or SKIPPED_ENDINGS.search(name) is not None


@functools.cache
def _is_skipped_type(kind: Hashable) -> bool:
    names = {above.__name__ for above in getattr(kind, "__mro__", ())}
    return bool(names & SKIPPED_TYPES) and "Enum" not in names


def _attributes(value: Any) -> list[tuple[str, Any]]:
    """What an object holds: its fields, its dictionary and its slots, without anything that a property makes."""
    kind = type(value)
    if isinstance(value, tuple):  # a named one
        return list(zip(kind._fields, value, strict=True))
    names: dict[str, None] = {}
    if dataclasses.is_dataclass(value):
        names |= dict.fromkeys(field.name for field in dataclasses.fields(value))
    names |= dict.fromkeys(_attribute(value, "__dict__", ()))
    names |= dict.fromkeys(getattr(kind, "__struct_fields__", ()))  # msgspec's
    for above in reversed(kind.__mro__):
        slots = vars(above).get("__slots__", ())
        names |= dict.fromkeys([slots] if isinstance(slots, str) else slots)
    missing = object()
    held = [(name, _attribute(value, name, missing)) for name in names if name not in ("__dict__", "__weakref__")]
    return [(name, part) for name, part in held if part is not missing]


def _attribute(value: Any, name: str, missing: Any) -> Any:
    try:
        return getattr(value, name, missing)
    except Exception:  # noqa: BLE001 (a field can be hidden by a property, which may raise anything)
        return missing
