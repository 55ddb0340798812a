"""The checking pass: at every step each arm computes the same inputs as native, and is compared bit for bit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from harness import signals
from harness.errors import told_with_place
from harness.instrument.arms import Faults
from harness.instrument.global_state import put_back, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Checker", "Mismatch", "of_faults", "run_arm"]

POISON: Final = -7_777_777
"""Written over the whole buffer before each implementation runs, so that what it leaves untouched shows."""


@dataclass(frozen=True)
class Mismatch:
    """The first difference between an arm and native: where, and what was there.

    `position` is the index in the seam's output buffer, None where the arm gave nothing to compare. `step` is None
    where the arm failed before the first.
    """

    arm: str
    step: int | None
    group: int
    position: int | None
    expected: int | None
    found: int | None
    reason: str


def of_faults(faults: Faults, kind: str) -> list[dict[str, Any]]:
    """Arms whose own code failed before the first step, as mismatches of a checking pass; of another there are none."""
    return (
        []
        if kind != "check"
        else [asdict(Mismatch(name, None, 0, None, None, None, reason)) for name, reason in faults.told.items()]
    )


def run_arm(call: Callable[[], Any]) -> tuple[Any, str]:
    """What an arm's call gives, and what it did wrong beside that, in words: raised, or changed global state.

    The state is put back.

    Raises:
        KeyboardInterrupt: a signal ends the run.
    """
    before, result, wrong = snapshot(), None, ""
    try:
        result = call()
    except BaseException as error:
        if signals.came():  # it is not of the arm's making
            raise
        wrong = f"raised {told_with_place(error)}"
    if changed := put_back(before):
        wrong = wrong or f"changed {', '.join(changed)}, for all that came after it"
    return result, wrong


class Checker:
    """Runs every arm at each call of the seam, and keeps each arm's first mismatch.

    Args:
        sites: the seam's sites.
        arms: the implementations by name; None stands for the host's own, which all others are compared with.
        faults: takes what an arm's code raises while its functions are made.
        limit: is told of every call of an arm.
    """

    def __init__(
        self,
        sites: Sequence[Any],
        arms: Mapping[str, Any],
        faults: Faults | None = None,
        limit: Callable[[str], None] = lambda arm: None,
    ) -> None:
        self._sites, self._limit = sites, limit
        faults = faults or Faults()
        calls = {
            name: faults.of(name, lambda arm=arm: [site.implement(arm, _reraise, strict=True) for site in sites])  # type: ignore[misc]
            for name, arm in arms.items()
            if arm is not None
        }
        self._calls = [
            {name: of_arm[group] for name, of_arm in calls.items() if of_arm is not None} for group in range(len(sites))
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
                self._limit(name)
                _, wrong = run_arm(lambda call=call: call(*args, **kwargs))  # type: ignore[misc]
                if wrong:
                    self._mismatches[name] = Mismatch(name, self._step, group, None, None, None, wrong)
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


def _reraise(error: BaseException) -> None:
    raise error
