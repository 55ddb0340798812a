"""Planted delays: does the instrument find what is known to be there, and how small a difference does it resolve?

The baseline of a config is measured against itself with busy waits of known length planted behind each call of
the seam. Arms are named by letters, drawn from the seed, and are analysed like any others. Which letter had which
delay is looked up only afterwards. After Mytkowicz et al., "Evaluating the accuracy of Java profilers" (PLDI 2010).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, Field, field_validator

from harness import __version__
from harness.analysis.intervals import Interval, joint_confidence
from harness.analysis.measured import arm_values
from harness.analysis.metrics import SCOPE, STEP
from harness.analysis.statistics import paired_difference, slope
from harness.config.experiment import Arm
from harness.config.file import Loaded
from harness.digits import significant
from harness.errors import ConfigError, RecordsError
from harness.records import remembered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.records.folder import Records

__all__ = ["DELAYS_US", "Recovered", "SelftestResult", "describe", "evaluate", "last_result", "plan", "remember"]

DELAYS_US: Final = (0.0, 2.0, 5.0, 20.0)
OVERSHOOT_US: Final = 0.25
"""How much longer than asked a busy wait may be: it ends with the first clock reading past its end (some 0.05 us, up
to four readings where the clock is slow)."""


@dataclass(frozen=True)
class Recovered:
    """One planted delay, and what was recovered: in the scope (probed steps) and the whole step (bare ones), in us."""

    planted_us: float
    scope: Interval
    step: Interval

    @property
    def found(self) -> bool:
        """Whether both intervals contain the planted delay, which may be longer by the busy wait's overshoot."""
        return all(
            interval.low <= self.planted_us + OVERSHOOT_US and interval.high >= self.planted_us
            for interval in (self.scope, self.step)
        )


