"""Who gives blocks to nodes, on a cluster of plain objects: which node runs what, and what becomes of a lost one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HostError
from harness.fleet.fleet import BACK_S, Fleet, NodeFacts, NodeLostError
from harness.fleet.node import Ran
from harness.fleet.parcel import pack
from harness.running.blocks import Block
from harness.running.place import Place, Process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.fakes import VirtualClock


class FakeCluster:
    """Keeps one promise at a time, the oldest first. A node that is to be lost takes its promise with it."""

    def __init__(self, clock: VirtualClock, *nodes: str) -> None:
        self.there = [NodeFacts(node, f"name of {node}") for node in nodes]
        self.clock = clock
        self.unfit: dict[str, str] = {}
        self.loses: dict[str, list[int]] = {}
        self.gone: set[str] = set()
        self.ran: list[tuple[str, int]] = []
        self.closed: list[tuple[str, bool]] = []
        self.status = self.made = 0

    def _promise(self, *what: Any) -> tuple[Any, ...]:
        self.made += 1
        return (self.made, *what)

    def nodes(self) -> Sequence[NodeFacts]:
        return [node for node in self.there if node.id not in self.gone]

    def open(self, node: NodeFacts, luggage: Any) -> tuple[Any, Any]:
        return node.id, self._promise("open", node.id, None)

    def run(self, worker: Any, process: Process) -> Any:
        self.ran.append((worker, process.number))
        return self._promise("run", worker, process)

    def ready(self, promises: Sequence[Any], seconds: float) -> Any:
        if not promises:
            self.clock.advance(int(seconds))
            return None
        return min(promises, key=lambda promise: promise[0])

    def result(self, promise: Any) -> Any:
        _, what, node, process = promise
        if what == "open":
            return self.unfit.get(node, "")
        if process.number in self.loses.get(node, []):
            self.loses[node].remove(process.number)
            raise NodeLostError("it was killed")
        return Ran(self.status, pack({}), "what it said\nat last\n" if self.status else "")

    def close(self, worker: Any, at_work: bool) -> None:
        self.closed.append((worker, at_work))


class Keeper:
    """Two launches a block, and another block for each that is lost."""

    def __init__(self, folder: Path, wanted: int) -> None:
        self.folder, self.wanted = folder, wanted
        self.begun = self.launches = 0
        self.ended_: dict[int, tuple[str, str]] = {}
        self.statuses: list[int] = []

    def blocks(self) -> Iterator[Block | None]:
        while (whole := sum(not lost for _, lost in self.ended_.values())) < self.wanted:
            if whole + self.begun - len(self.ended_) >= self.wanted:
                yield None
                continue
            self.begun += 1
            yield Block(self.begun, self.processes())

    def processes(self) -> Iterator[Process]:
        for arm in ("native", "other"):
            self.launches += 1
            yield Process(self.launches, arm, [], {}, self.folder / f"{self.launches}")

    def ran(self, process: Process, exit_status: int) -> bool:
        self.statuses.append(exit_status)
        return exit_status == 0

    def ended(self, block: int, node: str = "", lost: str = "", together: bool = False) -> None:
        self.ended_[block] = (node, lost)


@pytest.fixture
def cluster(clock) -> FakeCluster:
    return FakeCluster(clock, "a", "b")


def run(cluster: FakeCluster, keeper: Keeper) -> list[str]:
    notes: list[str] = []
    fleet = Fleet(cluster, lambda place: None, notes.append, clock=cluster.clock)
    fleet(keeper.blocks(), keeper, Place())
    return notes


def test_a_block_is_wholly_on_one_node_and_every_node_has_some(cluster, tmp_path) -> None:
    keeper = Keeper(tmp_path, 4)
    assert run(cluster, keeper) == ["node name of a takes part", "node name of b takes part"]
    assert sorted(keeper.ended_) == [1, 2, 3, 4]
    assert {node for node, _ in keeper.ended_.values()} == {"name of a", "name of b"}
    assert sorted(number for _, number in cluster.ran) == list(range(1, 9))
    assert sorted(cluster.closed) == [("a", False), ("b", False)]
    assert all((tmp_path / str(number)).is_dir() for number in range(1, 9))


def test_a_lost_node_loses_its_block_alone_and_another_one_is_run_in_its_place(cluster, tmp_path) -> None:
    keeper = Keeper(tmp_path, 3)
    cluster.loses["b"] = [4]  # in the middle of its first block
    notes = run(cluster, keeper)
    assert keeper.ended_[2] == ("name of b", "node name of b was lost: it was killed")
    assert [number for number, (_, why) in keeper.ended_.items() if why] == [2]
    assert sum(not why for _, why in keeper.ended_.values()) == 3
    assert ("b", True) in cluster.closed
    assert notes == ["node name of a takes part", "node name of b takes part"]


def test_the_last_node_is_taken_again_after_a_while_and_given_up_when_it_is_lost_again(clock, tmp_path) -> None:
    cluster = FakeCluster(clock, "a")
    cluster.loses["a"] = [2]
    keeper, began = Keeper(tmp_path, 2), clock()
    run(cluster, keeper)
    assert clock() - began >= BACK_S
    assert sum(not why for _, why in keeper.ended_.values()) == 2
    cluster.loses["a"] = [1, 2]
    with pytest.raises(HostError, match="there is no node that can run launches: all that had the resources were lost"):
        run(cluster, Keeper(tmp_path / "again", 2))


def test_a_node_that_is_other_than_here_is_left_out_by_name(cluster, tmp_path) -> None:
    cluster.unfit["b"] = "torch is 1 there, and 2 where the run was called"
    keeper = Keeper(tmp_path, 2)
    assert f"node name of b: {cluster.unfit['b']}: it is left out" in run(cluster, keeper)
    assert {node for node, _ in keeper.ended_.values()} == {"name of a"}
    cluster.unfit["a"] = "there is no vllm"
    with pytest.raises(HostError, match="no node can run launches; name of a: there is no vllm"):
        run(cluster, Keeper(tmp_path / "again", 2))


def test_a_launch_that_fails_ends_its_block_and_its_last_line_is_told(clock, tmp_path) -> None:
    cluster, keeper = FakeCluster(clock, "a"), Keeper(tmp_path, 1)
    cluster.status = 3
    assert run(cluster, keeper)[-1] == "launch 1 on name of a: at last"
    assert (keeper.statuses, keeper.launches, keeper.ended_) == ([3], 1, {1: ("name of a", "")})


def test_a_launch_whose_folder_cannot_be_kept_loses_its_block_and_reads_nothing_of_anothers(clock, tmp_path) -> None:
    cluster, keeper = FakeCluster(clock, "a"), Keeper(tmp_path, 1)
    (tmp_path / "1").mkdir()
    run(cluster, keeper)
    assert "/1: cannot be written: File exists" in keeper.ended_[1][1]
    assert (keeper.statuses, keeper.ended_[2]) == ([0, 0], ("name of a", ""))
