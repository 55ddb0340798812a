"""Random weights under which a wrong KV cache shows in the tokens, the same for every host on a kind of device.

vLLM's own `load_format="dummy"` draws every weight from +-0.001: logits then hardly depend on attention, and
a broken slot mapping does not change one token. Here each matrix is drawn at the scale that keeps its
output's variance (1 / fan-in, as in LeCun et al., "Efficient BackProp", 1998), and query and key larger, so
that attention is peaked and a token depends on what was really written to the cache.
"""

from __future__ import annotations

import zlib
from typing import Final

import torch

__all__ = ["fill"]

ATTENTION_GAIN: Final = 2.0
"""Standard deviation of queries and keys: scores then spread enough that few tokens take most of the weight."""


def fill(name: str, weight: torch.Tensor, seed: int) -> None:
    """Fill one parameter in place: 1 for norms, 0 for biases, a normal of matching scale for matrices.

    Those of a GPU are drawn there: one thread of a CPU takes a minute and a half for 8 billion.
    """
    if weight.dim() < 2:
        weight.fill_(0.0 if name.endswith("bias") else 1.0)
        return
    device = weight.device if weight.is_cuda else torch.device("cpu")
    generator = torch.Generator(device=device).manual_seed(zlib.crc32(name.encode()) + seed)
    scale = 1.0 if "embed" in name else weight.shape[-1] ** -0.5
    if "qkv" in name or "q_proj" in name or "k_proj" in name:
        scale *= ATTENTION_GAIN
    values = torch.randn(weight.shape, generator=generator, device=device, dtype=torch.float32) * scale
    weight.copy_(values.to(weight.dtype))