@dataclass(frozen=True)
class SelftestResult:
    """A selftest's outcome.

    `slope_scope` and `slope_step` are microseconds recovered per microsecond planted. `resolves_us` is the half-width
    of one comparison's 95 % interval in the scope after `seconds` of measuring: larger differences are resolved.
    """

    recovered: list[Recovered]
    slope_scope: Interval
    slope_step: Interval
    resolves_us: float
    resolves_step_us: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every planted delay was recovered, and the intervals of both slopes contain 1."""
        return all(each.found for each in self.recovered) and all(
            interval.low <= 1.0 + OVERSHOOT_US / max(DELAYS_US) and interval.high >= 1.0
            for interval in (self.slope_scope, self.slope_step)
        )


def plan(loaded: Loaded, seconds: float) -> tuple[Loaded, dict[str, float]]:
    """The config with its baseline under planted delays, and which letter stands for which delay.

    Every arm is planted, also with 0: the wrapper and its wait then cancel in differences.

    Raises:
        ConfigError: the config has no one function behind which delays could be planted.
    """
    experiment = loaded.experiment
    if not experiment.swapped:
        raise ConfigError(loaded.place("seam: is missing: delays are planted behind one function; give seam or swap"))
    planted_on = next(arm for arm in experiment.arms if arm.name == experiment.baseline)
    if planted_on.change:
        raise ConfigError(
            loaded.place("baseline: delays are planted behind one function, and this is a patch or a tree")
        )
    letters = [chr(ord("a") + number) for number in range(len(DELAYS_US))]
    shuffled = np.random.default_rng(experiment.protocol.seed).permutation(len(DELAYS_US))
    delays = {letter: DELAYS_US[number] for letter, number in zip(letters, shuffled, strict=True)}
    arms = [Arm(name=letter, reference=planted_on.reference, delay_us=delay) for letter, delay in delays.items()]
    protocol = experiment.protocol.model_copy(update={"seconds": seconds, "until": None, "launches": 1, "bare": True})
    planted = experiment.model_copy(
        update={
            "title": f"Selftest: delays planted behind {experiment.baseline} at {experiment.seam or experiment.swap}",
            "arms": arms,
            "baseline": next(letter for letter, delay in delays.items() if delay == 0),
            "protocol": protocol,
        }
    )
    return Loaded(planted, loaded.path), delays


def evaluate(records: Records, delays: Mapping[str, float], seconds: float) -> SelftestResult:
    """Recover the planted delays from a run's records.

    Raises:
        RecordsError: not every arm was measured.
    """
    values = arm_values(records, [])
    if missing := [letter for letter in delays if letter not in values]:
        raise RecordsError(f"the selftest's arms {', '.join(missing)} were not measured, so it has no result")
    baseline = next(letter for letter, delay in delays.items() if delay == 0)
    planted = sorted((delay, letter) for letter, delay in delays.items() if delay > 0)
    steps = values[baseline][SCOPE].shape[1]
    joint = joint_confidence(0.95, 2 * len(planted) + 2)

    def differences(metric: str, confidence: float) -> list[Interval]:
        return [
            paired_difference(values[letter][metric], values[baseline][metric], confidence).scaled(1e-3 / steps)
            for _, letter in planted
        ]

    def per_us(metric: str) -> Interval:
        ordered = [(0.0, baseline), *planted]
        responses = np.stack([values[letter][metric] for _, letter in ordered])
        return slope(np.array([delay for delay, _ in ordered]), responses / 1e3, joint)

    def half_width(metric: str) -> float:
        return float(np.mean([(interval.high - interval.low) / 2 for interval in differences(metric, 0.95)]))

    pairs = zip(planted, differences(SCOPE, joint), differences(STEP, joint), strict=True)
    return SelftestResult(
        recovered=[Recovered(delay, in_scope, in_step) for (delay, _), in_scope, in_step in pairs],
        slope_scope=per_us(SCOPE),
        slope_step=per_us(STEP),
        resolves_us=half_width(SCOPE),
        resolves_step_us=half_width(STEP),
        seconds=seconds,
    )


# The last result on this machine is remembered, so that doctor and every report can quote it.

MEMORY: Final = "selftest"
KIND: Final = ("cpu", "usable_cores", "system", "clock_source")
KEPT: Final = dt.timedelta(days=7)
"""For how long a result stands against one that measured for a shorter time."""

Positive = Annotated[float, Field(ge=0, le=1e9)]


class _Planted(BaseModel):
    planted_us: Positive


class _Remembered(BaseModel):
    """What is read of a remembered result."""

    when: str
    engine: str
    machine: str
    passed: bool
    recovered: Annotated[list[_Planted], Field(min_length=1)]
    resolves_us: Positive
    resolves_step_us: Positive
    seconds: Positive

    @field_validator("when")
    @classmethod
    def _is_a_time(cls, when: str) -> str:
        if dt.datetime.fromisoformat(when).tzinfo is None:
            raise ValueError("it has no time zone")
        return when


def remember(result: SelftestResult, engine: str, machine: Mapping[str, Any]) -> None:
    """Keep the result for this machine; a quick try does not replace a longer one, unless that is old."""
    now, last = dt.datetime.now(dt.UTC), last_result(machine)
    longer = last is not None and last["passed"] and result.seconds < last["seconds"]
    if last is not None and longer and result.passed and now - dt.datetime.fromisoformat(last["when"]) < KEPT:
        return
    when = now.isoformat(timespec="seconds")
    remembered.remember(
        MEMORY,
        {
            "when": when,
            "harness": __version__,
            "engine": engine,
            "machine": _kind(machine),
            "passed": result.passed,
            **asdict(result),
        },
    )


def last_result(machine: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last selftest on a machine of this kind (`describe_machine`), if one is remembered."""
    content = remembered.recall(MEMORY, _Remembered)
    return content if content.get("machine") == _kind(machine) else None


def _kind(machine: Mapping[str, Any]) -> str:
    """What a result speaks for: several machines can share a home folder, and what is remembered in it."""
    return ", ".join(f"{key} {machine.get(key)}" for key in KIND)


def describe(last: Mapping[str, Any] | None, now: dt.datetime) -> str:
    """One line for doctor and for reports."""
    if last is None:
        return "none on this machine yet: python -m harness selftest"
    hours = (now - dt.datetime.fromisoformat(last["when"])).total_seconds() / 3600
    age = f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
    planted = _listed([f"{each['planted_us']:g}" for each in last["recovered"]])
    outcome = f"recovered planted {planted} us" if last["passed"] else f"did NOT recover planted {planted} us"
    return (
        f"{age} before, {last['engine']}: {outcome}; resolves {significant(last['resolves_us'], 2)} us a step in the "
        f"scope and {significant(last['resolves_step_us'], 2)} us end to end in {last['seconds']:g} s"
    )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
