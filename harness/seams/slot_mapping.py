"""The seam `slot_mapping`: `BlockTable.compute_slot_mapping` of vLLM's V1 runners (vllm/v1/worker/block_table.py).

vLLM's method is handed device tensors and writes into a persistent buffer. An arm sees none of that: it gets
host-side facts of the batch and gives back slots; this module stands between the two, the same way for every
arm, and never synchronises with a device.
"""

from __future__ import annotations

import sys
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
    from collections.abc import Callable, Iterator

    import torch

    from harness.seams.slot_contract import SlotMappingArm

__all__ = ["KNOWN_SIGNATURES", "Site", "check_arm", "check_signature", "sites"]

DEVICE_SIGNATURE: Final = ("self", "num_reqs", "query_start_loc", "positions")
NUMPY_SIGNATURE: Final = ("self", "req_indices", "positions")
KNOWN_SIGNATURES: Final = {
    DEVICE_SIGNATURE: "vLLM from 0.19 on: a kernel that writes the device buffer and pads it",
    NUMPY_SIGNATURE: "vLLM up to 0.18: numpy on the host; a later call copies it to the device",
}


def check_signature(method: Callable[..., Any]) -> tuple[str, ...]:
    """The parameter names of vLLM's method, if they are known ones.

    Raises:
        SeamError: an unknown signature; the message shows it and the known ones.
    """
    return known_signature(method, KNOWN_SIGNATURES, "compute_slot_mapping", "slot_mapping")


class Site:
    """`compute_slot_mapping` of one KV-cache group's block table, on one runner."""

    attribute = "compute_slot_mapping"

    def __init__(self, table: Any, runner: Any, group: int) -> None:
        self.owner = table
        self.function = plain_function(declared(type(table), self.attribute))
        self.native: Callable[..., None] = native_method(table, self.function)
        self._runner = runner
        self._group = group
        self._signature = check_signature(type(table).compute_slot_mapping)
        # Where kernel blocks are finer than the cache manager's, the runner's lists hold the coarse ids.
        self._lists_match_table = not getattr(table, "use_hybrid_blocks", False)

    def watches(self) -> Iterator[tuple[Any, str, Callable[[Any], Any]]]:
        """What must be watched during a pass: nothing, since V1 runners keep all that an arm needs on the host."""
        return iter(())

    def spoil(self, *_args: Any, **_kwargs: Any) -> None:
        """Before a call: nothing of the step before is left in what the call writes."""
        buffer = self.owner.slot_mapping
        (buffer.gpu if self._signature == DEVICE_SIGNATURE else buffer.cpu).fill_(POISON)

    def implement(
        self, arm: SlotMappingArm, on_error: Callable[[BaseException], None], strict: bool = False
    ) -> Callable[..., None]:
        """A function with the native one's signature that computes by `arm`.

        Should the arm raise, `on_error` is called and the native implementation does the step instead.
        `strict` also checks the arm's result against the contract, which takes time.
        """
        native, write, table = self.native, self._writer(), self.owner
        computing: Any = arm
        if strict:
            computing, write = guarded(arm), checked(write)
        hand_over = self._hand_over(computing)
        slots: Callable[..., torch.Tensor] = computing.slots

        def compute_slot_mapping(*args: Any, **kwargs: Any) -> None:
            try:
                block_tables, first_positions, counts = hand_over(*args, **kwargs)
                write(slots(block_tables, first_positions, counts, table.block_size))
            except BaseException as error:  # noqa: BLE001 (`on_error` lets signals pass)
                on_error(error)
                native(*args, **kwargs)

        return compute_slot_mapping

    def _hand_over(self, arm: SlotMappingArm) -> Callable[..., tuple[Any, Any, Any]]:
        """What turns the native arguments into (block tables, first positions, counts) as the arm takes them."""
        kinds: dict[str, Callable[..., tuple[Any, Any, Any]]]
        if self._signature == DEVICE_SIGNATURE:
            kinds = {"lists": self._lists_from_runner, "arrays": self._arrays_from_runner}
        else:
            kinds = {"lists": self._lists_from_arguments, "arrays": self._arrays_from_arguments}
        check_arm(arm)
        return kinds[arm.takes]

    # Today's signature: positions and query_start_loc may live on a device, so the same facts are taken
    # from the host-side state that they were copied from.

    def _arrays_from_runner(self, num_reqs: int, query_start_loc: object, positions: object) -> tuple[Any, Any, Any]:
        runner = self._runner
        return (
            self.owner.block_table.np[:num_reqs],
            runner.input_batch.num_computed_tokens_cpu[:num_reqs],
            np.diff(runner.query_start_loc.np[: num_reqs + 1]),
        )

    def _lists_from_runner(self, num_reqs: int, query_start_loc: object, positions: object) -> tuple[Any, Any, Any]:
        runner = self._runner
        return (
            self._block_lists(num_reqs),
            runner.input_batch.num_computed_tokens_cpu[:num_reqs].tolist(),
            np.diff(runner.query_start_loc.np[: num_reqs + 1]).tolist(),
        )

    # The older signature: numpy arrays with one entry a token, sequence after sequence.

    def _arrays_from_arguments(self, req_indices: Any, positions: Any) -> tuple[Any, Any, Any]:
        starts = np.flatnonzero(np.diff(req_indices, prepend=-1))
        counts = np.diff(starts, append=len(req_indices))
        return self._table_np()[req_indices[starts]], positions[starts], counts

    def _lists_from_arguments(self, req_indices: Any, positions: Any) -> tuple[Any, Any, Any]:
        _, first_positions, counts = self._arrays_from_arguments(req_indices, positions)
        return self._block_lists(len(counts)), first_positions.tolist(), counts.tolist()

    def _table_np(self) -> Any:
        return self.owner.block_table.np

    def _block_lists(self, num_reqs: int) -> list[list[int]]:
        if self._lists_match_table:
            requests, group = self._runner.requests, self._group
            return [requests[req_id].block_ids[group] for req_id in self._runner.input_batch.req_ids]
        return self._table_np()[:num_reqs].tolist()  # type: ignore[no-any-return]

    def _writer(self) -> Callable[[torch.Tensor], None]:
        """How slots get into vLLM's buffer: copied at once on a CPU, staged in pinned memory for a device.

        What cannot be copied is looked at only then, so that the timed path pays for no check.
        """
        buffer = self.owner.slot_mapping
        if self._signature == NUMPY_SIGNATURE:

            def to_host(slots: torch.Tensor) -> None:
                try:
                    buffer.cpu[: slots.shape[0]].copy_(slots)
                except Exception:
                    must_be_tensor(slots)
                    raise

            return to_host

        if buffer.gpu.device.type == "cpu" and not _has_triton():

            def to_cpu(slots: torch.Tensor) -> None:
                # The C++ kernel that stands in for Triton on a CPU leaves the rest of the buffer as it was.
                try:
                    buffer.gpu[: slots.shape[0]].copy_(slots)
                except Exception:
                    must_be_tensor(slots)
                    raise

            return to_cpu

        def to_device(slots: torch.Tensor) -> None:
            # vLLM waits for the last step's copies before it prepares the next (synchronize_input_prep),
            # so the pinned buffer is free to be written.
            try:
                count = slots.shape[0]
                buffer.cpu[:count].copy_(slots)
            except Exception:
                must_be_tensor(slots)
                raise
            buffer.gpu[:count].copy_(buffer.cpu[:count], non_blocking=True)
            buffer.gpu[count:].fill_(PAD_SLOT_ID)

        return to_device


