"""What an empty probe costs on this machine, inside and outside its own two clock reads.

After Malony & Shende, "Overhead compensation in performance profiling" (Euro-Par 2004): the part inside is
in the probe's own time, the part outside in the time of whatever called it.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.instrument.ledger import SCOPE, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Calibration", "calibrate"]

CALLS: Final = 500
"""Calls a batch: long against the clock (some 50 ns), short against a scheduler's time slice (some ms)."""
BATCHES: Final = 200
"""Batches, whose median is taken: a batch that was interrupted does not move it."""


@dataclass(frozen=True)
class Calibration:
    """Cost of one probe call, in nanoseconds.

    `inside_ns` shows in the probe's own time, `outside_ns` in its caller's; `spread_ns` is the distance
    between the quartiles of the whole cost over the batches.
    """

    inside_ns: float
    outside_ns: float
    spread_ns: float

    @property
    def call_ns(self) -> float:
        """Whole cost of a probe call."""
        return self.inside_ns + self.outside_ns

    def as_dict(self) -> dict[str, float]:
        """Plain values, for the RPC."""
        return asdict(self)


def _nothing(_argument: object, *, keyword: object = None) -> None:
    """An empty function with one positional and one keyword argument, as `torch.tensor(x, dtype=...)` has."""


def _batch_ns(clock: Callable[[], int], body: Callable[[], None]) -> float:
    start = clock()
    body()
    return (clock() - start) / CALLS


def _loop_empty() -> None:
    for _ in range(CALLS):
        pass


def _loop(function: Callable[..., Any]) -> Callable[[], None]:
    def body() -> None:
        for _ in range(CALLS):
            function(1, keyword=2)

    return body


def calibrate(clock: Callable[[], int] = time.perf_counter_ns, batches: int = BATCHES) -> Calibration:
    """Measure the empty probe: a bare call against a probed one, interleaved, by medians."""
    costs: list[float] = []
    insides: list[float] = []

    for _ in range(batches):
        ledger = Ledger(clock)
        probed = _loop(ledger.probe(1, _nothing))
        empty_ns = _batch_ns(clock, _loop_empty)
        bare_ns = _batch_ns(clock, _loop(_nothing))
        seen: dict[str, float] = {}

        def inside_scope(probed: Callable[[], None] = probed, seen: dict[str, float] = seen) -> None:
            seen["probed_ns"] = _batch_ns(clock, probed)

        ledger.scope(inside_scope, lambda: None, lambda: None)()
        end, _ = ledger.mark()
        (accounts,) = ledger.accounts([end], slots=2)
        recorded_ns = accounts[SCOPE + 1].total_ns / CALLS
        insides.append(recorded_ns - (bare_ns - empty_ns))
        costs.append(seen["probed_ns"] - bare_ns)

    inside_ns = max(statistics.median(insides), 0.0)
    low, middle, high = statistics.quantiles(costs, n=4) if len(costs) > 1 else costs * 3
    return Calibration(inside_ns, max(middle - inside_ns, 0.0), high - low)
