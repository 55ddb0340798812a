"""Phases that are opened: which functions they are, and what of all that is called in them is timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError, in_line
from harness.records.recorded import MOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.config.profile import Profile
    from harness.hosts.base import Host, PassResult

__all__ = ["MOST_CALLS", "MOST_TIMED", "look_into"]

MOST_TIMED: Final = 40
"""Functions inside of opened phases that are timed, at most."""
MOST_CALLS: Final = 300
"""Calls a step of a function that is timed, at most: each costs about 1 us."""
MOST_TOLD: Final = 200
"""Functions that are told of and not timed, at most."""

NO_PROBE: Final = "no probe reaches it by its name, or it is a phase by another name"

Phases = dict[str, dict[str, Any]]


def look_into(host: Host, profile: Profile, anatomy: dict[str, Any], serve: Callable[[], PassResult]) -> None:
    """Open the profile's phases in a pass of their own, and take what is called in them into the anatomy.

    Args:
        host: everything is installed there.
        profile: the config's section.
        anatomy: what run.json tells: `phases` is added to, and `untimed` is made.
        serve: serves a pass of kind "look".

    Raises:
        ConfigError: an entry names no phase and no function, or more than one.
    """
    phases: Phases = anatomy["phases"]
    names = [name for entry in profile.into for name in _opened(entry, phases, host)]
    for name in names:
        phases.setdefault(name, {"label": _label(name), "section": ""})
    host.look_into(list(dict.fromkeys(names)), profile.depth)
    result = serve()
    timed, untimed = _chosen(result.found, len(result.columns["step"]), phases)
    reached = host.there([*phases, *timed])  # one name for each function
    lost = [name for name in timed if name not in reached]
    phases |= {name: about for name, about in timed.items() if name in reached}
    calls = {str(row["name"]): int(row["calls"]) for row in reversed(result.found)}
    anatomy["untimed"] = [
        *(
            {"name": name, "within": timed[name]["within"], "calls_a_pass": calls[name], "why": NO_PROBE}
            for name in lost
        ),
        *untimed,
    ][:MOST_TOLD]


def _opened(entry: str, phases: Mapping[str, Mapping[str, Any]], host: Host) -> list[str]:
    """The functions that an entry of `into` opens: those of a label, or one by its name or by the last parts of it."""
    if of_label := [name for name, about in phases.items() if about["label"] == entry]:
        return of_label
    if entry in phases:
        return [entry]
    ending = [name for name in phases if name.endswith(f".{entry}")]
    if len(ending) > 1:
        raise ConfigError(f"profile.into: {entry} is {' and '.join(ending)}: name one of them in full")
    if ending:
        return ending
    if "." in entry and entry.replace(".", "").isidentifier() and host.there([entry]):
        return [entry]
    labels = ", ".join(dict.fromkeys(str(about["label"]) for about in phases.values()))
    raise ConfigError(
        f"profile.into: {in_line(entry, 100)} is no phase here, and no function by its full name; there are {labels}"
    )


def _chosen(
    found: Sequence[Mapping[str, Any]], steps: int, phases: Mapping[str, Any]
) -> tuple[Phases, list[dict[str, Any]]]:
    """What of the functions that were found is timed, those with most time first, and what is not, with why."""
    timed: Phases = {}
    untimed: list[dict[str, Any]] = []
    room = min(MOST_TIMED, MOST - len(phases))
    for row in found:
        name, within, calls = str(row["name"]), str(row["within"]), int(row["calls"])
        if name in phases or name in timed:
            continue
        why = str(row["why"])
        if not why and calls > MOST_CALLS * steps:
            why = f"it is called {calls / steps:,.0f} times a step: a probe would cost more than it shows"
        elif not why and len(timed) >= room:
            why = f"{room} others take longer, and no more are timed at once"
        if why:
            untimed.append({"name": name, "within": within, "calls_a_pass": calls, "why": why})
        else:
            section = phases[within]["section"]
            timed[name] = {"label": _label(name), "section": section, "within": within, "depth": int(row["depth"])}
    return timed, untimed


def _label(name: str) -> str:
    """The last two parts of a name: mostly a class and its method."""
    return ".".join(name.split(".")[-2:])
