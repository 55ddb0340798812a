"""The contract of arms that map slots, the same for every host, and the checks that hold an arm to it.

Where the seam is in a host, and how its state is handed over, is in the module of that host's generation
(`slot_mapping`, `slot_mapping_v2`, `slot_mapping_v0`).
"""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import numpy as np

from harness.errors import SeamError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import torch

    IntArray: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any]]]

__all__ = [
    "PAD_SLOT_ID",
    "POISON",
    "ArraysArm",
    "ListsArm",
    "SlotMappingArm",
    "check_arm",
    "checked",
    "guarded",
    "known_signature",
    "must_be_tensor",
]

POISON: Final = -7_777_777
"""Written over a whole buffer before each call of a checking pass, so that what is left untouched shows."""
PAD_SLOT_ID: Final = -1
"""What the kernel on a device writes behind the last token's slot (vllm/v1/attention/backends/utils.py)."""


def known_signature(
    function: Callable[..., Any], known: Collection[tuple[str, ...]], name: str, module: str
) -> tuple[str, ...]:
    """The parameter names of the host's function, if they are known ones.

    Args:
        function: the host's.
        known: signatures that the seam's module knows.
        name: of the host's function, for the error.
        module: the seam's, for the error.

    Raises:
        SeamError: an unknown signature; the message shows it and the known ones.
    """
    found = tuple(inspect.signature(function).parameters)
    if found not in known:
        told = " or ".join(f"({', '.join(signature)})" for signature in known)
        raise SeamError(
            f"seam slot_mapping: this vLLM has {name}({', '.join(found)}), harness knows {told}; "
            f"nothing was patched. Use a vLLM that `harness doctor` accepts, or extend harness/seams/{module}.py"
        )
    return found


class ListsArm(Protocol):
    """The contract of an arm that takes the batch as Python lists.

    The lists are what vLLM's runner keeps of each request anyway (`requests[...].block_ids`).
    """

    takes: Literal["lists"]

    def slots(
        self,
        block_tables: Sequence[Sequence[int]],
        first_positions: Sequence[int],
        counts: Sequence[int],
        block_size: int,
    ) -> torch.Tensor:
        """Compute the KV-cache slot of every token that is scheduled in this step.

        Args:
            block_tables: the block ids of each sequence.
            first_positions: position in its sequence of each sequence's first scheduled token.
            counts: how many tokens of each sequence are scheduled.
            block_size: tokens a block.

        Returns:
            int64 tensor on the CPU, shape [sum of counts], sequence after sequence: for a token at
            position p of a sequence with block table b, `b[p // block_size] * block_size + p % block_size`.

        The inputs are the engine's own state and must not be changed.
        """
        ...


class ArraysArm(Protocol):
    """The same contract with the batch as numpy arrays: views of what vLLM keeps in its block table."""

    takes: Literal["arrays"]

    def slots(
        self, block_tables: IntArray, first_positions: IntArray, counts: IntArray, block_size: int
    ) -> torch.Tensor:
        """As `ListsArm.slots`; `block_tables` is int32 [sequences, blocks], its rows padded with anything."""
        ...


SlotMappingArm: TypeAlias = ListsArm | ArraysArm


def check_arm(arm: Any) -> None:
    """Check that an arm has what the contract names.

    Raises:
        SeamError: it does not.
    """
    takes = getattr(arm, "takes", None)
    if takes not in ("lists", "arrays") or not callable(getattr(arm, "slots", None)):
        raise SeamError(
            f"arm {type(arm).__name__}: an arm at slot_mapping has `takes`, which is 'lists' or 'arrays' "
            f"(found {takes!r}), and a method `slots`"
        )


class _Guarded:
    """An arm that works on copies, and raises where it changed them: they stand for the engine's own state."""

    def __init__(self, arm: SlotMappingArm) -> None:
        check_arm(arm)
        self.takes, self._slots = arm.takes, arm.slots

    def slots(self, block_tables: Any, first_positions: Any, counts: Any, block_size: int) -> torch.Tensor:
        given = copy.deepcopy((block_tables, first_positions, counts))
        slots = self._slots(*given, block_size)
        for name, mine, original in zip(
            ("block_tables", "first_positions", "counts"), given, (block_tables, first_positions, counts), strict=True
        ):
            same = np.array_equal(mine, original) if isinstance(original, np.ndarray) else mine == original
            if not same:
                raise ValueError(f"the arm changed its input {name}, which is the engine's own state")
        return slots


def guarded(arm: SlotMappingArm) -> Any:
    """The same arm, which raises where it changes what it is handed."""
    return _Guarded(arm)


def must_be_tensor(slots: Any) -> None:
    """Check that an arm gave a tensor at all.

    Raises:
        TypeError: it did not; the message is the contract's.
    """
    import torch

    if not isinstance(slots, torch.Tensor):
        if inspect.iscoroutine(slots):
            slots.close()  # or Python warns that nobody awaited it
        raise TypeError(f"slots must be int64 [tokens] on cpu, not {type(slots).__module__}.{type(slots).__qualname__}")


def checked(write: Callable[[torch.Tensor], None]) -> Callable[[torch.Tensor], None]:
    """`write`, which raises where the slots are not of the contract's type and shape."""

    def checked_write(slots: torch.Tensor) -> None:
        must_be_tensor(slots)
        found = f"{str(slots.dtype).removeprefix('torch.')} {list(slots.shape)} on {slots.device.type}"
        if not found.startswith("int64 ") or slots.dim() != 1 or slots.device.type != "cpu":
            raise TypeError(f"slots must be int64 [tokens] on cpu, not {found}")
        write(slots)

    return checked_write
