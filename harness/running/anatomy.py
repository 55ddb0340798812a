"""What a profile times: the phases of a turn that this vLLM has, and what is looked into beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.instrument.anatomy import phases_of, whole
from harness.instrument.scopes import JOIN

if TYPE_CHECKING:
    from harness.config.profile import Profile
    from harness.hosts.base import Host

__all__ = ["phases_here"]


def phases_here(host: Host, profile: Profile, turn: str, generation: str) -> tuple[str, list[str], dict[str, Any]]:
    """The scope and the probes of a profile.

    Args:
        host: started.
        profile: the config's section.
        turn: the function of the engine core that is a turn; empty where that is out of reach.
        generation: of the runner.

    Returns:
        The scope, the probes, and what run.json tells of them: `phases` with label and section by full name.

    Raises:
        ConfigError: a target leads to no function.
    """
    held, wanted = whole(turn, generation), phases_of(turn, generation)
    found = host.there([*held, *(phase.name for phase in wanted)])
    phases: dict[str, dict[str, str]] = {
        phase.name: {"label": phase.label, "section": phase.section} for phase in wanted if phase.name in found
    }
    for pattern in profile.targets:
        for name in host.find(pattern):
            phases.setdefault(name, {"label": name, "section": "", "target": pattern})
    return JOIN.join(name for name in held if name in found), list(phases), {"phases": phases}
