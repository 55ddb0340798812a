"""What is kept of a tensor too large to keep: one digest a row, so that a difference is still told by its row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import torch

__all__ = ["ROWS_FROM", "Rows", "content", "digest", "digest_of", "rows_of"]

ROWS_FROM: Final = 64 * 1024
"""Tensors of more elements are kept as digests."""
DIGEST: Final = 8
"""Bytes of a digest: by chance two rows in 10^19 have the same."""
LEAST: Final = 256
"""Elements under one digest, or there would be more digests than tensor."""
AT_ONCE: Final = 2**24
"""Elements that are fetched from a device in one piece: each fetching waits for it."""


@dataclass(frozen=True)
class Rows:
    """Digests of a tensor's rows along its first dimension; `each` rows share one."""

    dtype: str
    shape: tuple[int, ...]
    each: int
    digests: tuple[bytes, ...]


def rows_of(tensor: torch.Tensor) -> Rows:
    """The digests of a tensor's rows, `each` of them together where a row is short."""
    shape = tuple(tensor.shape)
    length = tensor.numel() // max(1, shape[0])
    each = -(-LEAST // max(1, length))
    fetched = each * max(1, AT_ONCE // max(1, each * length))
    size = each * length * tensor.element_size()
    found = []
    for there in torch.split(tensor.detach(), fetched):
        bits = memoryview(content(there))
        parts = max(1, -(-there.shape[0] // each))  # one where there are no rows
        found += [digest_of(bits[at * size : (at + 1) * size]) for at in range(parts)]
    return Rows(str(tensor.dtype).removeprefix("torch."), shape, each, tuple(found))


def digest(tensor: torch.Tensor) -> bytes:
    """A digest of the elements' bits."""
    return digest_of(content(tensor))


def digest_of(bits: bytes | memoryview) -> bytes:
    """A digest of any bytes. Processors have instructions for SHA-1: the quickest that Python has for a row."""
    return hashlib.sha1(bits, usedforsecurity=False).digest()[:DIGEST]


def content(tensor: torch.Tensor) -> bytes:
    """The elements' bits, in order; every NaN has the same."""
    tensor = tensor.detach().to("cpu").contiguous()
    if tensor.is_floating_point() and tensor.element_size() > 1:  # the small ones have no such function
        tensor = tensor.masked_fill(tensor.isnan(), float("nan"))
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
