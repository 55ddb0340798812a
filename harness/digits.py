"""Figures with as many digits as are significant."""

from __future__ import annotations

__all__ = ["duration", "significant"]


def significant(value: float, digits: int) -> str:
    """Like the formats `.2g` or `.4g`, but written out: 400 and not 4e+02, 25,450 and not 2.545e+04."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10**digits else f"{rounded:g}"


def duration(seconds: float) -> str:
    """A duration for people to read: 8 s, 45 s, 2.5 min, 40 min, 3.2 h."""
    if seconds < 99.5:
        return f"{max(seconds, 1):.0f} s"
    minutes = seconds / 60
    return f"{significant(minutes, 2)} min" if minutes < 99.5 else f"{significant(minutes / 60, 2)} h"
