"""At which grain a config is compared: what cannot be switched in a living engine goes to launch grain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from harness.config.settings import values_of
from harness.errors import ConfigError, in_line
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.config.file import Loaded
    from harness.running.changed import Prepared

__all__ = ["Choice", "choose_grain", "refused_in", "why_no_launches"]

MOST_TOLD: Final = 5
"""Reasons that one message has."""


class Choice(NamedTuple):
    """Whether arms are compared launch by launch, and why: a reason each."""

    launch: bool
    why: tuple[str, ...] = ()


def choose_grain(loaded: Loaded, prepared: Mapping[str, Prepared]) -> Choice:
    """What the config asks for, and what the text of its changes tells.

    Raises:
        ConfigError: what it asks for cannot be had.
    """
    asked = loaded.experiment.protocol.grain
    refused = [*refused_in(prepared), *_settings(loaded)]
    if asked == "launch" or (asked == "auto" and refused):
        if why := why_no_launches(loaded, prepared):
            because = f"; it cannot be switched between steps: {_told(refused)}" if refused else ""
            raise ConfigError(loaded.place(f"protocol.grain: launch grain cannot be had: {why}{because}"))
        return Choice(True, tuple(refused))
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
    return [
        f"{arm.name}: {', '.join([*values_of(loaded.experiment, arm), *(['vllm'] if arm.vllm else [])])}: is set when "
        "an engine starts"
        for arm in loaded.experiment.arms
        if arm.setting
    ]


def why_no_launches(loaded: Loaded, prepared: Mapping[str, Prepared]) -> str:
    """Why this config cannot be compared at launch grain; empty where it can."""
    for arm in loaded.experiment.arms:
        if (arm.name == NATIVE and not arm.change) or arm.setting:
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
    if len(loaded.experiment.arms) == 1:
        return "there is no arm but native"
    if loaded.experiment.baseline != NATIVE:
        return f"its baseline is {loaded.experiment.baseline}: set baseline: {NATIVE}"
    if loaded.experiment.protocol.exposed:
        return "protocol.exposed plants delays between steps: leave it out"
    return ""


def _told(refused: Sequence[str]) -> str:
    more = f"; and {len(refused) - MOST_TOLD} more" if len(refused) > MOST_TOLD else ""
    return "; ".join(refused[:MOST_TOLD]) + more
