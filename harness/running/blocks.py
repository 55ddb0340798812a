"""Blocks of launches: each has every arm once, in drawn order, on one machine: what changes slowly falls on all.

Who runs blocks takes them one by one, as there is room: what a block holds can depend on how those before it ended.
"""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from harness.children import begin_as_child
from harness.running.run import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from harness.running.place import Place, Process

__all__ = ["Block", "Keeper", "Runner", "Turns", "run_here", "run_process"]


class Block(NamedTuple):
    """Launches that run on one machine, one after the other or with their engines side by side.

    `processes` is gone through once; each is made when the one before has ended, or its engine stands, where they run
    on this machine. There are at most `engines`.
    """

    number: int
    processes: Iterator[Process]
    engines: int = 1


class Keeper(Protocol):
    """Who keeps what launches measured."""

    def stands(self, process: Process) -> None:
        """A launch's engine stands, and what it has found so far is in its folder; told where engines take turns."""

    def ran(self, process: Process, exit_status: int) -> bool:
        """A launch has ended, and its folder is there; gives whether its block goes on.

        The status is that of Popen: negative where a signal ended it.
        """

    def ended(self, block: int, node: str = "", lost: str = "", together: bool = False) -> None:
        """The block of this number has ended, on the machine of this name (empty: on this one).

        `lost` says what befell it, where that was no failure of its launches; `together`, that its launches took turns.
        """


class Runner(Protocol):
    """Who runs blocks; ends when there are no more.

    Raises:
        KeyboardInterrupt: it was interrupted; launches that were running have ended.
    """

    def __call__(self, blocks: Iterable[Block | None], keeper: Keeper, place: Place) -> None:
        """Run them, and tell the keeper of each; `place` says what each arm's engines are started from.

        None in the place of a block says that there is none now; after a block has ended there may be.
        """


class Turns(Protocol):
    """Runs a block whose engines stand side by side; gives whether they did (`side_by_side.SideBySide`)."""

    def __call__(self, block: Block, keeper: Keeper, place: Place) -> bool:
        """Run it, and tell the keeper of each launch, but not of the block's end."""


def run_here(
    blocks: Iterable[Block | None],
    keeper: Keeper,
    place: Place,
    start: Callable[..., Any] = subprocess.Popen,
    turns: Turns | None = None,
) -> None:
    """Run blocks on this machine: a `Runner`.

    Args:
        blocks: as of a `Runner`.
        keeper: likewise.
        place: likewise.
        start: starts a process (`subprocess.Popen`, unless a test replaces it).
        turns: runs a block with its engines side by side; None for one launch at a time.
    """
    with place.made() as started_from:
        for block in blocks:
            if block is None:  # where another one is under way, which is never so here
                continue
            if turns is not None:
                together = turns(block, keeper, started_from)
                keeper.ended(block.number, together=together)
                continue
            for process in block.processes:
                exit_status = run_process(*started_from.command(process), start)
                if not keeper.ran(process, exit_status):
                    break
            keeper.ended(block.number)


def run_process(
    arguments: Sequence[str], environment: Mapping[str, str], start: Callable[..., Any] = subprocess.Popen
) -> int:
    """Run a process to its end; its exit status, which is negative where a signal ended it, as Popen has it.

    Ctrl-C is passed on to it, and it is waited for. Whatever its own status is then, one that was still importing dies
    of it, the caller's run was interrupted.
    """
    # In a process group of its own: Ctrl-C reaches it once, from here.
    process = start(arguments, env=environment, stdout=subprocess.DEVNULL, process_group=0, preexec_fn=begin_as_child)
    try:
        return int(process.wait())
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            process.wait()
        except KeyboardInterrupt:
            process.kill()
        return INTERRUPTED
