"""The config of one launch at launch grain: native alone, in an engine that has a change baked in.

It is read from the whole run's file with the same overrides; what differs comes in one hidden option.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.config.file import Loaded, Replaced, load
from harness.errors import ConfigError
from harness.instrument.scopes import AUTO
from harness.seams import NATIVE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Launched", "load_launched"]

OPTION: Final = "--launched"
REPLACED: Final = ("seam", "swap", "arms", "baseline", "scope", "probes", "protocol.grain")
"""Keys that the launch has of its own, whatever the overrides of the whole run say."""


class Launched(NamedTuple):
    """What one launch is of a run at launch grain.

    Attributes:
        arm: whose change the engine has baked in.
        scope: where time counts; `auto` where it is not found yet.
        probes: functions whose calls are timed.
        watched: the functions that changes touch: their calls are counted in the checking passes.
        block: the number of its block.
    """

    arm: str
    scope: str = AUTO
    probes: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    block: int = 0

    def as_text(self) -> str:
        """For the command line of the launch's process."""
        return json.dumps(self._asdict())

    @classmethod
    def from_text(cls, text: str) -> Launched:
        """From what `as_text` gave.

        Raises:
            ConfigError: it is something else.
        """
        try:
            found = json.loads(text)
            probes, watched = tuple(found["probes"]), tuple(found["watched"])
            return cls(found["arm"], found["scope"], probes, watched, int(found["block"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{OPTION}: it is for processes that harness starts itself; leave it out") from error


def load_launched(path: Path, overrides: Sequence[str], launched: Launched) -> Loaded:
    """The config of one launch.

    Args:
        path: of the whole run's config.
        overrides: `--set` each, of the whole run.
        launched: what this launch is.

    Raises:
        ConfigError: as `load`.
    """
    own = {
        "arms": [{"name": NATIVE}], "baseline": NATIVE, "scope": launched.scope, "probes": list(launched.probes),
        "protocol.grain": "step",
    }  # fmt: skip
    kept = [override for override in overrides if override.partition("=")[0].strip() not in REPLACED]
    return load(path, kept, replaced=Replaced(own, dict.fromkeys(own, OPTION)))
