"""The scope: the runner's methods inside which time counts, bound for a pass, and swapped step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.instrument.bindings import Bindings

__all__ = ["JOIN", "Scopes", "parts"]

JOIN: Final = " + "
"""Between the methods of a scope that has several."""


def parts(scope: str) -> list[str]:
    """The methods of a scope: `prepare_inputs + prepare_attn` are two."""
    return [part.strip() for part in scope.split("+")]


class Scopes:
    """The methods of one scope on one runner.

    Args:
        runner: has the methods.
        scope: their names, joined by `+`.

    Raises:
        ConfigError: the runner lacks one of them.
    """

    def __init__(self, runner: Any, scope: str) -> None:
        self._runner = runner
        self.names = parts(scope)
        for name in self.names:
            if not callable(getattr(runner, name, None)):
                methods = sorted(has for has in dir(type(runner)) if "prepare" in has and not has.startswith("__"))
                raise ConfigError(f"scope {name!r}: {type(runner).__name__} has no such method; it has {methods}")
        self._plain: list[tuple[str, Any]] = []
        self._timed: list[tuple[str, Any]] = []
        self.reset()

    def reset(self) -> None:
        """Take the methods as they are now; nothing is timed."""
        self._plain = self._timed = [(name, getattr(self._runner, name)) for name in self.names]

    def wrap(
        self,
        bindings: Bindings,
        wrapper: Callable[[Any], Any],
        switched: bool,
        otherwise: Callable[[Any], Any] | None = None,
    ) -> None:
        """Bind every method with `wrapper` around it: one that `switch` takes off and puts on, or one that stays.

        Where it is taken off, `otherwise` is around the method.
        """
        methods = self._plain
        self._timed = [(name, wrapper(method)) for name, method in methods]
        for name, method in self._timed:
            bindings.bind(self._runner, name, method)
        if not switched:
            self._plain = self._timed
        elif otherwise is not None:
            self._plain = [(name, otherwise(method)) for name, method in methods]

    def switch(self, timed: bool) -> None:
        """Time the scope from now on, or leave it bare."""
        if self._timed is not self._plain:
            for name, method in self._timed if timed else self._plain:
                setattr(self._runner, name, method)
