"""A cluster of Ray's, one that is there or one that is started here for the while."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError, HostError, in_line, told
from harness.fleet.fleet import NodeFacts, NodeLostError
from harness.fleet.node import Node
from harness.signals import ENDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.fleet.luggage import Luggage
    from harness.running.place import Process

__all__ = ["RayCluster", "address_of", "connected"]

OPTION: Final = "--on"
LONGEST: Final = 160
"""Characters of what Ray says of a loss: the rest is advice."""
CLOSING_S: Final = 10.0
"""How long a node may take to remove what it unpacked."""


def address_of(text: str) -> str:
    """The address in `ray` or `ray:ADDRESS`; empty for a Ray of our own.

    Raises:
        ConfigError: it is something else, or there is no Ray.
    """
    kind, _, address = text.partition(":")
    if kind != "ray" or text.endswith(":") or address.startswith("//"):
        raise ConfigError(
            f"{OPTION} {in_line(text, 60)}: write ray, for one that is started here, or ray:HOST:PORT, the head of a "
            "cluster that this machine is a node of"
        )
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(f"{OPTION} ray: there is no Ray here: pip install 'harness[ray]'")
    return address


@contextlib.contextmanager
def connected(address: str, gpus: int = 0) -> Iterator[RayCluster]:
    """A cluster by its address; empty for a Ray that is started here, and ended.

    Args:
        address: of its head, HOST:PORT.
        gpus: that the launches of a block need.

    Raises:
        ConfigError: there is no cluster, it does not let us in, or none of its nodes has so many GPUs.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        ray.init(address or "local", include_dashboard=None if address else False, log_to_driver=False,
                 logging_level="error")  # fmt: skip
    except Exception as error:
        why = in_line(error, 200)
        raise ConfigError(f"{OPTION} ray{address and ':'}{address}: there is no Ray to work with: {why}") from error
    finally:
        for number, handler in before.items():  # Ray ends this process at SIGTERM, whatever is to be kept
            signal.signal(number, handler)
    try:
        cluster = RayCluster(gpus)
        if not cluster.nodes():
            what = f"with {gpus} GPUs" if gpus else "with a CPU"
            raise ConfigError(f"{OPTION} ray{address and ':'}{address}: there is no node {what} in the cluster")
        yield cluster
    finally:
        ray.shutdown()


@dataclass
class RayCluster:
    """The cluster that this process is connected to: a `fleet.Cluster`.

    Attributes:
        gpus: that are taken of each node.
    """

    gpus: int = 0
    _names: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """HOST:PORT of its head, also of a Ray that was started here."""
        import ray

        return str(ray.get_runtime_context().gcs_address)

    def nodes(self) -> list[NodeFacts]:
        """Nodes that are alive, with a CPU and as many GPUs as launches need."""
        import ray

        found = []
        for node in ray.nodes():
            there = node["Resources"]
            if node["Alive"] and there.get("CPU", 0) >= 1 and there.get("GPU", 0) >= self.gpus:
                found.append(NodeFacts(node["NodeID"], self._name(node["NodeID"], node["NodeManagerHostname"])))
        return found

    def _name(self, node: str, host: str) -> str:
        """The machine's name; with the node's own id behind it where another node has that name."""
        if node not in self._names:
            taken = any(name.partition("/")[0] == host for name in self._names.values())
            self._names[node] = f"{host}/{node[:6]}" if taken else host
        return self._names[node]

    def open(self, node: NodeFacts, luggage: Luggage) -> tuple[Any, Any]:
        """Take all of a node's CPUs, so that nothing else that Ray runs is there meanwhile."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        cpus = next(each["Resources"]["CPU"] for each in ray.nodes() if each["NodeID"] == node.id)
        actor = (
            ray.remote(Node)
            .options(
                num_cpus=cpus, num_gpus=self.gpus, max_restarts=0, max_task_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            )
            .remote()
        )  # fmt: skip
        # Ray gives its workers as many threads as they have CPUs; engines have what the config says.
        return actor, actor.begin.remote(luggage, () if "OMP_NUM_THREADS" in os.environ else ("OMP_NUM_THREADS",))

    def run(self, worker: Any, process: Process) -> Any:
        """A promise of a launch that has `Ran`."""
        return worker.run.remote(process)

    def ready(self, promises: Sequence[Any], seconds: float) -> Any:
        """One of the promises that is kept, or None when the time is over; there need not be any."""
        import ray

        if not promises:
            time.sleep(seconds)
            return None

        done, _ = ray.wait(list(promises), num_returns=1, timeout=seconds, fetch_local=True)
        return done[0] if done else None

    def result(self, promise: Any) -> Any:
        """What was promised.

        Raises:
            NodeLostError: the node is gone, or the process there.
            HostError: whatever was raised there.
        """
        import ray
        from ray import exceptions

        try:
            return ray.get(promise)
        except exceptions.RayTaskError as error:
            raise HostError(f"a node failed: {told(error.cause if error.cause is not None else error)}") from error
        except exceptions.RayError as error:
            raise NodeLostError(in_line(f"{type(error).__name__}: {error}", LONGEST)) from error

    def close(self, worker: Any, at_work: bool) -> None:
        """Give a node back; what it unpacked is removed where it is not at work, and a launch that runs there ends."""
        import ray

        with contextlib.suppress(Exception):
            if not at_work:
                ray.wait([worker.end.remote()], timeout=CLOSING_S)
        with contextlib.suppress(Exception):
            ray.kill(worker)
