"""At which grain each arm of a config is compared: what cannot be switched in a living engine goes to launch grain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from harness.config.settings import told_of
from harness.errors import ConfigError, in_line
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from harness.config.file import Loaded
    from harness.running.changed import Prepared

__all__ = ["Choice", "choose_grain", "refused_in", "why_no_launches"]

MOST_TOLD: Final = 5
"""Reasons that one message has."""


class Choice(NamedTuple):
    """Whether arms are compared launch by launch, and why.

    Attributes:
        launch: whether all of them are.
        why: a reason each.
        apart: the arms that are, where the others are compared in one engine; empty where all arms are of one grain.
    """

    launch: bool
    why: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()


def choose_grain(loaded: Loaded, prepared: Mapping[str, Prepared]) -> Choice:
    """What the config asks for, and what the text of its changes tells.

    Raises:
        ConfigError: what it asks for cannot be had.
    """
    asked = loaded.experiment.protocol.grain
    refused = [*refused_in(prepared), *_settings(loaded)]
    apart = _apart(loaded, prepared) if asked == "auto" else ()
    if apart and loaded.experiment.sweep:
        raise ConfigError(
            loaded.place(
                f"sweep: a point is of one grain, and {', '.join(apart)} cannot be switched in a living engine as the "
                "others can: set protocol.grain: launch, or leave arms out"
            )
        )
    if apart or asked == "launch" or (asked == "auto" and refused):
        if why := why_no_launches(loaded, prepared, apart):
            because = f"; it cannot be switched between steps: {_told(refused)}" if refused else ""
            raise ConfigError(loaded.place(f"protocol.grain: launch grain cannot be had: {why}{because}"))
        return Choice(not apart, tuple(refused), apart)
    if refused:
        raise ConfigError(
            loaded.place(
                f"protocol.grain: {asked} was asked for, and this cannot be switched in a living engine: "
                f"{_told(refused)}; leave grain at auto, or ask for launch"
            )
        )
    return Choice(False)


def refused_in(prepared: Mapping[str, Prepared]) -> list[str]:
    """What of all arms cannot be switched in a living engine, by the text alone: arm, name and reason."""
    return [
        f"{name}: {in_line(change.full_name)}: {in_line(change.why)}"
        for name, each in prepared.items()
        for change in each.refused
    ]


def _settings(loaded: Loaded) -> list[str]:
    """Arms that are settings, each with what it sets."""
    return [f"{arm.name}: {told_of(arm)} is set when an engine starts" for arm in loaded.experiment.arms if arm.setting]


def _apart(loaded: Loaded, prepared: Mapping[str, Prepared]) -> tuple[str, ...]:
    """The arms that need engines of their own, where others do not."""
    arms = [arm for arm in loaded.experiment.arms if arm.name != NATIVE]
    started = tuple(arm.name for arm in arms if arm.setting or (arm.name in prepared and prepared[arm.name].refused))
    return started if len(started) < len(arms) else ()


def why_no_launches(loaded: Loaded, prepared: Mapping[str, Prepared], arms: Collection[str] = ()) -> str:
    """Why this config cannot be compared at launch grain; empty where it can.

    Args:
        loaded: the config.
        prepared: the changed files of its arms.
        arms: those alone, in a run of their own with native as the baseline; empty for the config as it is.
    """
    experiment = loaded.experiment
    for arm in experiment.arms:
        if (arms and arm.name not in arms) or (not arm.change and (arm.name == NATIVE or arm.setting)):
            continue
        if arm.vllm and arm.name not in prepared:  # its release is not there yet
            continue
        if arm.ceiling:
            return f"arm {arm.name!r} is a ceiling, which is measured in the same engine: leave it out"
        if arm.name not in prepared or arm.delay_us is not None:
            return (
                f"arm {arm.name!r} is neither a patch, a tree nor a setting, and an engine can be started with these "
                "alone: write it as a patch"
            )
        if left := prepared[arm.name].left:
            return (
                f"arm {arm.name!r} has `only`, and whole files are put into the package that an engine is started "
                f"from: they also change {in_line(left[0].full_name)}; cut the patch down to what you mean"
            )
    if arms:
        return ""
    if len(experiment.arms) == 1:
        return "there is no arm but native"
    if experiment.baseline != NATIVE:
        return f"its baseline is {experiment.baseline}: set baseline: {NATIVE}"
    if experiment.protocol.exposed:
        return "protocol.exposed plants delays between steps: leave it out"
    return ""


def _told(refused: Sequence[str]) -> str:
    more = f"; and {len(refused) - MOST_TOLD} more" if len(refused) > MOST_TOLD else ""
    return "; ".join(refused[:MOST_TOLD]) + more
