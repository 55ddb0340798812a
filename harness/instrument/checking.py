"""The checking pass: at every step each arm computes the same inputs as native, and is compared bit for bit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.errors import told_with_place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Checker", "Mismatch"]

POISON: Final = -7_777_777
"""Written over the whole buffer before each implementation runs, so that what it leaves untouched shows."""


@dataclass(frozen=True)
class Mismatch:
    """The first difference between an arm and native: where, and what was there.

    `position` is the index in the seam's output buffer, None where the arm gave nothing to compare.
    """

    arm: str
    step: int
    group: int
    position: int | None
    expected: int | None
    found: int | None
    reason: str


class Checker:
    """Runs every arm at each call of the seam, and keeps each arm's first mismatch.

    Args:
        sites: the seam's sites.
        arms: the implementations by name; None stands for the host's own, which all others are compared with.
    """

    def __init__(self, sites: Sequence[Any], arms: Mapping[str, Any]) -> None:
        self._sites = sites
        self._calls = [
            {name: site.implement(arm, _reraise, strict=True) for name, arm in arms.items() if arm is not None}
            for site in sites
        ]
        self._step = 0
        self._mismatches: dict[str, Mismatch] = {}
        self._seam_calls: list[int] = []
        self._comparing = [self._compare(group) for group in range(len(sites))]

    def bind(self, step: int) -> None:
        """Put the comparing implementation at every site, for this step."""
        self._step = step
        self._seam_calls.append(0)
        for site, compare in zip(self._sites, self._comparing, strict=True):
            setattr(site.owner, site.attribute, compare)

    def take_mismatches(self) -> list[dict[str, Any]]:
        """Give the first mismatch of each arm that has one, and forget them."""
        taken, self._mismatches = self._mismatches, {}
        return [asdict(mismatch) for mismatch in taken.values()]

    def take_calls(self) -> list[int]:
        """Give how often the seam was called in each checked step, and forget it."""
        taken, self._seam_calls = self._seam_calls, []
        return taken

    def _compare(self, group: int) -> Callable[..., Any]:
        site, calls = self._sites[group], self._calls[group]

        def compare(*args: Any, **kwargs: Any) -> Any:
            self._seam_calls[-1] += 1
            output = site.output
            output.fill_(POISON)
            result = site.native(*args, **kwargs)
            expected = output.clone()
            for name, call in calls.items():
                if name in self._mismatches:
                    continue
                output.fill_(POISON)
                try:
                    call(*args, **kwargs)
                except Exception as error:  # noqa: BLE001 (an arm may raise anything)
                    reason = f"raised {told_with_place(error)}"
                    self._mismatches[name] = Mismatch(name, self._step, group, None, None, None, reason)
                    continue
                self._note_difference(name, group, expected, output)
            output.copy_(expected)
            return result

        return compare

    def _note_difference(self, name: str, group: int, expected: Any, found: Any) -> None:
        different = (expected != found).nonzero()
        if not len(different):
            return
        position = int(different[0])
        want, got = int(expected[position]), int(found[position])
        was = "left unwritten" if got == POISON else f"{got}"
        self._mismatches[name] = Mismatch(
            name, self._step, group, position, want, got, f"expected {want}, found {was} ({len(different)} differ)"
        )


def _reraise(error: Exception) -> None:
    raise error
