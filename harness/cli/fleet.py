"""`--on`: who runs launches on the nodes of a cluster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from harness.cli.last_resort import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.config.file import Loaded
    from harness.running.blocks import Runner

__all__ = ["Nodes", "fleet_on"]


class Nodes(NamedTuple):
    """Who runs launches.

    Attributes:
        runner_of: what makes the runner of a config's launches; it gives None for this machine.
        handed_on: arguments by which another process has its launches run on the same nodes.
    """

    runner_of: Callable[[Loaded], Runner | None]
    handed_on: tuple[str, ...] = ()


@contextlib.contextmanager
def fleet_on(on: str, loaded: Loaded, by_launch: bool) -> Iterator[Nodes]:
    """The nodes of a cluster, as long as it is connected.

    Args:
        on: as typed; empty for this machine.
        loaded: the config.
        by_launch: whether all of it is compared launch by launch, at each point of a sweep.

    Raises:
        ConfigError: it cannot be run on a cluster, or there is none.
    """
    if not on:
        yield Nodes(lambda _: None)
        return
    from harness.errors import ConfigError
    from harness.fleet.fleet import Fleet
    from harness.fleet.luggage import pack_luggage
    from harness.fleet.on_ray import address_of, connected
    from harness.fleet.resources import gpus_of

    address = address_of(on)
    if not by_launch:
        raise ConfigError(
            f"--on {on}: nodes run launches of arms, one engine each: give --set protocol.grain=launch, or --arms with "
            "those alone that an engine is started with"
        )
    with connected(address, gpus_of(loaded)) as cluster:
        yield Nodes(
            lambda final: Fleet(cluster, lambda place: pack_luggage(final, place), say),
            ("--on", f"ray:{cluster.address}"),
        )
