"""What the thread of issue #6879 says, held against what was measured here.

A claim holds where every round bears it out, does not where every round contradicts it, and is not resolved otherwise.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.micro.results import growth_exponent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.micro.results import Results
    from harness.micro.timing import MeasuredRow

__all__ = ["AS_PUBLISHED", "Claim", "claims"]

AS_PUBLISHED: Final = "array('l') as int"
"""The thread's array to a device: items of 8 bytes, read as 4."""
ALIKE: Final = 1.05
"""Within this factor either way, one is as fast as the other."""


@dataclass(frozen=True)
class Claim:
    """One claim: what was said, whether it holds, and what was measured.

    `verdict` is `holds`, `does not hold`, `not resolved`, or why there is none: `not measured`, `not like for like`.
    """

    said: str
    verdict: str
    measured: str


def claims(results: Results) -> list[Claim]:
    """The thread's claims on a benchmark; none of those whose rows were not measured."""
    found: dict[str, Callable[[Results], Iterable[Claim | None]]] = {
        "to_gpu": _to_gpu, "to_cpu": _to_cpu, "operations": _operations, "concat": _concat,
        "incremental": _incremental,
    }  # fmt: skip
    return [claim for claim in found[results.benchmark](results) if claim is not None] if results.rows else []


def _to_gpu(results: Results) -> Iterable[Claim | None]:
    yield _faster("an array becomes a device tensor faster than a list, at any size", results.rows, "array")
    wrong = [row for row in results.rows if AS_PUBLISHED in row.unequal]
    if wrong:
        told = f"for {wrong[-1].label} items the array's has {wrong[-1].unequal[AS_PUBLISHED]}"
        yield Claim("the published columns make the same tensor", "does not hold", told)
    if results.device == "cpu":
        yield Claim(
            "the same is won on a GPU",
            "not measured",
            "there is no GPU here: the device is the CPU, to which an array's tensor need not be copied at all",
        )


def _to_cpu(results: Results) -> Iterable[Claim | None]:
    yield _faster("list_with_array is faster than list, by about two", results.rows, "list_with_array")
    yield _slower("array2 is no faster than list_with_array", results.rows, "array2", "list_with_array")
    medians = [row.timings["array"].median_s * 1e6 for row in results.rows]
    yield Claim(
        "an array becomes a tensor in the same time, whatever its size",
        "holds" if max(medians) < 1.5 * min(medians) else "does not hold",
        f"{min(medians):.2g} to {max(medians):.2g} us",
    )


def _operations(results: Results) -> Iterable[Claim | None]:
    for operation in ("init", "append"):
        rows = [row for row in results.rows if row.label.startswith(operation)]
        yield _slower(f"{operation} is slower on an array", rows, "array")
    extend = {name: results.row(f"extend, {name}") for name in ("as published", "from a list", "same type")}
    if published := extend["as published"]:
        ratio = _range([1 / ratio for ratio in published.ratios("array")])
        yield Claim(
            "extend is 88 times as expensive on an array",
            "not like for like",
            f"as published {ratio} times as slow, but {published.note}",
        )
    if from_list := extend["from a list"]:
        yield _slower("extend of an array by a list is slower than of a list", [from_list], "array")
    if same := extend["same type"]:
        yield _slower("extend is slower on an array, also where both sides have its type", [same], "array")
    if index := results.row("index"):
        yield _slower("index is slower on an array, which boxes (asked, not measured there)", [index], "array")
    if to_torch := results.row("to_torch"):
        yield _faster("to_torch is faster from an array", [to_torch], "array")


def _concat(results: Results) -> Iterable[Claim | None]:
    joined = "cat of frombuffers"
    for length in dict.fromkeys(row.label.partition(" of ")[2] for row in results.rows):
        rows = [row for row in results.rows if row.label.endswith(f" of {length}")]
        if length == "1":
            said = "for pieces of 1, which are decodes, torch.cat of torch.frombuffers loses more than it wins"
            yield _slower(said, rows, joined)
        else:
            yield _faster(f"for pieces of {length} torch.cat of torch.frombuffers wins", rows, joined)
    yield _slower("one array, extended by arrays, is slower than a list", results.rows, "array.extend(array)")


def _incremental(results: Results) -> Iterable[Claim | None]:
    sizes = [row.size for row in results.rows if row.size is not None]
    for column, expected in (("list", 2), ("array", 1)):
        exponent = growth_exponent(sizes, [row.timings[column].median_s for row in results.rows])
        if exponent is None:
            continue
        near = abs(exponent.value - expected) < 0.25
        yield Claim(
            f"a tensor after each append of N takes O(N{'^2' if expected == 2 else ''}) with {column}",
            "holds" if near else "does not hold",
            f"grows as N to the power of {exponent.value:.2f} +-{exponent.error:.2f}",
        )


def _slower(said: str, rows: list[MeasuredRow], column: str, to: str = "") -> Claim | None:
    """Whether a column is not faster in any of these rows than the first one, or than `to`."""
    return _faster(said, rows, column, to, expected=False)


def _faster(said: str, rows: list[MeasuredRow], column: str, to: str = "", expected: bool = True) -> Claim | None:
    """Whether a column is faster in all of these rows than the first one, or than `to`."""
    if not rows:
        return None
    ratios = [ratio for row in rows if column not in row.unequal for ratio in row.ratios(column, to)]
    if not ratios:
        return None
    faster, slower = min(ratios) > ALIKE, max(ratios) < 1 / ALIKE
    alike = min(ratios) >= 1 / ALIKE and max(ratios) <= ALIKE
    verdict = "not resolved"
    if faster or slower or alike:
        verdict = "holds" if faster == expected else "does not hold"
    medians = [statistics.median(row.ratios(column, to)) for row in rows if column not in row.unequal]
    against = f" of {to}" if to else ""
    return Claim(said, verdict, f"{_range(medians)} times the speed{against}{'' if len(rows) == 1 else ', by row'}")


def _range(values: list[float]) -> str:
    low, high = (f"{value:,.0f}" if value >= 10 else f"{value:.2g}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
