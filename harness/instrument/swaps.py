"""What can be at the seam: every arm's function at every site, made before the first pass, put there step by step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness import signals
from harness.errors import told_with_place
from harness.instrument.arms import Faults
from harness.instrument.planting import plant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.instrument.bindings import Bindings

__all__ = ["Swaps"]


@dataclass
class Failure:
    """An arm that raised: at which step, and its error."""

    arm: str
    step: int
    error: str


class Swaps:
    """The functions of all arms, bare and timed.

    Args:
        sites: the seam's places on the runner.
        arms: (name, implementation or None for the host's own, planted delay in nanoseconds or None).
        clock: for planted delays.
        around: wraps a function, given its arm's name, in what is to be around it in every pass.
        probe: times a function; None where the seam's function is not probed.
        faults: takes what an arm's code raises while its functions are made; the host's own then stands in its place.
    """

    def __init__(
        self,
        sites: Sequence[Any],
        arms: Sequence[tuple[str, Any, int | None]],
        clock: Callable[[], int],
        around: Callable[[str, Callable[..., Any]], Callable[..., Any]],
        probe: Callable[[Callable[..., Any]], Callable[..., Any]] | None,
        faults: Faults | None = None,
    ) -> None:
        self._sites, self._names = sites, [name for name, *_ in arms]
        self._arm, self._step = 0, -1
        self._failure: Failure | None = None
        faults = faults or Faults()

        def made(site: Any, name: str, arm: Any, delay_ns: int | None) -> Callable[..., Any]:
            own = None if arm is None else faults.of(name, lambda: site.implement(arm, self._on_error))
            return around(name, plant(own or site.native, delay_ns, clock))

        # [site][arm]
        self._bare = [[made(site, *arm) for arm in arms] for site in sites]
        self._timed = self._bare if probe is None else [[probe(call) for call in calls] for calls in self._bare]

    def bind(self, bindings: Bindings) -> None:
        """Put the first arm at every site, for a pass."""
        self._arm, self._step, self._failure = 0, -1, None
        for site, calls in zip(self._sites, self._bare, strict=True):
            bindings.bind(site.owner, site.attribute, calls[0])

    def put(self, step: int, arm: int, timed: bool) -> None:
        """Have a step run under an arm."""
        self._step, self._arm = step, arm
        for site, calls in zip(self._sites, self._timed if timed else self._bare, strict=True):
            setattr(site.owner, site.attribute, calls[arm])

    def failure(self) -> dict[str, Any] | None:
        """The first arm that raised in this pass, if one did."""
        return None if self._failure is None else asdict(self._failure)

    def _on_error(self, error: BaseException) -> None:
        if signals.came():  # it is not of the arm's making
            raise error
        if self._failure is None:
            self._failure = Failure(self._names[self._arm], self._step, told_with_place(error))
