"""Whether engines that were started with a change in them serve what native's engines serve, across processes.

Fields that native's launches do not repeat, among themselves or from pass to pass, are left out and listed. `state` is
left out whole: buffers that no step has written hold whatever the process found in its memory. A field that only the
changed engine has, such as a new one of a dataclass, has nothing to be compared with and is listed too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from harness.errors import StepMismatchError
from harness.instrument.digests import first_difference_of_digests, not_repeated_of_digests
from harness.instrument.fingerprint import STEPS, cut_in, form_of
from harness.records.agreement import answer_difference
from harness.records.served import read_served
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from harness.records.agreement import Answers

__all__ = ["FEWEST_NATIVE", "Across"]

STATE: Final = "state"
FEWEST_NATIVE: Final = 2
"""Launches of native before an arm is compared with it: what native does not repeat is not known earlier."""


class _Served(NamedTuple):
    """What one launch served; the launch by its number."""

    launch: int
    rows: list[tuple[int, str, str]]
    answers: Answers


@dataclass
class Across:
    """Takes what each launch served, and compares as soon as that can be done.

    Attributes:
        ignored: fields that the config leaves out.
        settings: arms that may compute otherwise than native, as long as their steps are of the same requests and
            tokens.
        struck: arms that do other than native, and why.
        otherwise: settings that compute otherwise than native, and where.
        compared: arms of which every launch so far is equal to native.
    """

    ignored: Sequence[str] = ()
    settings: Sequence[str] = ()
    struck: dict[str, str] = field(default_factory=dict)
    otherwise: dict[str, str] = field(default_factory=dict)
    compared: dict[str, int] = field(default_factory=dict)
    _natives: list[_Served] = field(default_factory=list)
    _waiting: dict[str, list[_Served]] = field(default_factory=dict)
    _not_repeated: frozenset[str] = frozenset()
    _only_there: dict[str, set[str]] = field(default_factory=dict)

    @property
    def natives(self) -> int:
        """How many launches of native there have been."""
        return len(self._natives)

    def take(self, number: int, arm: str, folder: Path, not_repeated: Collection[str] = ()) -> None:
        """Take what a launch has written; `not_repeated` are fields that its own passes did not repeat.

        Raises:
            RecordsError: it has written nothing that can be read.
            StepMismatchError: two launches of native generated different tokens, texts or log probabilities.
        """
        served = _Served(number, *read_served(folder))
        if arm == NATIVE:  # what an arm does not repeat is a difference
            self._not_repeated |= set(not_repeated)
        if arm != NATIVE:
            self._waiting.setdefault(arm, []).append(served)
        else:
            self._take_native(served)
        if len(self._natives) >= FEWEST_NATIVE:
            for waiting in list(self._waiting):
                while self._waiting[waiting]:
                    self._compare(waiting, self._waiting[waiting].pop(0))

    def _take_native(self, served: _Served) -> None:
        self._natives.append(served)
        first = self._natives[0]
        if other := answer_difference(first.answers, served.answers):
            raise StepMismatchError(
                f"launches {first.launch} and {served.launch}, both of native, generated different {other.what} "
                f"({other.where}), so equality of arms cannot be judged by them: make the engine deterministic"
            )
        if served is not first:
            self._not_repeated |= not_repeated_of_digests([first.rows, served.rows])

    def _compare(self, arm: str, served: _Served) -> None:
        if arm in self.struck:
            return
        native = self._natives[0]
        known = {form_of(path) for _, path, _ in native.rows}
        only_there = {form_of(path) for _, path, _ in served.rows if not path.startswith(STATE)} - known
        self._only_there.setdefault(arm, set()).update(only_there)
        left_out = {STATE, *self._not_repeated, *self.ignored, *only_there}
        difference = first_difference_of_digests(native.rows, served.rows, left_out)
        other_work, reason = False, ""
        if difference is not None:
            other_work = difference.field == STEPS
            where = "in" if other_work else f"at step {difference.step} of"
            reason = f"differs {where} launch {served.launch}: {difference.told()}"
        elif len(native.answers.tokens) != len(served.answers.tokens):
            other_work, reason = True, f"answers {len(served.answers.tokens)} requests in launch {served.launch}"
        elif other := answer_difference(native.answers, served.answers):
            reason = f"generates other {other.what} in launch {served.launch}: {other.where}"
        if not reason:
            self.compared[arm] = self.compared.get(arm, 0) + 1
        elif arm in self.settings and not other_work:
            self.otherwise.setdefault(arm, reason)
        else:
            self.struck[arm] = reason

    def facts(self) -> dict[str, Any]:
        """For run.json: how much was compared, and what was not."""
        if len(self._natives) < FEWEST_NATIVE:
            return {}
        return {
            "leaves": sum(not path.startswith(STATE) for _, path, _ in self._natives[0].rows),
            "not_repeated": sorted(name for name in self._not_repeated if not name.startswith(STATE)),
            "ignored": sorted(self.ignored),
            "cut": cut_in([[path for _, path, _ in self._natives[0].rows if not path.startswith(STATE)]]),
            "only_there": {arm: sorted(fields) for arm, fields in self._only_there.items() if fields},
            "otherwise": dict(self.otherwise),
            "launches": dict(self.compared),
        }
