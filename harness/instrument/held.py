"""What a walk through an object has to know of each type: what it is to the walk, and what objects of it hold.

All of it is looked up once a type: a walk meets the same few types in every step.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import os
import re
import types
from collections import deque
from collections.abc import Mapping, Set
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch

__all__ = ["PLAIN", "Role", "held_by", "is_single", "is_skipped_name", "is_skipped_type", "role_of"]

PLAIN: Final[frozenset[Any]] = frozenset({bool, int, float, complex, bytes, types.NoneType})
"""Types whose values are leaves as they are."""
SINGLES: Final[tuple[Any, ...]] = (
    *PLAIN, str, enum.Enum, np.generic, type, torch.dtype, torch.device, torch.layout, np.dtype, os.PathLike,
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
MISSING: Final = object()

Role: TypeAlias = Literal["single", "tensor", "array", "set", "row", "mapping", "generator", "function", "object"]
"""What a value is to a walk: one leaf of its own, or how it is looked into; nothing is seen of a function."""
ROLES: Final[tuple[tuple[Role, tuple[Any, ...]], ...]] = (
    ("tensor", (torch.Tensor,)),
    ("array", (np.ndarray,)),
    ("single", SINGLES),
    ("set", (Set,)),
    ("row", (list, tuple, deque)),
    ("generator", (torch.Generator,)),
    ("function", FUNCTIONS),
    ("mapping", (Mapping,)),
)


@functools.cache
def role_of(kind: type) -> Role:
    """What values of a type are to a walk; a named tuple is an object."""
    for role, above in ROLES:
        if issubclass(kind, above) and not (role == "row" and hasattr(kind, "_fields")):
            return role
    return "object"


def is_single(kind: type) -> bool:
    """Whether a value of this type is one leaf."""
    return role_of(kind) == "single"


def is_skipped_name(name: Any) -> bool:
    """Whether what is held under this name differs by right, or is huge."""
    return isinstance(name, str) and _has_skipped_name(name)


@functools.cache
def _has_skipped_name(name: str) -> bool:
    return name in SKIPPED_NAMES or SKIPPED_ENDINGS.search(name) is not None


@functools.cache
def is_skipped_type(kind: type) -> bool:
    """Whether nothing is looked at of values of this type that another object holds."""
    names = {above.__name__ for above in kind.__mro__}
    return bool(names & SKIPPED_TYPES) and "Enum" not in names


def held_by(value: Any) -> list[tuple[str, Any]]:
    """What an object holds by name: its fields, its dictionary and its slots, but nothing that a property makes."""
    kind: Any = type(value)
    if isinstance(value, tuple):  # a named one
        return [held for held in zip(kind._fields, value, strict=True) if not is_skipped_name(held[0])]
    names = _names(kind, tuple(_attribute(value, "__dict__", ())))
    try:
        held = [(name, getattr(value, name, MISSING)) for name in names]
    except Exception:  # noqa: BLE001 (a field can be hidden by a property, which may raise anything)
        held = [(name, _attribute(value, name, MISSING)) for name in names]
    return [found for found in held if found[1] is not MISSING]


@functools.lru_cache(maxsize=2**12)
def _names(kind: type, own: tuple[str, ...]) -> tuple[str, ...]:
    """The names that a walk looks at, of an object of this type whose dictionary has these."""
    names: dict[str, None] = {}
    if dataclasses.is_dataclass(kind):
        names |= dict.fromkeys(field.name for field in dataclasses.fields(kind))
    names |= dict.fromkeys(own)
    names |= dict.fromkeys(getattr(kind, "__struct_fields__", ()))  # msgspec's
    for above in reversed(kind.__mro__):
        slots = vars(above).get("__slots__", ())
        names |= dict.fromkeys([slots] if isinstance(slots, str) else slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__") and not is_skipped_name(name))


def _attribute(value: Any, name: str, missing: Any) -> Any:
    try:
        return getattr(value, name, missing)
    except Exception:  # noqa: BLE001 (as above)
        return missing
