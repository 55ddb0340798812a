"""The seam `slot_mapping` on vLLM 0.5.4: `compute_slot_mapping` of vllm/attention/backends/utils.py.

There a list is made in `FlashAttentionMetadataBuilder.__init__`, filled by a call of `compute_slot_mapping` for each
sequence, padded by `build` where a CUDA graph wants it, and turned into a tensor by `build`. An arm has its own
container from the first to the last of these: the builder is given a list that can carry one (`Slots`), the function
fills that, and when `build` makes a tensor of it, it gets the arm's.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.changes.code import native_method, plain_function
from harness.errors import SeamError
from harness.seams.slot_contract import PAD_SLOT_ID, check_arm, must_be_tensor
from harness.seams.v0_torch import torch_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

__all__ = ["Site", "check_arm", "check_signature", "sites"]

SIGNATURE: Final = (
    "is_profile_run", "slot_mapping", "seq_id", "seq_len", "context_len", "start_idx", "block_size", "block_tables",
)  # fmt: skip
"""Of vLLM 0.5.4."""


def check_signature(function: Callable[..., Any]) -> tuple[str, ...]:
    """The function's parameter names, if they are those of 0.5.4.

    Raises:
        SeamError: they are not.
    """
    found = tuple(inspect.signature(function).parameters)
    if found != SIGNATURE:
        raise SeamError(
            f"seam slot_mapping: this vLLM has compute_slot_mapping({', '.join(found)}), harness knows that of 0.5.4, "
            f"({', '.join(SIGNATURE)}); nothing was patched"
        )
    return found


class Slots(list[int]):
    """The builder's list. The host's own function fills it as any list; an arm uses it for the padding alone.

    Attributes:
        tensor: makes the arm's tensor, on the device that is named; None as long as no arm is at work.
        gathered: what the arm has so far.
        builder: whose list it is.
    """

    __slots__ = ("builder", "gathered", "tensor")

    def __init__(self, builder: Any) -> None:
        super().__init__()
        self.builder = builder
        self.gathered: Any = None
        self.tensor: Callable[[Slots, Any], torch.Tensor] | None = None


class Site:
    """`compute_slot_mapping` as vLLM's FlashAttention backend holds it by name."""

    attribute = "compute_slot_mapping"

    def __init__(self, module: Any, block_size: int) -> None:
        self.owner = module
        self.function = plain_function(module.compute_slot_mapping)
        self.native: Callable[..., None] = native_method(None, self.function)
        check_signature(self.native)
        self._block_size = block_size

    def watches(self) -> Iterator[tuple[Any, str, Callable[[Any], Any]]]:
        """Where the builder's list is made, and where it becomes a tensor."""
        yield self.owner.FlashAttentionMetadataBuilder, "__init__", _with_slots
        yield self.owner, "torch", _with_tensor_of_slots

    def implement(
        self, arm: Any, on_error: Callable[[BaseException], None], strict: bool = False
    ) -> Callable[..., None]:
        """A function with the native one's signature that computes by `arm`.

        Should the arm raise, `on_error` is called and the host's own function does the whole batch instead. `strict`
        changes nothing here: the arm's tensor is compared whole, type included.
        """
        check_arm(arm)
        by_sequence = all(callable(getattr(arm, part, None)) for part in ("container", "append", "tensor"))
        return (self._sequences if by_sequence else self._batch)(arm, on_error)

    def _sequences(self, arm: Any, on_error: Callable[[BaseException], None]) -> Callable[..., None]:
        """For an arm that gathers slots sequence by sequence."""
        native, container, append, tensor = self.native, arm.container, arm.append, arm.tensor

        def finished(slots: Slots) -> torch.Tensor:
            if slots:  # they are the padding
                append(slots.gathered, slots, 0, len(slots), 1)  # in blocks of one, block -1 has slot -1
            result: torch.Tensor = tensor(slots.gathered)
            return result

        def guarded(slots: Slots, device: Any) -> torch.Tensor:
            return self._or_native(finished, slots, device, on_error)

        def compute_slot_mapping(
            is_profile_run: bool, slots: Slots, seq_id: int, seq_len: int, context_len: int, start_idx: int,
            block_size: int, block_tables: dict[int, list[int]],
        ) -> None:  # fmt: skip
            if slots.tensor is None:
                slots.tensor, slots.gathered = guarded, container()
            try:
                append(slots.gathered, block_tables[seq_id], context_len, seq_len - context_len, block_size)
            except BaseException as error:  # noqa: BLE001 (`on_error` lets signals pass)
                on_error(error)
                slots.tensor = native_tensor

        native_tensor = _native_tensor(native)
        return compute_slot_mapping

    def _batch(self, arm: Any, on_error: Callable[[BaseException], None]) -> Callable[..., None]:
        """For an arm that computes the whole batch: sequences are noted, and computed by one more call at the end.

        That call goes through the seam's own name, so that its time is the seam's.
        """
        owner, block_size = self.owner, self._block_size

        def finished(slots: Slots) -> torch.Tensor:
            owner.compute_slot_mapping(False, slots, None, 0, 0, 0, block_size, {})
            result: torch.Tensor = slots.gathered
            return result

        def guarded(slots: Slots, device: Any) -> torch.Tensor:
            return self._or_native(finished, slots, device, on_error)

        def compute_slot_mapping(
            is_profile_run: bool, slots: Slots, seq_id: int | None, seq_len: int, context_len: int, start_idx: int,
            block_size: int, block_tables: dict[int, list[int]],
        ) -> None:  # fmt: skip
            if seq_id is None:
                slots.gathered = _of_batch(arm, slots.gathered, len(slots), block_size)
                return
            if slots.tensor is None:
                slots.tensor, slots.gathered = guarded, []
            slots.gathered.append((block_tables[seq_id], context_len, seq_len - context_len))

        return compute_slot_mapping

    def _or_native(
        self,
        finished: Callable[[Slots], torch.Tensor],
        slots: Slots,
        device: Any,
        on_error: Callable[[BaseException], None],
    ) -> torch.Tensor:
        try:
            made = finished(slots)
            try:
                return made.to(device)
            except Exception:
                must_be_tensor(made)
                raise
        except BaseException as error:  # noqa: BLE001 (`on_error` lets signals pass)
            on_error(error)
            return _native_tensor(self.native)(slots, device)


