"""Attributes put on instances for one pass, and put back by identity; what the class has stays untouched."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["Bindings"]

_ABSENT: Final = object()


class Bindings:
    """What is bound now, and what was there before."""

    def __init__(self) -> None:
        self._bound: list[tuple[Any, str, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._bound)

    def bind(self, owner: Any, attribute: str, replacement: Any) -> None:
        """Put `replacement` on `owner`; it is noted first, so that an interrupt in between can be undone."""
        self._bound.append((owner, attribute, vars(owner).get(attribute, _ABSENT)))
        setattr(owner, attribute, replacement)

    def restore(self) -> list[str]:
        """Put everything back; gives the names of what could not be put back."""
        unrestored = []
        for owner, attribute, original in reversed(self._bound):
            if original is not _ABSENT:
                setattr(owner, attribute, original)
            elif attribute in vars(owner):  # it is not, if an interrupt came before it was set
                delattr(owner, attribute)
            if vars(owner).get(attribute, _ABSENT) is not original:
                unrestored.append(f"{type(owner).__name__}.{attribute}")
        self._bound.clear()
        return unrestored
