"""What the thread of issue #6879 says, compared with what was measured here; and questions of our own.

A claim on speed holds where every round of every row bears it out, does not where every round contradicts it, and is
not resolved otherwise. Within a twentieth, one is as fast as the other.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from harness.micro.results import growth_exponent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from harness.micro.results import Results
    from harness.micro.timing import MeasuredRow

__all__ = ["AS_PUBLISHED", "Claim", "claims"]

AS_PUBLISHED: Final = "array('l') as int"
"""The thread's array to a device: items of 8 bytes, read as 4."""
ALIKE: Final = 1.05
STEADY: Final = 1.5
"""A time that grows by less than this, while the size grows a hundredfold or more, does not grow with the size."""
NEAR: Final = 0.1
"""How far a fitted exponent may lie from a whole one, besides the fit's own error."""


@dataclass(frozen=True)
class Claim:
    """One claim: what was said, whether it holds, and what was measured.

    `verdict` is `holds`, `does not hold`, `not resolved`, or why there is none: `not measured`, `not like for like`.
    `ours` is true where nobody claimed it in the thread.
    """

    said: str
    verdict: str
    measured: str
    ours: bool = False

    def __str__(self) -> str:
        return f"{'asked here: ' if self.ours else ''}{self.said}: {self.measured}"


def claims(results: Results) -> list[Claim]:
    """The claims on a benchmark; none of those whose rows were not measured."""
    found: dict[str, Callable[[Results], Iterable[Claim | None]]] = {
        "to_gpu": _to_gpu, "to_cpu": _to_cpu, "operations": _operations, "concat": _concat,
        "incremental": _incremental, "copy_to_gpu": _copy_to_gpu,
    }  # fmt: skip
    return [claim for claim in found[results.benchmark](results) if claim is not None] if results.rows else []


def _to_gpu(results: Results) -> Iterable[Claim | None]:
    yield _speed("an array becomes a device tensor faster than a list, at any size", "faster", results.rows, "array")
    if wrong := [row for row in results.rows if AS_PUBLISHED in row.unequal]:
        told = f"for {wrong[-1].label} items the array's has {wrong[-1].unequal[AS_PUBLISHED]}"
        yield Claim("both published columns make the same tensor", "does not hold", told, ours=True)
    if results.device == "cpu":
        why = "the config asks for the CPU" if results.has_gpu else "PyTorch has no GPU here"
        told = f"{why}; to the CPU an array's tensor need not be copied at all"
        yield Claim("the same is won on a GPU", "not measured", told)


def _to_cpu(results: Results) -> Iterable[Claim | None]:
    yield _speed("list_with_array is faster than list", "faster", results.rows, "list_with_array")
    said = "array2 is no faster than list_with_array"
    yield _speed(said, "no faster", results.rows, "array2", "list_with_array")
    rounds = [seconds * 1e6 for row in results.rows for seconds in row.timings["array"].rounds_s]
    if len(results.rows) > 1:
        yield Claim(
            "an array becomes a tensor in the same time, whatever its size",
            "holds" if max(rounds) < STEADY * min(rounds) else "does not hold",
            f"{min(rounds):.2g} to {max(rounds):.2g} us",
        )


def _copy_to_gpu(results: Results) -> Iterable[Claim | None]:
    for state in ("idle", "busy"):
        rows = [row for row in results.rows if row.label.endswith(state)]
        said = f"a copy by way of pin_memory costs the host more than one from pageable memory, GPU {state}"
        yield _speed(said, "slower", rows, "pin_memory", ours=True)
        said = f"a copy from a kept pinned buffer costs the host less than one from pageable memory, GPU {state}"
        yield _speed(said, "faster", rows, "kept buffer", ours=True)


def _operations(results: Results) -> Iterable[Claim | None]:
    def only(beginning: str) -> list[MeasuredRow]:
        return [row for row in results.rows if row.label.startswith(beginning)]

    for operation in ("init", "append", "assign"):
        yield _speed(f"{operation} is slower on an array", "slower", only(operation), "array")
    if published := results.row("extend, as published"):
        yield Claim("extend is 88 times as expensive on an array", "not like for like", published.note)
    yield _speed(
        "extend by a list is slower for an array than for a list", "slower", only("extend, from a list"), "array"
    )
    yield _speed("extend is slower for an array, also by its own type", "slower", only("extend, same type"), "array")
    said = "index is slower on an array, which boxes each item (asked in the thread, not measured there)"
    yield _speed(said, "slower", only("index"), "array")
    yield _speed("to_torch is faster from an array", "faster", only("to_torch"), "array")


def _concat(results: Results) -> Iterable[Claim | None]:
    for length in dict.fromkeys(row.label.partition(" of ")[2] for row in results.rows):
        rows = [row for row in results.rows if row.label.endswith(f" of {length}")]
        said = f"torch.cat of torch.frombuffers is faster than a list, for pieces of {length}"
        yield _speed(said, "faster", rows, "cat of frombuffers", ours=True)
    said = "one array, extended by arrays, is faster than a list"
    yield _speed(said, "faster", results.rows, "array.extend(array)", ours=True)


def _incremental(results: Results) -> Iterable[Claim | None]:
    sizes = [row.size for row in results.rows if row.size is not None]
    for column, expected in (("list", 2), ("array", 1)):
        exponent = growth_exponent(sizes, [row.timings[column].median_s for row in results.rows])
        if exponent is None:
            continue
        near = abs(exponent.value - expected) <= NEAR + exponent.error
        yield Claim(
            f"a tensor after each append of N takes O(N{'^2' if expected == 2 else ''}) with {column}",
            "holds" if near else "does not hold",
            f"grows as N to the power of {exponent.value:.2f} +-{exponent.error:.2f}",
        )


def _speed(
    said: str,
    claimed: Literal["faster", "slower", "no faster"],
    rows: Sequence[MeasuredRow],
    column: str,
    to: str = "",
    ours: bool = False,
) -> Claim | None:
    """Whether a column is as claimed in all of these rows, against the first one or against `to`."""
    equal = [row for row in rows if column not in row.unequal]
    ratios = [ratio for row in equal for ratio in row.ratios(column, to)]
    if not ratios:
        return None
    faster, slower = min(ratios) > ALIKE, max(ratios) < 1 / ALIKE
    alike = min(ratios) >= 1 / ALIKE and max(ratios) <= ALIKE
    holds, refuted = {
        "faster": (faster, slower or alike),
        "slower": (slower, faster or alike),
        "no faster": (max(ratios) <= ALIKE, faster),
    }[claimed]
    verdict = "holds" if holds else "does not hold" if refuted else "not resolved"
    medians = [statistics.median(row.ratios(column, to)) for row in equal]
    against = f" of {to}" if to else ""
    return Claim(
        said, verdict, f"{_range(medians)} times the speed{against}{', by row' if len(equal) > 1 else ''}", ours
    )


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:,.0f}" if value >= 10 else f"{value:.2g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
