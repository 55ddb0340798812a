"""Checking passes: each arm serves the workload alone, then all mixed, and every step is compared with native's.

Nothing runs twice on the same objects: an arm that works in place is compared with what native's own pass left, so one
that does nothing is seen. Native serves first, several times: what it does not repeat itself is left out, by name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.instrument.digests import digests
from harness.instrument.fingerprint import Fingerprint, cut_in, first_difference, form_of, generic, not_repeated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.instrument.digests import Row

__all__ = ["NATIVE_PASSES", "Checks", "Mismatch", "of_faults"]

NATIVE_PASSES: Final = 4
"""Of native alone, before any arm is compared with it. The first leaves in the engine's buffers what the others find in
them; these three are compared with each other."""
PADDED: Final = frozenset({"context.attn_metadata[*].scheduler_metadata"})
"""Bytes of C++ structs, whose gaps hold what the process found in its memory. They can be alike in all of native's
passes and differ in an arm's, so they are never compared: `AttentionWorkItemGroup` has four such bytes before
`total_kv_len` (vLLM's csrc/cpu/cpu_attn_impl.hpp)."""


@dataclass(frozen=True)
class Mismatch:
    """What is wrong with an arm, as a checking pass found it.

    Attributes:
        arm: its name.
        step: where it was found; None where the arm failed before the first.
        reason: in words: the first difference, or what the arm did wrong beside it.
        raised: whether its own code failed.
        field: of the step, where it differs; empty where it failed.
    """

    arm: str
    step: int | None
    reason: str
    raised: bool = False
    field: str = ""


def of_faults(faults: Mapping[str, str]) -> list[dict[str, Any]]:
    """Arms whose own code failed before the first step, as mismatches of a checking pass."""
    return [asdict(Mismatch(name, None, reason, True)) for name, reason in faults.items()]


class Checks:
    """Native's fingerprint, and what arms are held against it.

    Args:
        ignored: fields that the config leaves out.
    """

    def __init__(self, ignored: Sequence[str] = ()) -> None:
        self._ignored = frozenset(ignored)
        self._natives: list[Fingerprint] = []
        self._reference: Fingerprint | None = None
        self._not_repeated: frozenset[str] = frozenset()

    @property
    def facts(self) -> dict[str, Any]:
        """How much is compared, and what is not."""
        if self._reference is None:
            return {}
        return {
            "leaves": len(self._reference),
            "not_repeated": sorted(self._not_repeated),
            "ignored": sorted(self._ignored),
            "cut": cut_in(self._reference.steps),
        }

    @property
    def reference(self) -> list[Row]:
        """Native's fingerprint as text, by which engines of other processes can be held against it."""
        return [] if self._reference is None else digests(self._reference)

    def take(self, fingerprint: Fingerprint, arms: Sequence[str], native: str) -> Mismatch | None:
        """Take a pass whose step i ran under `arms[i]`: keep native's first ones, and compare any other.

        Gives what is wrong; the arm of it is that of the step.
        """
        if self._reference is None and set(arms) <= {native}:
            self._natives.append(fingerprint)
            if len(self._natives) == NATIVE_PASSES:
                self._not_repeated = not_repeated(self._natives[1:]) | _padded(fingerprint)
                self._reference, self._natives = fingerprint, []
            return None
        if self._reference is None:
            raise RuntimeError(f"native has not served {NATIVE_PASSES} checking passes yet")
        difference = first_difference(self._reference, fingerprint, self._not_repeated | self._ignored)
        if difference is None:
            return None
        arm = arms[min(difference.step, len(arms) - 1)]
        return Mismatch(arm, difference.step, difference.told(), field=difference.field)


def _padded(fingerprint: Fingerprint) -> set[str]:
    """The fields of a pass that are bytes with gaps."""
    paths = {path for step in fingerprint.steps for path in step}
    return {generic(path) for path in paths if form_of(path) in PADDED}
