"""How many blocks of launches a run at launch grain has: as many as it was told, or until intervals are narrow enough.

The first blocks are a pilot: from their spread it is told what the run will resolve, or how many launches the wanted
width needs, and how long that takes. They count like all others. With `until` the looks are fixed after the pilot, by
the time that a block takes, and share the error rate (`analysis.stopping`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.analysis.pilot import blocks_for, expected_half_width_us
from harness.analysis.stopping import FIRST_LOOK, looks
from harness.digits import duration, significant
from harness.records.folder import RunReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.config.protocol import Protocol
    from harness.records.folder import RunFolder
    from harness.running.block_book import BlockBook

__all__ = ["PILOT", "Enough"]

PILOT: Final = 3
"""Blocks after which the spread between launches is known roughly."""


@dataclass
class Enough:
    """Says whether another block is needed.

    Attributes:
        note: is told what the pilot found.
        blocks: how many blocks there will be, as far as is known.
        left_s: about how long the rest takes; None where that is not known.
    """

    protocol: Protocol
    folder: RunFolder
    note: Callable[[str], None]
    blocks: int = field(init=False)
    left_s: float | None = field(default=None, init=False)
    _looked: int = field(default=0, init=False)
    _piloted: bool = field(default=False, init=False)
    _narrow: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.blocks = FIRST_LOOK if self.protocol.until is not None else self.protocol.launches

    def wants_more(self, blocks: BlockBook, elapsed_s: float, facts: dict[str, Any]) -> bool:
        """Whether another block is to begin.

        Args:
            blocks: those that there are so far.
            elapsed_s: since the first of the new ones began.
            facts: the run's facts, in which looks are noted.
        """
        block_s = elapsed_s / blocks.new if blocks.new else None
        if blocks.whole >= PILOT and not self._piloted and self.blocks > PILOT:
            self._piloted = True
            self._pilot(blocks.whole, block_s, facts)
        if (until := self.protocol.until) is not None:
            due = any(self._looked < look <= blocks.whole for look in facts.get("looks", []))
            over = elapsed_s > until.max_seconds and blocks.whole >= FIRST_LOOK
            if due or (over and blocks.whole > self._looked):
                self._look(blocks.whole, facts)
            if over or self._narrow:
                return False
        self.left_s = None if block_s is None else block_s * max(self.blocks - blocks.whole, 0)
        return blocks.whole + blocks.under_way < self.blocks

    def _look(self, whole: int, facts: dict[str, Any]) -> None:
        """Note how wide the intervals are, and whether that is narrow enough."""
        assert self.protocol.until is not None  # noqa: S101 (else nobody looks)
        self._looked = whole
        self.folder.write_run(facts)
        half_width_us = expected_half_width_us(RunReader(self.folder.path).read())
        self._narrow = half_width_us <= self.protocol.until.half_width_us
        facts["stopped"] = {"groups": whole, "half_width_us": half_width_us, "narrow_enough": self._narrow}

    def _pilot(self, whole: int, block_s: float | None, facts: dict[str, Any]) -> None:
        """Fix the looks, and tell what is to be expected."""
        until = self.protocol.until
        if until is not None:
            if "looks" not in facts:
                fit = int(until.max_seconds / block_s) if block_s else FIRST_LOOK
                facts["looks"] = looks(max(fit, FIRST_LOOK))
            self.blocks = facts["looks"][-1]
        self.folder.write_run(facts)
        records = RunReader(self.folder.path).read()
        reached_us = expected_half_width_us(records, self.blocks)
        if not math.isfinite(reached_us):
            return
        reached = f"differences in the scope will be known to +-{significant(reached_us, 2)} us a step"
        if until is None:
            self.note(f"pilot of {whole} blocks: with {self.blocks} launches of each arm {reached}")
            return
        needed = blocks_for(records, until.half_width_us)
        told = f"+-{until.half_width_us:g} us a step needs about {needed} launches of each arm"
        told = f"{told}, {duration(max(needed - whole, 0) * block_s)} more" if block_s else told
        if needed > self.blocks:
            told += f"; max_seconds is enough for {self.blocks}, with which {reached}"
        self.note(f"pilot of {whole} blocks: {told}")
