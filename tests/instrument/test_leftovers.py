"""Objects that calls leave behind, counted by a counter that is played."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING

from harness.instrument.leftovers import Leftovers

if TYPE_CHECKING:
    from collections.abc import Callable


def test_what_a_call_frees_is_counted_as_what_it_leaves_is() -> None:
    alive = [100]
    leftovers = Leftovers(lambda: alive[0], 2)

    def makes(number: int) -> Callable[[], None]:
        def call() -> None:
            alive[0] += number

        return call

    frees, keeps = leftovers.probe(1, makes(-3)), leftovers.probe(1, makes(5))

    def scope() -> None:
        alive[0] += 1
        frees()
        frees()
        keeps()

    opened = leftovers.scope(scope, lambda: None, lambda: None)
    leftovers.begin_step()
    opened()
    leftovers.begin_step()
    frees()  # outside of the scope nothing counts
    assert leftovers._open[0] != get_ident()
    found = leftovers.take(["scope", "probe"])
    assert found == {
        "scope.objects": [1, 0], "scope.calls": [1, 0], "probe.objects": [-1, 0], "probe.calls": [3, 0],
    }  # fmt: skip
