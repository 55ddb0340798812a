"""Arms at the seam `decode_seq_lens`. The contract is `harness.seams.decode_seq_lens.DecodeSeqLensArm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["List", "RunningMax"]


class List:
    """All lengths in a list, as vLLM 0.5.4 has them."""

    def lengths(self) -> list[int]:
        return []


class RunningMax:
    """The largest length so far, and no list: the thread's remark."""

    def lengths(self) -> Largest:
        return Largest()


class Largest:
    """Takes lengths as a list does; when iterated it gives the largest alone."""

    __slots__ = ("length",)

    def __init__(self) -> None:
        self.length = 0

    def append(self, length: int) -> None:
        if length > self.length:
            self.length = length

    def __iter__(self) -> Iterator[int]:
        if self.length:
            yield self.length
