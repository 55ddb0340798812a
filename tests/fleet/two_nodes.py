# ruff: noqa: T201 (a program that prints)
"""A Ray cluster of two nodes on this machine, of a CPU each. Run by the Python that has Ray.

As a program it says the head's address, kills the second node at the line `kill`, and ends with its stdin.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["two_nodes"]


@contextlib.contextmanager
def two_nodes() -> Iterator[Any]:
    """The cluster; `cluster.remove_node(second, allow_graceful=False)` kills one."""
    from ray.cluster_utils import Cluster

    each = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**each, "include_dashboard": False})
    try:
        cluster.second = cluster.add_node(**each)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    with two_nodes() as found:
        print(found.address, flush=True)
        for line in sys.stdin:
            if line.strip() == "kill":
                found.remove_node(found.second, allow_graceful=False)
                print("killed", flush=True)
