"""The fingerprint of a pass: all that each step prepares and gives back, leaf by leaf, and what two of them differ in.

A step's leaves have paths that begin with the stage of the data flow that they were seen at. The first difference is
told in the order of that flow, so that a wrong block is told where it is made, not as the logits that it spoils.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Final, TypeVar

from harness.instrument.elements import Found, difference_of
from harness.instrument.leaves import CUT, TYPE, Typed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from harness.instrument.leaves import Leaf

__all__ = [
    "STAGES", "STEPS", "Difference", "Fingerprint", "cut_in", "first_difference", "form_of", "generic", "in_order",
    "not_repeated", "unlike",
]  # fmt: skip

STAGES: Final = (
    "scheduler_output", "batch", "model", "context", "sampling", "logits", "calls", "sampled", "model_output",
    "outputs", "state",
)  # fmt: skip
"""Where leaves are seen, in the order of the data flow; the state that the runner keeps comes last.

What is in `state` and never leaves it may be uninitialised memory, so nothing of it is the first difference where
anything else differs in any step.
"""
STEPS: Final = "steps"
"""The field of a difference in the number of steps."""
INDICES: Final = re.compile(r"(?<=\[)\d+(?=\])|(?<=req#)\d+|(?<=\.)\d+(?=[.\]])")
KEYS: Final = re.compile(r"\[[^]]*\]")
NOTHING: Final = "nothing"
Kept = TypeVar("Kept")


@dataclass
class Fingerprint:
    """The leaves of every step of one pass, by path."""

    steps: list[dict[str, Leaf]] = field(default_factory=list)

    def __len__(self) -> int:
        """How many leaves there are."""
        return sum(map(len, self.steps))


@dataclass(frozen=True)
class Difference:
    """Where two passes first differ, and how.

    `index` is that of the element, or None where the whole differs: in its type or shape, or as a single value.
    `differ` of the field's `of` elements do.
    """

    step: int
    field: str
    index: list[int] | None
    expected: bool | int | float | str | None
    found: bool | int | float | str | None
    differ: int = 1
    of: int = 1

    def told(self) -> str:
        """In one line, without the step."""
        place = "" if self.index is None else str(self.index).replace(" ", "")
        share = f" ({self.differ} of {self.of} differ)" if self.of > 1 else ""
        return f"`{self.field}{place}`: expected {self.expected}, found {self.found}{share}"


@functools.lru_cache(maxsize=2**16)  # the same paths come in every step of every pass
def generic(path: str) -> str:
    """A path's field: the same for all requests, layers and places in a list."""
    return INDICES.sub("*", path)


def form_of(path: str) -> str:
    """A path's form: the same for all keys as well."""
    return KEYS.sub("[*]", generic(path))


def first_difference(native: Fingerprint, other: Fingerprint, left_out: Collection[str] = ()) -> Difference | None:
    """The first step and field in which `other` is not `native`.

    Args:
        native: what is expected.
        other: what was found.
        left_out: what does not count: paths, fields as `generic` gives them, or such with `[*]` for any key; with each
            all that is below it.
    """
    return in_order(native.steps, other.steps, left_out, difference_of)


def not_repeated(fingerprints: Sequence[Fingerprint]) -> frozenset[str]:
    """The fields in which passes that should be the same differ among themselves.

    They are whole fields, since what is uninitialised in one pass is so at another place in the next. `STEPS` is among
    them where the number of steps differs: such passes cannot be compared step by step at all.
    """
    return unlike([fingerprint.steps for fingerprint in fingerprints], difference_of)


def unlike(
    passes: Sequence[Sequence[Mapping[str, Kept]]], compare: Callable[[Kept, Kept], Found | None]
) -> frozenset[str]:
    """The fields in which any two of these passes differ."""
    fields: set[str] = set()
    for one, other in combinations(passes, 2):
        if len(one) != len(other):
            fields.add(STEPS)
        for expected, found in zip(one, other, strict=False):
            fields |= {generic(path) for path, _ in _differing(expected, found, compare)}
    return frozenset(fields)


def _differing(
    expected: Mapping[str, Kept], found: Mapping[str, Kept], compare: Callable[[Kept, Kept], Found | None]
) -> Iterator[tuple[str, Found | None]]:
    """The paths of a step in which two passes differ, and how: None where only one has it, the other's at the end."""
    for path, kept in expected.items():
        if path not in found:
            yield path, None
        elif (other := found[path]) is not kept and (told := compare(kept, other)) is not None:
            yield path, told
    if found.keys() != expected.keys():
        yield from ((path, None) for path in found if path not in expected)


def in_order(
    native: Sequence[Mapping[str, Kept]],
    other: Sequence[Mapping[str, Kept]],
    left_out: Collection[str],
    compare: Callable[[Kept, Kept], Found | None],
) -> Difference | None:
    """The first difference of two passes' steps by the order of steps, then of stages, then of native's own fields."""
    ignored = _LeftOut(left_out)
    in_state: Difference | None = None
    for step, (expected, found) in enumerate(zip(native, other, strict=False)):
        differing = {path: told for path, told in _differing(expected, found, compare) if path not in ignored}
        for path in _by_stage(differing):
            if path.startswith("state") and in_state is not None:
                continue
            if (told := differing[path]) is not None:
                difference = Difference(step, path, told.index, told.expected, told.found, told.differ, told.of)
            elif path not in expected:
                difference = Difference(step, path, None, _missing(expected, path), _kind(found[path]))
            else:
                difference = Difference(step, path, None, _kind(expected[path]), _missing(found, path))
            if not path.startswith("state"):
                return difference
            in_state = difference
    if len(native) != len(other) and STEPS not in ignored:
        return Difference(min(len(native), len(other)), STEPS, None, len(native), len(other))
    return in_state


class _LeftOut:
    """The paths that do not count."""

    def __init__(self, fields: Collection[str]) -> None:
        self._fields = [(field, f"{field}.", f"{field}[") for field in fields]
        self._known: dict[str, bool] = {}

    def __contains__(self, path: str) -> bool:
        if path not in self._known:
            forms = (path, generic(path), KEYS.sub("[*]", path), form_of(path))
            self._known[path] = any(
                form == field or form.startswith((dot, bracket))
                for form in forms
                for field, dot, bracket in self._fields
            )
        return self._known[path]


def _by_stage(differing: Iterable[str]) -> Iterator[str]:
    """Paths of a step by stage; inside a stage in the order in which they are given."""
    stages: dict[str, list[str]] = {stage: [] for stage in STAGES}
    for path in differing:
        stages.setdefault(path.partition(".")[0].partition("[")[0], []).append(path)
    last = stages.pop(STAGES[-1])
    for paths in (*stages.values(), last):
        yield from paths


def cut_in(steps: Iterable[Iterable[str]]) -> list[str]:
    """The fields, of the paths in each step, that say what was not looked into."""
    return sorted({generic(path) for step in steps for path in step if path.endswith(CUT)})


def _missing(step: Mapping[str, object], path: str) -> str:
    """What there is in place of a path: a container whose type is not told is the plain one of its kind."""
    base = path.removesuffix(TYPE)
    if base != path and hasattr(step.get(base), "shape"):
        return "Tensor"
    if base != path and (isinstance(step.get(base), tuple) or f"{base}.len" in step):
        return "list"
    return "dict" if base != path and f"{base}.keys" in step else NOTHING


def _kind(leaf: object) -> str:
    if isinstance(leaf, Typed):
        return str(leaf)
    shape = getattr(leaf, "shape", None)
    return type(leaf).__name__ if shape is None else f"a tensor {list(shape)}"
