"""Figures of a profile as text: microseconds to the digit that their interval allows, with thousands told apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.analysis.intervals import Interval

__all__ = ["figure", "half_width"]


def figure(value: float, digits: int | None = None) -> str:
    """`1,234`, `56.7`, `0.89`: three significant digits below 100, and no decimals from there on.

    Args:
        value: to be shown.
        digits: so many decimals instead.
    """
    if digits is None:
        digits = 0 if abs(value) >= 99.95 else max(2 - _magnitude(value), 0)
    text = f"{value:,.{min(digits, 6)}f}"
    return text.lstrip("-") if not float(text.replace(",", "")) else text


def half_width(interval: Interval) -> str:
    """`1,234 ±56`: an estimate with its interval's half-width, which has two digits, and both end at the same one."""
    half = (interval.high - interval.low) / 2
    if not math.isfinite(half):
        return figure(interval.estimate)
    digits = max(1 - _magnitude(half), 0) if half else max(2 - _magnitude(interval.estimate), 0)
    return f"{figure(interval.estimate, digits)} ±{figure(half, digits)}"


def _magnitude(value: float) -> int:
    """The power of ten of the first digit; 0 for zero."""
    return math.floor(math.log10(abs(value))) if value else 0
