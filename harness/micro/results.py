"""What a micro run measured, as data: read and written, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from harness.errors import RecordsError
from harness.micro.schema import MICRO_SCHEMA, MicroFile
from harness.micro.timing import MeasuredRow
from harness.records.checked import check, read_json
from harness.records.run_schema import MicroRunFile

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MICRO_SCHEMA", "Exponent", "Results", "growth_exponent", "read_micro"]


@dataclass(frozen=True)
class Results:
    """One benchmark's rows; `planned` is how many there were to be, `has_gpu` whether PyTorch had one."""

    benchmark: str
    title: str
    device: str
    has_gpu: bool
    planned: int
    rows: list[MeasuredRow]

    @property
    def columns(self) -> list[str]:
        """The columns, in their order; the first is what the others are compared with."""
        return list(self.rows[0].timings) if self.rows else []

    def row(self, beginning: str) -> MeasuredRow | None:
        """The first row whose label begins so."""
        return next((row for row in self.rows if row.label.startswith(beginning)), None)

    def as_dict(self) -> dict[str, Any]:
        """For micro.json."""
        return {**vars(self), "rows": [row.as_dict() for row in self.rows]}


def read_micro(folder: Path) -> tuple[dict[str, Any], list[Results]]:
    """Read run.json and micro.json.

    Raises:
        RecordsError: they are not there, of another version, or a key of them is missing or wrong.
    """
    contents = []
    for name, schema in (("run.json", MicroRunFile), ("micro.json", MicroFile)):
        try:
            contents.append(read_json(folder / name))
        except FileNotFoundError:
            raise RecordsError(f"{folder} holds no micro-benchmarks that can be read: there is no {name}") from None
        check(folder / name, contents[-1], schema)
    run, content = contents
    results = [
        Results(**{**each, "rows": [MeasuredRow.from_dict(row) for row in each["rows"]]})
        for each in content["benchmarks"]
    ]
    return run, results


@dataclass(frozen=True)
class Exponent:
    """Time grows as N to this power; `error` is the 95 % half-width of the fit."""

    value: float
    error: float


def growth_exponent(sizes: list[int], seconds: list[float]) -> Exponent | None:
    """Least squares on logarithms over the larger half of the sizes (small ones are all overhead); None below three.

    The half-width is Student's t on the residuals.
    """
    if len(sizes) < 3:
        return None
    kept = max(3, (len(sizes) + 1) // 2)
    fit = stats.linregress(np.log(sizes[-kept:]), np.log(seconds[-kept:]))
    return Exponent(float(fit.slope), float(stats.t.ppf(0.975, kept - 2) * fit.stderr))
