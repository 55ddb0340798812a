"""`--on`: who runs launches on the nodes of a cluster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from harness.cli.last_resort import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.config.file import Loaded
    from harness.running.blocks import Runner

__all__ = ["fleet_on"]


@contextlib.contextmanager
def fleet_on(on: str, loaded: Loaded, by_launch: bool) -> Iterator[Callable[[Loaded], Runner | None]]:
    """What makes the runner of a config's launches, as long as the cluster is connected; None for this machine.

    Args:
        on: as typed; empty for this machine.
        loaded: the config.
        by_launch: whether it is compared launch by launch, and is no sweep.

    Raises:
        ConfigError: it cannot be run on a cluster, or there is none.
    """
    if not on:
        yield lambda _: None
        return
    from harness.errors import ConfigError
    from harness.fleet.fleet import Fleet
    from harness.fleet.luggage import pack_luggage
    from harness.fleet.on_ray import address_of, connected
    from harness.fleet.resources import gpus_of

    address = address_of(on)
    if not by_launch:
        raise ConfigError(
            f"--on {on}: nodes run launches of arms, one engine each: give --set protocol.grain=launch, and no sweep"
        )
    with connected(address, gpus_of(loaded)) as cluster:
        yield lambda final: Fleet(cluster, lambda place: pack_luggage(final, place), say)