def _of_batch(arm: Any, sequences: list[tuple[list[int], int, int]], padding: int, block_size: int) -> torch.Tensor:
    """Hand the whole batch to an arm, as on today's vLLM."""
    import torch

    tables, first_positions, counts = zip(*sequences, strict=True)
    slots: torch.Tensor
    if arm.takes == "lists":
        slots = arm.slots(tables, first_positions, counts, block_size)
    else:
        block_tables = np.zeros((len(tables), max(map(len, tables))), dtype=np.int32)
        for row, table in zip(block_tables, tables, strict=True):
            row[: len(table)] = table
        slots = arm.slots(block_tables, np.array(first_positions), np.array(counts), block_size)
    if not padding:
        return slots
    try:
        return torch.nn.functional.pad(slots, (0, padding), value=PAD_SLOT_ID)
    except Exception:
        must_be_tensor(slots)
        raise


def _native_tensor(native: Callable[..., None]) -> Callable[[Slots, Any], torch.Tensor]:
    """The host's own slots of a whole batch, when an arm has failed in the middle of it."""

    def tensor(slots: Slots, device: Any) -> torch.Tensor:
        import torch

        again: list[int] = []
        for data in slots.builder.input_builder.inter_data_list:
            for seq_id, seq_len, context_len in zip(data.seq_ids, data.orig_seq_lens, data.context_lens, strict=True):
                native(False, again, seq_id, seq_len, context_len, 0, slots.builder.block_size, data.block_tables)
        return torch.tensor([*again, *slots], dtype=torch.long).to(device)

    return tensor


def _with_slots(initialise: Callable[..., None]) -> Callable[..., None]:
    """The builder's `__init__`, with our list."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (it stands in the place of one)
        initialise(self, *args, **kwargs)
        self.slot_mapping = Slots(self)

    return __init__


def _with_tensor_of_slots(torch: Any) -> Any:
    """The module's `torch`, whose `tensor` asks the arm for the tensor of its slots."""

    def tensor(data: Any, **options: Any) -> Any:
        if type(data) is Slots and data.tensor is not None:
            return data.tensor(data, options["device"])
        return torch.tensor(data, **options)

    return torch_with(torch, tensor)


def sites(runner: Any) -> list[Site]:
    """The one place: the backend that the runner's builders belong to.

    Raises:
        SeamError: another backend, or a model whose slots the arms do not know.
    """
    backend = runner.attn_backend
    if backend.get_name() != "flash-attn":
        raise SeamError(f"seam slot_mapping: of 0.5.4 it knows the backend flash-attn, not {backend.get_name()}")
    if runner.sliding_window is not None:
        raise SeamError("seam slot_mapping: with a sliding window 0.5.4 masks slots, which the arms do not know")
    import vllm.attention.backends.flash_attn as module

    return [Site(module, runner.block_size)]
