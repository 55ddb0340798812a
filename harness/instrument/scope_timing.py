"""What is around a scope's functions in each kind of pass."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.instrument.device import ranged
from harness.instrument.switch import Around, joined

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.instrument.counting import Counter
    from harness.instrument.device import DeviceClock
    from harness.instrument.ledger import Ledger
    from harness.instrument.leftovers import Leftovers
    from harness.instrument.pass_kinds import PassKind
    from harness.instrument.switch import Wrapper

__all__ = ["TIMING_SCOPE", "OfScope", "nothing"]


TIMING_SCOPE: Final[tuple[PassKind, ...]] = ("probing", "scoped")
"""Kinds of passes that time the scope in every step, probed or not."""


class OfScope(NamedTuple):
    """One pass, as its scope sees it.

    Attributes:
        kind: of the pass.
        timed: whether any step of it is probed.
        ledger: what calls are noted by.
        opening: what binds the probes when the scope opens, and what unbinds them.
        ranged: the scope's name where NVTX ranges are put around it, else empty.
    """

    kind: PassKind
    timed: bool
    ledger: Ledger | Leftovers
    opening: tuple[Callable[[], None], Callable[[], None]]
    ranged: str

    def around(self, inner: Around, counter: Counter, device: DeviceClock) -> Around:
        """What is around a function of the scope, outside of what is around it anyway."""
        always: list[Wrapper] = [functools.partial(ranged, f"harness: scope {self.ranged}")] if self.ranged else []
        if self.kind == "count":
            always.append(functools.partial(counter.counted, scope=True))
        elif self.kind == "device":
            always.append(device.scoped)
        bind, unbind = self.opening
        probed = [functools.partial(self.ledger.scope, bind=bind, unbind=unbind)] if self.timed else []
        bare = (
            [functools.partial(self.ledger.scope, bind=nothing, unbind=nothing, probed=False)]
            if self.kind in TIMING_SCOPE
            else []
        )
        return Around(joined(inner.probed, *always, *probed), joined(inner.bare, *always, *bare))


def nothing() -> None:
    """Where there is nothing to bind."""
