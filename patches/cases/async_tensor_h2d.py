"""vLLM's helper that copies a list to the device (0.32.0), with an array between the list and the tensor.

The function has the name and the parameters of `vllm.utils.torch_utils.async_tensor_h2d`, which it replaces.
"""

from __future__ import annotations

from array import array

import numpy as np
import torch

__all__ = ["async_tensor_h2d"]

TYPECODES = {torch.int32: "i", torch.int64: "q"}
PINS = torch.cuda.is_available()  # as slow as what is measured here, so it is asked once


def async_tensor_h2d(
    data: list[int] | np.ndarray | torch.Tensor,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Copy to the device: a list of whole numbers by torch.frombuffer(array(list)), all else as vLLM does.

    The idea of vllm issue #6879 in the helper that vllm #37006 and #45424 brought. torch.tensor tells lists of floats
    and lists of lists by looking at each item; array tells them by an error, so such lists take vLLM's own way.
    """
    if dtype is None and out is not None:
        dtype = out.dtype
    if isinstance(data, np.ndarray):
        data = torch.from_numpy(data)
    elif isinstance(data, list):
        data = from_list(data, dtype)
    if PINS and not data.is_pinned():
        data = data.pin_memory()  # or the copy would wait
    if out is not None:
        return out.copy_(data, non_blocking=True)
    return data.to(device=device, dtype=dtype, non_blocking=True)


def from_list(items: list[int], dtype: torch.dtype | None) -> torch.Tensor:
    """A tensor over an array with the list's numbers, where they are whole and their type is one of an array's."""
    typecode = TYPECODES.get(dtype or torch.int64)
    if typecode is None or not items or not isinstance(items[0], int):
        return torch.tensor(items, dtype=dtype)
    return torch.frombuffer(array(typecode, items), dtype=dtype or torch.int64)