def _has_triton() -> bool:
    """Whether vLLM computes slots by its Triton kernel; vLLM's module says so, which an engine has imported."""
    return bool(getattr(sys.modules.get("vllm.triton_utils"), "HAS_TRITON", False))


def sites(runner: Any) -> list[Site]:
    """Every place on `runner` where slots are mapped: one a KV-cache group.

    Raises:
        SeamError: the runner is no V1 runner, or works in a way that the arms do not know.
    """
    tables = getattr(getattr(runner, "input_batch", None), "block_table", None)
    if tables is None or not hasattr(tables, "block_tables"):
        raise SeamError(
            f"seam slot_mapping lives on V1 runners, this is {type(runner).__module__}.{type(runner).__name__}; "
            "set host.model_runner: v1"
        )
    found = []
    for group, table in enumerate(tables.block_tables):
        ranks = getattr(table, "dcp_world_size", 1) * getattr(table, "pcp_world_size", 1)
        if ranks > 1:
            raise SeamError(
                f"seam slot_mapping: context parallelism over {ranks} ranks interleaves slots, which the arms do not "
                "know; set its engine arguments to 1"
            )
        mode = getattr(table, "slot_mapping_mode", None)
        if mode is None or mode.name == "TOKEN_TO_KV_SLOT":  # Mamba-like groups have no slots
            found.append(Site(table, runner, group))
    if not found:
        raise SeamError("seam slot_mapping: this model has no KV-cache group that maps tokens to slots")
    return found
