"""Blocks of launches on the nodes of a cluster: a block is wholly on one node, and alone there.

Each node is given a block as soon as it is free, and of that one launch after the other. A node that is lost takes its
block with it: who keeps the run draws another one in its place.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from harness.errors import HostError, RecordsError, in_line
from harness.fleet.parcel import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from harness.fleet.luggage import Luggage
    from harness.running.blocks import Block, Keeper
    from harness.running.place import Place, Process

__all__ = ["Cluster", "Fleet", "NodeFacts", "NodeLostError"]

LOOK_S: Final = 5.0
"""How often it is looked for nodes that have come."""
BACK_S: Final = 15.0
"""After which a node that was lost is taken again where the cluster still has it: the process there had died."""
MOST_LOST: Final = 2
"""How often a node may be lost."""


class NodeFacts(NamedTuple):
    """A node that can run launches: how the cluster knows it, and its name."""

    id: str
    name: str


class NodeLostError(Exception):
    """A node, or what runs launches there, is gone."""


class Cluster(Protocol):
    """What a fleet asks of a cluster."""

    def nodes(self) -> Sequence[NodeFacts]:
        """Nodes that are there now and have what a launch needs."""

    def open(self, node: NodeFacts, luggage: Luggage) -> tuple[Any, Any]:
        """Take a node wholly: who runs launches there, and a promise of why it cannot (empty where it can)."""

    def run(self, worker: Any, process: Process) -> Any:
        """A promise of a launch that has `Ran`."""

    def ready(self, promises: Sequence[Any], seconds: float) -> Any:
        """One of the promises that is kept, or None when the time is over; there need not be any."""

    def result(self, promise: Any) -> Any:
        """What was promised.

        Raises:
            NodeLostError: the node is gone.
            Exception: whatever was raised there.
        """

    def close(self, worker: Any, at_work: bool) -> None:
        """Give a node back; a launch that is under way there (`at_work`) ends."""


@dataclass
class _Slot:
    """A node that is taken."""

    node: NodeFacts
    worker: Any
    promise: Any
    opened: bool = False
    block: Block | None = None
    process: Process | None = None


@dataclass
class Fleet:
    """Runs blocks on a cluster: a `Runner`.

    Attributes:
        cluster: with the nodes.
        pack: what launches need there, of what they are started from.
        note: is told of nodes that come and go.
        clock: gives seconds.
    """

    cluster: Cluster
    pack: Callable[[Place], Luggage]
    note: Callable[[str], None]
    _slots: dict[str, _Slot] = field(default_factory=dict)
    _unfit: dict[str, str] = field(default_factory=dict)
    _more: bool = True
    _lost: dict[str, list[float]] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic

    def __call__(self, blocks: Iterable[Block | None], keeper: Keeper, place: Place) -> None:
        """Run them.

        Raises:
            HostError: no node can run launches: none is fit, or all were lost.
        """
        pending, luggage = iter(blocks), self.pack(place)
        try:
            while True:
                coming = self._take_nodes(luggage)
                self._fill(pending, keeper)
                waited = [slot for slot in self._slots.values() if slot.promise is not None]
                if not self._more and not any(slot.block for slot in waited):
                    return
                if not self._slots and not coming:
                    raise HostError(self._why_none())
                promise = self.cluster.ready([slot.promise for slot in waited], LOOK_S)
                for slot in [slot for slot in waited if promise is not None and slot.promise is promise]:
                    self._go_on(slot, keeper)
        finally:
            for slot in self._slots.values():
                self.cluster.close(slot.worker, at_work=slot.promise is not None)
            self._slots.clear()

    def _take_nodes(self, luggage: Luggage) -> bool:
        """Take all nodes that are there and free of faults; whether there is one that may be taken later."""
        coming = False
        for node in self.cluster.nodes():
            lost = self._lost.get(node.id, [])
            if node.id in self._slots or node.id in self._unfit or len(lost) >= MOST_LOST:
                continue
            if lost and self.clock() < lost[-1] + BACK_S:
                coming = True
            else:
                self._slots[node.id] = _Slot(node, *self.cluster.open(node, luggage))
        return coming

    def _fill(self, pending: Iterator[Block | None], keeper: Keeper) -> None:
        """Give each node that is free a block, as long as there are any now."""
        for slot in list(self._slots.values()):
            while self._more and slot.opened and slot.block is None:
                try:
                    block = next(pending)
                except StopIteration:
                    self._more = False
                    return
                if block is None:
                    return
                slot.block = block
                self._next(slot, keeper)

    def _next(self, slot: _Slot, keeper: Keeper) -> None:
        """The next launch of a node's block, or the block's end."""
        assert slot.block is not None  # noqa: S101 (asked for nodes at work alone)
        slot.process = next(slot.block.processes, None)
        if slot.process is None:
            self._end(slot, keeper)
        else:
            slot.promise = self.cluster.run(slot.worker, slot.process)

    def _end(self, slot: _Slot, keeper: Keeper, lost: str = "") -> None:
        assert slot.block is not None  # noqa: S101 (likewise)
        block, slot.block, slot.process, slot.promise = slot.block, None, None, None
        keeper.ended(block.number, slot.node.name, lost)

    def _go_on(self, slot: _Slot, keeper: Keeper) -> None:
        """What was promised of a node is there, or the node is gone."""
        try:
            found = self.cluster.result(slot.promise)
        except NodeLostError as error:
            self._lose(slot, keeper, in_line(error, 300))
            return
        if not slot.opened:
            self._opened(slot, found)
            return
        assert slot.process is not None  # noqa: S101 (else nothing was promised)
        if found.exit_status != 0 and (lines := found.said.strip().splitlines()):
            self.note(f"launch {slot.process.number} on {slot.node.name}: {in_line(lines[-1], 300)}")
        try:
            unpack(found.folder, slot.process.folder)
        except RecordsError as error:  # there is nothing to keep then, and whatever lies there is another's
            self._end(slot, keeper, str(error))
            return
        if keeper.ran(slot.process, found.exit_status):
            self._next(slot, keeper)
        else:
            self._end(slot, keeper)

    def _opened(self, slot: _Slot, why_not: str) -> None:
        slot.opened, slot.promise = True, None
        if why_not:
            self._unfit[slot.node.id] = f"{slot.node.name}: {in_line(why_not, 300)}"
            self.note(f"node {self._unfit[slot.node.id]}: it is left out")
            self.cluster.close(self._slots.pop(slot.node.id).worker, at_work=False)
        else:
            self.note(f"node {slot.node.name} takes part")

    def _lose(self, slot: _Slot, keeper: Keeper, why: str) -> None:
        self.cluster.close(self._slots.pop(slot.node.id).worker, at_work=True)
        self._lost.setdefault(slot.node.id, []).append(self.clock())
        if slot.block is not None:
            self._end(slot, keeper, f"node {slot.node.name} was lost: {why}")
        else:
            self.note(f"node {slot.node.name} was lost: {why}")

    def _why_none(self) -> str:
        if self._unfit:
            return f"no node can run launches; {next(iter(self._unfit.values()))}"
        return "there is no node that can run launches: all that had the resources were lost, or none has them"
