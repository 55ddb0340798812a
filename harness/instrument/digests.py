"""Fingerprints as text, so that passes of two processes can be compared by way of a file.

Small leaves stand there element by element, and the first difference is told as in one process; of larger ones there is
a digest, so that only the field is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from harness.instrument.elements import Found, form, plain
from harness.instrument.fingerprint import in_order, unlike
from harness.instrument.rows import Rows, digest, digest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from harness.instrument.fingerprint import Difference, Fingerprint
    from harness.instrument.leaves import Leaf

__all__ = ["Row", "digests", "first_difference_of_digests", "not_repeated_of_digests"]

SMALL: Final = 64
"""Elements of a leaf that is written out."""
LONGEST: Final = 1000
"""Characters of one."""
BETWEEN, AFTER_FORM, HASHED = ", ", ": ", " #"


class Row(NamedTuple):
    """A leaf of a step, as text."""

    step: int
    field: str
    text: str


def digests(fingerprint: Fingerprint) -> list[Row]:
    """All leaves as text, in the order in which they were seen."""
    return [
        Row(step, path, _text(leaf)) for step, leaves in enumerate(fingerprint.steps) for path, leaf in leaves.items()
    ]


def first_difference_of_digests(
    native: Iterable[tuple[int, str, str]], other: Iterable[tuple[int, str, str]], left_out: Collection[str] = ()
) -> Difference | None:
    """As `first_difference`, of what `digests` gave.

    Rows of one pass may come from several processes, one after the other: the engine core's, then its worker's.
    """
    return in_order(_steps(native), _steps(other), left_out, _difference_of_texts)


def not_repeated_of_digests(passes: Sequence[Iterable[tuple[int, str, str]]]) -> frozenset[str]:
    """As `not_repeated`, of what `digests` gave for each pass."""
    return unlike([_steps(rows) for rows in passes], _difference_of_texts)


def _steps(rows: Iterable[tuple[int, str, str]]) -> list[dict[str, str]]:
    steps: list[dict[str, str]] = []
    for step, path, text in rows:
        steps += [{} for _ in range(step + 1 - len(steps))]
        steps[step][path] = text
    return steps


def _text(leaf: Leaf) -> str:
    if isinstance(leaf, torch.Tensor):
        if leaf.numel() > SMALL:
            return f"{form(leaf)}{HASHED}{digest(leaf).hex()}"
        return f"{form(leaf)}{AFTER_FORM}{BETWEEN.join(map(repr, leaf.reshape(-1).tolist()))}"
    if isinstance(leaf, Rows):
        return f"{form(leaf)}{HASHED}{digest_of(b''.join(leaf.digests)).hex()}"
    if isinstance(leaf, tuple):
        head, elements = f"{len(leaf)} elements", BETWEEN.join(map(repr, leaf))
        if len(leaf) > SMALL or len(elements) > LONGEST:
            return f"{head}{HASHED}{digest_of(elements.encode()).hex()}"
        return f"{head}{AFTER_FORM}{elements}"
    text = repr(leaf)
    return text if len(text) <= LONGEST else f"{type(leaf).__name__}{HASHED}{digest_of(text.encode()).hex()}"


def _difference_of_texts(expected: str, found: str) -> Found | None:
    if expected == found:
        return None
    head, between, rest = expected.partition(AFTER_FORM)
    other_head, _, other_rest = found.partition(AFTER_FORM)
    one, other = rest.split(BETWEEN), other_rest.split(BETWEEN)
    if not between or head != other_head or len(one) != len(other) or HASHED in head:
        return Found(None, _cut(expected), _cut(found))
    differ = [at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    return Found(_index(differ[0], head), one[differ[0]], other[differ[0]], len(differ), len(one))


def _index(flat: int, head: str) -> list[int] | None:
    """The index of the element that is at `flat` in order, from a form as `form` gives it."""
    if not head.endswith("]"):
        return [flat]
    index: list[int] = []
    sizes = head[head.index("[") + 1 : -1]
    for size in reversed([int(size) for size in sizes.split(",") if size.strip()]):
        index.insert(0, flat % size)
        flat //= size
    return index or None


def _cut(text: str) -> Any:
    return text if len(text) <= SMALL else str(plain(text))
