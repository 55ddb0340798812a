"""What two leaves differ in, element by element, as bits: 0.0 is not -0.0; only NaN equals every NaN."""

from __future__ import annotations

import math
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from harness.instrument.leaves import Typed
from harness.instrument.rows import Rows, content

if TYPE_CHECKING:
    from harness.instrument.leaves import Leaf

__all__ = ["Found", "difference_of", "form", "plain"]

EXACT: Final = frozenset({bool, int, str, bytes, types.NoneType})
"""Types of which values that are equal are the same bits, unlike 0.0 and -0.0."""
AS_INTEGERS: Final = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Types by whose numbers the bits of any other type can be compared, by the size of an element in bytes."""
LONGEST: Final = 80
"""Characters of a value that is told."""


@dataclass(frozen=True)
class Found:
    """The first element that differs: where, and what is there; `differ` of `of` elements do."""

    index: list[int] | None
    expected: bool | int | float | str | None
    found: bool | int | float | str | None
    differ: int = 1
    of: int = 1


def difference_of(expected: Leaf, found: Leaf) -> Found | None:
    """The first difference, or None where there is none. Types, dtypes and shapes count as well."""
    if expected is found or (type(expected) in EXACT and type(found) is type(expected) and expected == found):
        return None
    if isinstance(expected, torch.Tensor) and isinstance(found, torch.Tensor):
        if (expected.dtype, expected.shape) != (found.dtype, found.shape):
            return Found(None, form(expected), form(found))
        return _in_tensors(expected, found)
    if isinstance(expected, Rows) and isinstance(found, Rows):
        return _in_rows(expected, found)
    if isinstance(expected, tuple) and isinstance(found, tuple):
        return _in_tuples(expected, found)
    return None if _same(expected, found) else Found(None, *_told(expected, found))


def form(tensor: torch.Tensor | Rows) -> str:
    """A tensor's type and shape."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def plain(value: Any) -> bool | int | float | str | None:
    """A single value as it is told: numbers as they are, anything else as a text that is not long."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, torch.Tensor | Rows):
        return form(value)
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _in_tensors(expected: torch.Tensor, found: torch.Tensor) -> Found | None:
    if _have_same_bits(expected, found) or content(expected) == content(found):
        return None
    differ = _differing(expected, found).reshape(expected.shape)
    index = [int(place) for place in differ.nonzero()[0]]
    one, other = expected[tuple(index)].item(), found[tuple(index)].item()
    return Found(index or None, *_told(one, other), int(differ.sum()), expected.numel())


def _have_same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether all bits are alike; looked at first, since it is quick, and one NaN is nearly always like another."""
    integers = AS_INTEGERS.get(one.element_size())
    return integers is not None and torch.equal(one.view(integers), other.view(integers))


def _differing(expected: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Which elements are not the same bits."""
    size = expected.element_size()
    one, other = (
        torch.frombuffer(bytearray(content(tensor)), dtype=torch.uint8).reshape(-1, size)
        for tensor in (expected, found)
    )
    return (one != other).any(dim=1)


def _in_rows(expected: Rows, found: Rows) -> Found | None:
    if (expected.dtype, expected.shape) != (found.dtype, found.shape):
        return Found(None, form(expected), form(found))
    if expected.digests == found.digests:
        return None
    differ = [at for at, (one, other) in enumerate(zip(expected.digests, found.digests, strict=True)) if one != other]
    first = differ[0]
    told = [f"rows with digest {rows.digests[first].hex()}" for rows in (expected, found)]
    return Found([first * expected.each], told[0], told[1], len(differ), len(expected.digests))


def _in_tuples(expected: tuple[Any, ...], found: tuple[Any, ...]) -> Found | None:
    if len(expected) != len(found):
        return Found(None, f"{len(expected)} elements", f"{len(found)} elements")
    kinds = list(map(type, expected))
    if expected == found and kinds == list(map(type, found)) and EXACT.issuperset(kinds):
        return None
    differ = [at for at, (one, other) in enumerate(zip(expected, found, strict=True)) if not _same(one, other)]
    if not differ:
        return None
    first = differ[0]
    return Found([first], *_told(expected[first], found[first]), len(differ), len(expected))


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (one == other and math.copysign(1, one) == math.copysign(1, other)) or (one != one and other != other)
    return bool(one == other)


def _told(one: Any, other: Any) -> tuple[Any, Any]:
    """Both values; where they read alike, with their types."""
    told = plain(one), plain(other)
    if type(one) is type(other) and not isinstance(one, torch.Tensor):
        return told
    return _with_type(one, told[0]), _with_type(other, told[1])


def _with_type(value: Any, told: Any) -> str:
    return str(value) if isinstance(value, Typed) else f"{type(value).__name__} {told}"
