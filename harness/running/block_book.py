"""The book of a run's blocks: what has been drawn, what has begun, what has become of it, in run.json's own entries.

The same for arms (`arm_launches`) and for releases (`history`). A launch that fails loses its block; a name whose
launches fail several times in succession is given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harness.running.drawn import draw_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.running.drawn import ArmLaunch

__all__ = ["PATIENCE", "BlockBook"]

PATIENCE: Final = 2
"""Failures of launches of one name in succession, after which it is given up."""
CUT: Final = "the run ended in the middle of it"
"""What befell a block of an earlier run in the same folder that had not ended."""


class BlockBook:
    """Keeps account of blocks and launches.

    Args:
        names: of the arms or releases that each block has once.
        seed: draws blocks.
        launches: that an earlier run in the same folder had begun.
        blocks: of it that had ended. Others are lost.

    Attributes:
        launches: an entry a launch that has begun, by its number.
        blocks: an entry a block that has ended: its number, and `node` and `lost` where there are such.
    """

    def __init__(
        self,
        names: Sequence[str],
        seed: int,
        launches: Iterable[Mapping[str, Any]] = (),
        blocks: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self._names, self._seed = names, seed
        self.launches: list[dict[str, Any]] = [dict(each) for each in launches]
        self.blocks: list[dict[str, Any]] = [dict(each) for each in blocks]
        ended = {each["number"] for each in self.blocks}
        cut = sorted({each.get("block", 0) for each in self.launches} - ended)
        self.blocks += [{"number": number, "lost": CUT} for number in cut]
        self._lost: dict[int, str] = {}
        self._failures: dict[str, int] = {}
        self._drawn: dict[int, int] = {}
        self._whole_before = self.whole

    @property
    def whole(self) -> int:
        """Blocks that ended whole."""
        return sum(not each.get("lost") for each in self.blocks)

    @property
    def new(self) -> int:
        """Of these, those that are not of an earlier run."""
        return self.whole - self._whole_before

    @property
    def under_way(self) -> int:
        """Blocks that have been drawn and have not ended."""
        return len(self._drawn)

    @property
    def whole_launches(self) -> list[dict[str, Any]]:
        """The launches of blocks that ended whole."""
        whole = {each["number"] for each in self.blocks if not each.get("lost")}
        return [each for each in self.launches if each.get("block", 0) in whole]

    def draw(self) -> tuple[int, list[ArmLaunch]]:
        """The next block: its number and its launches, whose numbers no other block has."""
        number = 1 + max([each["number"] for each in self.blocks] + list(self._drawn), default=0)
        # Blocks that run beside it have numbers for launches that have not begun.
        first = 1 + max([each["number"] for each in self.launches] + list(self._drawn.values()), default=0)
        drawn = draw_block(self._names, number, first, self._seed)
        self._drawn[number] = drawn[-1].number
        return number, drawn

    def begin(self, launch: ArmLaunch) -> None:
        """A launch begins."""
        self.launches.append(dict(vars(launch)))

    def launch(self, number: int) -> dict[str, Any]:
        """A launch that has begun."""
        return next(each for each in self.launches if each["number"] == number)

    def measured(self, number: int) -> None:
        """A launch has measured all that it should."""
        self._failures[self.launch(number)["arm"]] = 0

    def lose(self, number: int, why: str) -> None:
        """A launch has measured nothing that counts, and with it its block."""
        self._lost[self.launch(number)["block"]] = why

    def gives_up(self, number: int) -> bool:
        """A launch has failed; whether those of its name have done so too often."""
        arm = self.launch(number)["arm"]
        self._failures[arm] = self._failures.get(arm, 0) + 1
        return self._failures[arm] >= PATIENCE

    def end(self, block: int, node: str, lost: str, together: bool = False) -> str:
        """A block has ended; why it does not count, or empty.

        Args:
            block: its number.
            node: the machine that it ran on; empty for this one.
            lost: what befell it, where that was no failure of its launches.
            together: whether its engines stood side by side.
        """
        lost = lost or self._lost.get(block, "")
        self._drawn.pop(block, None)
        told = {"node": node, "lost": lost, "together": together}
        self.blocks.append({"number": block, **{key: value for key, value in told.items() if value}})
        self.blocks.sort(key=lambda each: int(each["number"]))
        return lost
