"""What is left of a huge tensor: a digest a row, as if each had been looked at alone."""

from __future__ import annotations

import pytest
import torch

from harness.instrument import rows
from harness.instrument.rows import rows_of

DTYPES = [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8, torch.complex64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(0,), (1,), (1000,), (0, 4), (3, 0), (7, 3), (5, 4, 3), (64, 129)], ids=str)
@pytest.mark.parametrize("strided", [False, True])
def test_rows_that_are_fetched_together_are_digested_as_each_alone(monkeypatch, dtype, shape, strided) -> None:
    tensor = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    if dtype.is_floating_point and tensor.numel() > 3:
        tensor.view(-1)[::3] = float("nan")
    if strided:
        tensor = tensor.transpose(0, -1)
    together = rows_of(tensor)
    monkeypatch.setattr(rows, "AT_ONCE", 1)
    assert rows_of(tensor) == together
    parts = torch.split(tensor, together.each)
    assert together.digests == tuple(rows.digest(part) for part in parts)
