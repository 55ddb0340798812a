"""What a profile times: the phases of a turn that this vLLM has, and what is looked into beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.instrument.anatomy import phases_of, whole
from harness.instrument.scopes import JOIN
from harness.records.recorded import MOST
from harness.running.into import look_into

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.config.profile import Profile
    from harness.hosts.base import Host, PassResult

__all__ = ["phases_here", "time_phases"]


def time_phases(
    host: Host, profile: Profile, facts: dict[str, Any], serve: Callable[[], PassResult]
) -> tuple[str, list[str]]:
    """Find the phases and whatever else the profile names, before anything is measured.

    Args:
        host: everything is installed there.
        profile: the config's section.
        facts: the run's facts; `anatomy` is filled here.
        serve: serves a pass of kind "look".

    Returns:
        The scope and the probes.

    Raises:
        ConfigError: a target, a phase to be opened or a function for its lines is not there.
    """
    details = facts["host"]["details"]
    apart, model = details.get("process") == "subprocess", str(details.get("model_class", ""))
    scope, phases = phases_here(host, profile, facts["switch"]["turn"], details["generation"], model, apart)
    facts["anatomy"] = {"phases": phases}
    if profile.lines:
        host.time_lines(profile.lines)
    if profile.into:
        look_into(host, profile, facts["anatomy"], serve)
    return scope, list(facts["anatomy"]["phases"])


def phases_here(
    host: Host, profile: Profile, turn: str, generation: str, model: str = "", front_apart: bool = False
) -> tuple[str, dict[str, Any]]:
    """The scope of a profile, and the functions that are timed in it.

    Args:
        host: started.
        profile: the config's section.
        turn: the function of the engine core that is a turn; empty where that is out of reach.
        generation: of the runner.
        model: the full name of the model's class, where a phase is a method of it.
        front_apart: whether the front end is in another process than the engine core.

    Returns:
        The scope; and by full name the label and the section of each function, as run.json tells them.

    Raises:
        ConfigError: a target leads to no function, or targets lead to too many.
    """
    held, wanted = whole(turn, generation, front_apart), phases_of(turn, generation, model)
    found = host.there([*held, *(phase.name for phase in wanted)])
    phases: dict[str, dict[str, Any]] = {
        phase.name: {"label": phase.label, "section": phase.section} for phase in wanted if phase.name in found
    }
    for pattern in profile.targets:
        for name in host.find(pattern):
            phases.setdefault(name, {"label": name, "section": ""})
    if len(phases) > MOST:
        told = f"with the phases {len(phases)} functions would be timed, and at most {MOST} can be"
        raise ConfigError(f"profile.targets: {told}: name fewer, such as one class or some of its methods")
    return JOIN.join(name for name in held if name in found), phases
