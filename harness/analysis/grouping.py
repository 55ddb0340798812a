"""Rows grouped by numpy: what pandas' groupby does, without an import that takes longer than the grouping."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Groups", "grain_of"]


def grain_of(protocol: Mapping[str, Any]) -> str:
    """Where arms changed: from `step` to step, from `pass` to pass, or from `launch` to launch.

    `auto` stays in run.json where everything could be switched in the living engine.
    """
    grain = str(protocol["grain"])
    return "step" if grain == "auto" else grain


class Groups:
    """Rows that agree in all of the given columns: those of one pass, for example, or of one step under one arm.

    Attributes:
        of: the group of each row, shape [rows]; groups of a single column of numbers are in ascending order.
        sizes: rows of each group, shape [groups].
    """

    def __init__(self, *columns: NDArray[Any]) -> None:
        together = np.zeros(len(columns[0]), dtype=np.int64)
        for column in columns:
            numbers = _numbers(column)
            together = together * (numbers.max(initial=0) + 1) + numbers
        self.of, self.sizes = _counted(together)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The sum of each group, shape [groups]; exact for whole numbers."""
        return np.asarray(np.bincount(self.of, weights=values), dtype=np.float64)

    def medians(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The median of each group, shape [groups]."""
        ordered = values[np.lexsort((values, self.of))] if self._order is None else np.sort(values[self._order]).ravel()
        begin = np.cumsum(self.sizes) - self.sizes
        return np.asarray((ordered[begin + (self.sizes - 1) // 2] + ordered[begin + self.sizes // 2]) / 2)

    def usual(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """For each row the median of its group, shape [rows]."""
        return self.medians(values)[self.of]

    @functools.cached_property
    def _order(self) -> NDArray[np.int64] | None:
        """The rows of each group, shape [groups, rows of one], where all have as many, as in a whole run.

        Then a median sorts each group's values by themselves, five times as fast as all rows by group and value.
        """
        if not len(self.sizes) or self.sizes.min() < self.sizes.max():
            return None
        small = self.of.astype(np.min_scalar_type(len(self.sizes)))  # which numpy sorts by radix
        return np.argsort(small, kind="stable").reshape(len(self.sizes), -1)


def _numbers(column: NDArray[Any]) -> NDArray[np.int64]:
    """Whole numbers that are alike where the column's values are."""
    if column.dtype != object:
        return _counted(column)[0]
    known = {value: number for number, value in enumerate(dict.fromkeys(column))}  # numpy would sort the strings
    return np.fromiter(map(known.__getitem__, column), dtype=np.int64, count=len(column))


def _counted(column: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The place of each row's value among the different ones in ascending order, and the rows of each of these.

    What is usual, whole numbers from 0 on of which few are left out, is counted; `np.unique` sorts, which takes ten
    times as long.
    """
    if column.dtype.kind in "bi" and len(column) and column.min() >= 0 and column.max() <= 4 * len(column):
        column = column.astype(np.int64)
        sizes = np.bincount(column)
        there = sizes > 0
        return (np.cumsum(there) - 1)[column], sizes[there]
    _, of, sizes = np.unique(column, return_inverse=True, return_counts=True)
    return of, sizes
