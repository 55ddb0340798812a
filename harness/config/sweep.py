"""`sweep` of a config: keys whose values are gone through, a run at each point, for one report.

sweep: {workload.requests: [1, 8, 64]}   # two keys at most: every value of one with every value of the other
"""

from __future__ import annotations

import itertools
import json
from typing import Any, Final, NamedTuple

from harness.config.file import Loaded, changed
from harness.errors import ConfigError, in_line

__all__ = ["Point", "points_of"]

MOST_POINTS: Final = 25
"""Points of a sweep: each is a run of its own."""
LEAST_S: Final = 5.0
"""Seconds of measuring at a point, where `protocol.seconds` is shared out among many."""


class Point(NamedTuple):
    """One point of a sweep.

    Attributes:
        number: from 1 on.
        values: of each key that is swept.
        shared: what every point has besides: its part of the measuring time.
        loaded: the config as it is there.
    """

    number: int
    values: dict[str, Any]
    shared: dict[str, Any]
    loaded: Loaded

    @property
    def overrides(self) -> list[str]:
        """What `--set` takes, so that `harness run` runs this point alone."""
        return ["sweep={}", *(f"{key}={json.dumps(value)}" for key, value in {**self.shared, **self.values}.items())]

    @property
    def told(self) -> str:
        """`workload.requests=8`, as people are told."""
        return ", ".join(f"{key}={value}" for key, value in self.values.items())


def points_of(loaded: Loaded) -> list[Point]:
    """All points of a config's sweep, in the order of its values; the measuring time is shared out among them.

    Raises:
        ConfigError: there are too many, or the config is not valid at one of them.
    """
    sweep = loaded.experiment.sweep
    if not sweep:
        return []
    drawn = [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]
    if len(drawn) > MOST_POINTS:
        raise ConfigError(
            loaded.place(f"sweep: {len(drawn)} points; take {MOST_POINTS} or fewer: each is a run of its own")
        )
    shared = _shared_out(loaded, len(drawn))
    return [Point(number, values, shared, _at(loaded, {**shared, **values})) for number, values in enumerate(drawn, 1)]


def _at(loaded: Loaded, values: dict[str, Any]) -> Loaded:
    """The config at a point.

    Raises:
        ConfigError: it is not valid there.
    """
    try:
        return changed(loaded, {"sweep": {}, **values})
    except ConfigError as error:
        told = ", ".join(f"{key}={in_line(value, 60)}" for key, value in values.items())
        why = "; ".join(str(fault).removeprefix(f"{loaded.path}: ") for fault in error.args)
        raise ConfigError(loaded.place(f"sweep: the config is not valid at {told}: {why}")) from error


def _shared_out(loaded: Loaded, count: int) -> dict[str, Any]:
    """What gives each point its part of `protocol.seconds`; empty where the config says how many groups."""
    seconds = loaded.experiment.protocol.seconds
    return {} if seconds is None else {"protocol.seconds": max(seconds / count, min(seconds, LEAST_S))}
