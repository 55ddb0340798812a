"""The seam `slot_mapping` on vLLM's V2 runners: `BlockTables.compute_slot_mappings`.

There (vllm/v1/worker/gpu/block_table.py) block tables live on the device alone, and a Triton kernel maps all KV-cache
groups at once. A host arm needs them on the host, so while a pass is on this module keeps a copy, fed by the same
`append_block_ids` that feeds the device's. That happens before the scope opens, whichever arm is in, and so affects no
difference; a host implementation would have to pay for it. What the batch holds is taken from the runner's
`InputBatch`, whose numpy half was made for the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.changes.code import declared, native_method, plain_function
from harness.errors import SeamError
from harness.seams.slot_contract import (
    PAD_SLOT_ID,
    POISON,
    check_arm,
    checked,
    guarded,
    known_signature,
    must_be_tensor,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from harness.seams.slot_contract import SlotMappingArm

__all__ = ["KNOWN_SIGNATURES", "Site", "check_arm", "check_signature", "sites"]

KNOWN_SIGNATURES: Final = {
    ("self", "idx_mapping", "query_start_loc", "positions", "num_tokens_padded"): "vLLM 0.20 to 0.25",
    ("self", "idx_mapping", "query_start_loc", "positions", "num_tokens_padded", "out"): "vLLM from 0.26 on",
}


def check_signature(method: Callable[..., Any]) -> tuple[str, ...]:
    """The parameter names of vLLM's method, if they are known ones.

    Raises:
        SeamError: an unknown signature; the message shows it and the known ones.
    """
    return known_signature(method, KNOWN_SIGNATURES, "compute_slot_mappings", "slot_mapping_v2")


class HostTables:
    """The block tables of one pass on the host, as lists and as numpy rows.

    Args:
        tables: vLLM's BlockTables, for the sizes.
    """

    def __init__(self, tables: Any) -> None:
        shapes = [tuple(table.gpu.shape) for table in tables.block_tables]
        self.rows: list[list[list[int]]] = [[[] for _ in range(requests)] for requests, _ in shapes]
        self.arrays = [np.zeros(shape, dtype=np.int32) for shape in shapes]

    def append(self, req_index: int, new_block_ids: Sequence[Sequence[int]], overwrite: bool) -> None:
        """As `BlockTables.append_block_ids`: blocks of one request, a list for each KV-cache group."""
        for rows, array, block_ids in zip(self.rows, self.arrays, new_block_ids, strict=True):
            if overwrite:
                rows[req_index] = []
            row = rows[req_index]
            array[req_index, len(row) : len(row) + len(block_ids)] = block_ids
            row.extend(block_ids)


class Site:
    """`compute_slot_mappings` of one V2 runner's block tables, all KV-cache groups together."""

    attribute = "compute_slot_mappings"

    def __init__(self, runner: Any) -> None:
        self.owner = runner.block_tables
        self.function = plain_function(declared(type(self.owner), self.attribute))
        self.native: Callable[..., torch.Tensor] = native_method(self.owner, self.function)
        check_signature(type(self.owner).compute_slot_mappings)
        self._runner = runner
        self._enabled = list(getattr(self.owner, "_slot_mapping_enabled", [True] * len(self.owner.block_tables)))
        self._tables = HostTables(self.owner)
        self._batch: Any = None

    def watches(self) -> Iterator[tuple[Any, str, Callable[[Any], Any]]]:
        """What must be watched during a pass: (object, method, what to put around the method)."""
        yield self.owner, "append_block_ids", self._watch_blocks
        yield self._runner, "prepare_attn", self._watch_batch

    def _watch_blocks(self, append_block_ids: Callable[..., None]) -> Callable[..., None]:
        append = self._tables.append

        def watched(req_index: int, new_block_ids: Any, overwrite: bool) -> None:
            append(req_index, new_block_ids, overwrite)
            append_block_ids(req_index, new_block_ids, overwrite)

        return watched

    def _watch_batch(self, prepare_attn: Callable[..., Any]) -> Callable[..., Any]:
        def watched(input_batch: Any) -> Any:
            self._batch = input_batch
            return prepare_attn(input_batch)

        return watched

    def spoil(self, *args: Any, **kwargs: Any) -> None:
        """Before a call: nothing of the step before is left in what the call writes."""
        if kwargs.get("out", args[4] if len(args) > 4 else None) is None:
            self.owner.slot_mappings.fill_(POISON)

    def implement(
        self, arm: SlotMappingArm, on_error: Callable[[BaseException], None], strict: bool = False
    ) -> Callable[..., torch.Tensor]:
        """A function with the native one's signature that computes by `arm`; see `slot_mapping.Site.implement`."""
        native, write, owner = self.native, self._writer(), self.owner
        computing: Any = arm
        if strict:
            computing = guarded(arm)
            write = [checked(each) for each in write]
        hand_over = self._hand_over(computing)
        groups = list(zip(range(len(write)), owner.block_sizes, self._enabled, write, strict=True))
        slots: Callable[..., torch.Tensor] = computing.slots

        def compute_slot_mappings(
            idx_mapping: Any, query_start_loc: Any, positions: Any, num_tokens_padded: int, out: Any = None
        ) -> torch.Tensor:
            if out is not None:  # for a buffer of its own, which no arm writes
                return native(idx_mapping, query_start_loc, positions, num_tokens_padded, out)
            try:
                for group, block_size, enabled, write in groups:
                    if enabled:
                        write(slots(*hand_over(group), block_size))
                    else:  # such as Mamba's
                        owner.slot_mappings[group].fill_(PAD_SLOT_ID)
            except BaseException as error:  # noqa: BLE001 (`on_error` lets signals pass)
                on_error(error)
                return native(idx_mapping, query_start_loc, positions, num_tokens_padded)
            return owner.slot_mappings[:, :num_tokens_padded]  # type: ignore[no-any-return]

        return compute_slot_mappings

    def _hand_over(self, arm: Any) -> Callable[[int], tuple[Any, Any, Any]]:
        """What gives a group's (block tables, first positions, counts) as the arm takes them."""
        check_arm(arm)
        return {"lists": self._lists, "arrays": self._arrays}[arm.takes]

    def _arrays(self, group: int) -> tuple[Any, Any, Any]:
        batch = self._batch
        rows = batch.idx_mapping_np
        first_positions = self._runner.req_states.num_computed_tokens_np[rows]
        return self._tables.arrays[group][rows], first_positions, batch.num_scheduled_tokens

    def _lists(self, group: int) -> tuple[Any, Any, Any]:
        batch, blocks = self._batch, self._tables.rows[group]
        rows = batch.idx_mapping_np
        first_positions = self._runner.req_states.num_computed_tokens_np[rows].tolist()
        return [blocks[row] for row in rows.tolist()], first_positions, batch.num_scheduled_tokens.tolist()

    def _writer(self) -> list[Callable[[torch.Tensor], None]]:
        """How each group's slots get into vLLM's buffer, and -1 behind them, as the kernel does it.

        What cannot be copied is looked at only then, so that the timed path pays for no check.
        """
        on_device = self.owner.slot_mappings.device.type != "cpu"

        def writer(buffer: torch.Tensor) -> Callable[[torch.Tensor], None]:
            def write(slots: torch.Tensor) -> None:
                try:
                    count = slots.shape[0]
                    if on_device:
                        # A V2 runner may be a step ahead of the device, so no buffer is kept to be written again:
                        # PyTorch gives out pinned memory anew only after the copies from it have been made.
                        slots = slots.pin_memory()
                    buffer[:count].copy_(slots, non_blocking=True)
                except Exception:
                    must_be_tensor(slots)
                    raise
                buffer[count:].fill_(PAD_SLOT_ID)

            return write

        return [writer(self.owner.slot_mappings[group]) for group in range(len(self.owner.block_tables))]


def sites(runner: Any) -> list[Site]:
    """The one place on `runner` where slots are mapped.

    Raises:
        SeamError: the runner is no V2 runner, or works in a way that the arms do not know.
    """
    tables: Any = getattr(runner, "block_tables", None)
    if not hasattr(tables, "compute_slot_mappings") or not hasattr(runner, "req_states"):
        raise SeamError(
            f"seam slot_mapping: this is no V2 runner: {type(runner).__module__}.{type(runner).__name__}; "
            "set host.model_runner: v1"
        )
    if getattr(tables, "cp_size", 1) > 1 or getattr(runner, "pcp_manager", None) is not None:
        raise SeamError(
            "seam slot_mapping: context parallelism over several ranks interleaves slots, which the arms do not "
            "know; set its engine arguments to 1"
        )
    if getattr(runner, "num_speculative_steps", 0):
        raise SeamError(
            "seam slot_mapping: with speculative decoding a V2 runner knows only on the device how many tokens of a "
            "request were accepted, so no host arm can know its positions; leave speculative_config out"
        )
    if not tables.block_tables:
        raise SeamError("seam slot_mapping: this model has no KV-cache group that maps tokens to slots")
    return [Site(runner)]
