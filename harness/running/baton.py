"""Turns of engines that stand side by side: each serves some steps, or a pass, while the others wait, and hands on.

The processes of a block's launches are started by one that has a pipe to and from each (`side_by_side`). A launch says
when its engine stands, checks and warms up when it may, says when it is ready to measure, is told how many groups are
measured, and then waits for each turn.
"""

from __future__ import annotations

import os
from typing import Final

from harness.errors import HostError

__all__ = ["DONE", "GO", "GROUPS", "READY", "REST", "STANDS", "VARIABLE", "Baton"]

VARIABLE: Final = "HARNESS_BATON"
"""The environment variable with the descriptors to read from and to write to, of a process that has a baton."""
STANDS: Final = "stands"
"""The engine has been started: what comes now uses its device, and waits until it is alone with that."""
READY: Final = "ready"
"""With the groups that are planned, and how many seconds they take: everything but measuring is done."""
DONE: Final = "done"
"""A turn is done, and there are more."""
REST: Final = "rest"
"""All passes are done; what comes after them takes as long as it takes, and is not measured by turns."""
GROUPS: Final = "groups"
"""With the number of groups that each launch of the block measures."""
GO: Final = "go"
"""It is the launch's turn, with the number of its steps; 0 for a pass."""


class Baton:
    """One launch's end.

    Args:
        reads, writes: descriptors of pipes.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        self._unread = b""

    @classmethod
    def inherited(cls) -> Baton | None:
        """The one that this process was started with; None where it was started with none.

        Processes that it starts itself have none.
        """
        descriptors = os.environ.pop(VARIABLE, "")
        if not descriptors:
            return None
        reads, writes = map(int, descriptors.split(","))
        for descriptor in (reads, writes):
            os.set_inheritable(descriptor, False)
        return cls(reads, writes)

    def stands(self) -> None:
        """Say that the engine stands, and wait until it may check and warm up. Raises HostError as `ready`."""
        self._tell(STANDS)
        self._hear(GO)

    def ready(self, groups: int, seconds: float) -> tuple[int, int]:
        """Wait until all are ready, and for the first turn; gives how many groups are measured, and its steps.

        Args:
            groups: that this launch has planned.
            seconds: that they take.

        Raises:
            HostError: who hands out turns is gone.
        """
        self._tell(f"{READY} {groups} {seconds:.3g}")
        agreed = int(self._hear(GROUPS))
        return agreed, int(self._hear(GO))

    def hand_on(self) -> int:
        """Let the others have a turn each, and wait for the next turn; gives its steps. Raises HostError as `ready`."""
        self._tell(DONE)
        return int(self._hear(GO))

    def rest(self) -> None:
        """Let the others measure to their end, and wait for that. Raises HostError as `ready`."""
        self._tell(REST)
        self._hear(GO)

    def _tell(self, word: str) -> None:
        try:
            os.write(self._writes, f"{word}\n".encode())
        except OSError as error:
            raise HostError("the run that this launch is of has ended") from error

    def _hear(self, word: str) -> str:
        while b"\n" not in self._unread:
            try:
                found = os.read(self._reads, 1000)
            except OSError:
                found = b""
            if not found:
                raise HostError("the run that this launch is of has ended")
            self._unread += found
        line, _, self._unread = self._unread.partition(b"\n")
        said, _, value = line.decode().partition(" ")
        if said != word:
            raise HostError(f"it was to hear {word}, and heard {said[:20]!r}")
        return value
