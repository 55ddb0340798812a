"""An option that is a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from click.core import Context, Parameter

__all__ = ["Seconds"]

DAY: Final = 86_400.0
"""The longest that anything is measured, as in a config."""


class Seconds(click.FloatRange):
    """Seconds from `least` (not itself, where it is 0) to a day; click's own range takes nan for in it."""

    def __init__(self, least: float) -> None:
        super().__init__(min=least, max=DAY, min_open=least == 0)

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:
        """A number, in the range."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is no time.", param, ctx)
        return seconds
