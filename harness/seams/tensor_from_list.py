"""The seam `tensor_from_list` on vLLM 0.5.4: every list that the builders of a step's inputs turn into a tensor.

The thread plans `list_with_array` "for all possible cases"; today's vLLM has a helper in that place
(`async_tensor_h2d`, vllm/utils/torch_utils.py). In 0.5.4 these are the calls of `torch.tensor` in
vllm/worker/model_runner.py and vllm/attention/backends/flash_attn.py: tokens, positions, lengths, slots. What is no
list of integers there (the block tables, which come as numpy) is left to torch.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import SeamError
from harness.seams.v0_torch import torch_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

__all__ = ["Site", "TensorFromListArm", "check_arm", "check_signature", "sites"]


class TensorFromListArm(Protocol):
    """The contract of an arm."""

    def tensor(self, items: list[int], dtype: torch.dtype) -> torch.Tensor:
        """The integers as a tensor on the CPU, [len(items)], of type torch.int32 or torch.int64; there may be none."""
        ...


def check_arm(arm: Any) -> None:
    """Check that an arm has what the contract names.

    Raises:
        SeamError: it does not.
    """
    if not callable(getattr(arm, "tensor", None)):
        raise SeamError(f"arm {type(arm).__name__}: an arm at tensor_from_list has a method `tensor(items, dtype)`")


def check_signature(function: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters of the runner's `build`, which is what holds the calls.

    Raises:
        SeamError: not as in 0.5.4.
    """
    found = tuple(inspect.signature(function).parameters)
    if found != ("self",):
        raise SeamError(f"seam tensor_from_list: this builder has build({', '.join(found)}), not as in vLLM 0.5.4")
    return found


class Site:
    """The `tensor` that both modules get to see."""

    attribute = "tensor"
    function = None  # what is swapped is this object's own

    def __init__(self, modules: list[Any]) -> None:
        self.owner = self
        self._modules = modules
        self._torch: Any = modules[0].torch
        self.tensor: Callable[..., torch.Tensor] = self.native

    def native(self, data: Any, **options: Any) -> torch.Tensor:
        """As the builders have it."""
        result: torch.Tensor = self._torch.tensor(data, **options)
        return result

    def watches(self) -> Iterator[tuple[Any, str, Callable[[Any], Any]]]:
        """The name `torch` of both modules."""
        for module in self._modules:
            yield module, "torch", self._with_tensor

    def implement(
        self, arm: TensorFromListArm, on_error: Callable[[BaseException], None], strict: bool = False
    ) -> Callable[..., torch.Tensor]:
        """`torch.tensor` with lists left to the arm; where that raises, `on_error` is called and torch does it."""
        check_arm(arm)
        native, make = self.native, arm.tensor

        def tensor(data: Any, **options: Any) -> torch.Tensor:
            if type(data) is not list:
                return native(data, **options)
            try:
                return make(data, options["dtype"]).to(options["device"])
            except BaseException as error:  # noqa: BLE001 (`on_error` lets signals pass)
                on_error(error)
                return native(data, **options)

        return tensor

    def _with_tensor(self, torch: Any) -> Any:
        return torch_with(torch, lambda data, **options: self.tensor(data, **options))


def sites(runner: Any) -> list[Site]:
    """The one place, behind both modules.

    Raises:
        SeamError: another backend than FlashAttention.
    """
    if runner.attn_backend.get_name() != "flash-attn":
        raise SeamError(f"seam tensor_from_list: it knows the backend flash-attn, not {runner.attn_backend.get_name()}")
    import vllm.attention.backends.flash_attn as backend
    import vllm.worker.model_runner as model_runner

    return [Site([model_runner, backend])]
