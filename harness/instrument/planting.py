"""Known delays, planted to see whether the instrument recovers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PLANT_BASE_NS", "plant"]

PLANT_BASE_NS: Final = 2000
"""What every planted delay waits in addition; long compared with a cold round of the waiting loop."""


def plant(call: Callable[..., Any], delay_ns: int | None, clock: Callable[[], int]) -> Callable[..., Any]:
    """A busy wait behind each call, `PLANT_BASE_NS` + `delay_ns` long; None leaves the call as it is.

    A delay of 0 differs from None: it is the reference for longer delays. It waits as well. A wait absorbs the cost of
    its own first, cold round (0.3 us here). A planted 0 without a wait would add that cost, and every longer delay
    would come out too short by it.
    """
    if delay_ns is None:
        return call
    wait_ns = PLANT_BASE_NS + delay_ns

    def delayed(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        end = clock() + wait_ns
        while clock() < end:
            pass
        return result

    return delayed
