"""Figures with as many digits as they are worth."""

from __future__ import annotations

__all__ = ["significant"]


def significant(value: float, digits: int) -> str:
    """As the format `.2g` and its like, written out: 400 and not 4e+02, 25,450 and not 2.545e+04."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10**digits else f"{rounded:g}"
