"""What of vLLM 0.5.4 needs a CUDA build, and what stands in its place.

Everything between a request and the model's inputs is left alone: LLMEngine, Scheduler, block managers,
`Worker.prepare_worker_input`, `ModelRunner.prepare_model_input`, `FlashAttentionMetadataBuilder`, SamplingMetadata, and
the sampler behind the model.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from typing import TYPE_CHECKING, Any, Final

from harness.hosts.v0 import attention

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SUBSTITUTED", "import_vllm"]

SUBSTITUTED: Final = (
    "FlashAttention and the cache write are plain PyTorch",
    "custom operators run their own forward_native",
    "no CUDA graph is captured, but steps are padded as for one unless the engine is eager",
    "the number of KV-cache blocks is given, not profiled",
    "weights are random, at a scale at which a wrong cache changes the tokens",
)
"""For the report: what is not vLLM's own here."""

HIDDEN: Final = frozenset({"._core_C", "triton"})
"""Modules that are hidden from vLLM: an extension built for another PyTorch, and a Triton too new for its kernels.
Without them it falls back to its own Python code."""

ABSENT: Final = (
    "vllm.model_executor.guided_decoding",
    "vllm.model_executor.guided_decoding.guided_fields",
)
"""Modules that need packages of no use here (outlines, lark). Names can be imported from them; nothing uses these."""


class _Absent(types.ModuleType):
    """A module of which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def import_vllm() -> None:
    """Import vLLM and put everything in its place; before anything else imports it. A second call does nothing."""
    if "vllm_flash_attn" not in sys.modules:
        _import_without_extensions()
        _substitute()


def _import_without_extensions() -> None:
    """Import vLLM with some modules hidden from it, and `attention` in the place of FlashAttention's package."""
    flash_attention: Any = types.ModuleType("vllm_flash_attn")
    flash_attention.__spec__ = importlib.machinery.ModuleSpec("vllm_flash_attn", loader=None)
    flash_attention.flash_attn_varlen_func = attention.flash_attn_varlen_func
    flash_attention.flash_attn_with_kvcache = attention.flash_attn_with_kvcache
    sys.modules["vllm_flash_attn"] = flash_attention
    for name in ABSENT:
        sys.modules[name] = _Absent(name)

    find_spec = importlib.util.find_spec

    def find_spec_of_others(name: str, package: str | None = None) -> Any:
        return None if name in HIDDEN else find_spec(name, package)

    importlib.util.find_spec = find_spec_of_others
    try:
        import vllm
        import vllm.worker.model_runner
        import vllm.worker.worker  # noqa: F401
    finally:
        importlib.util.find_spec = find_spec


def _replace_everywhere(function: Callable[..., Any], replacement: Callable[..., Any]) -> None:
    """Put a function in another one's place in every module of vLLM that has imported it by name."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "vllm":
            for key, value in list(vars(module).items()):
                if value is function:
                    setattr(module, key, replacement)


def _substitute() -> None:
    """Put everything in its place, once vLLM has been imported."""
    import torch
    from vllm import _custom_ops, utils
    from vllm.attention import selector
    from vllm.model_executor.custom_op import CustomOp
    from vllm.model_executor.layers.rotary_embedding import RotaryEmbedding

    _custom_ops.reshape_and_cache_flash = attention.reshape_and_cache_flash
    CustomOp.dispatch_forward = lambda operator: operator.forward_native
    _replace_everywhere(selector.which_attn_to_use, lambda *_model, **__: selector._Backend.FLASH_ATTN)
    utils.CudaMemoryProfiler.current_memory_usage = lambda _profiler: 0.0
    if not torch.cuda.is_available():
        _replace_everywhere(utils.is_pin_memory_available, lambda: False)

    rotate = RotaryEmbedding.forward_native

    def in_the_callers_shape(self: Any, positions: Any, query: Any, key: Any, offsets: Any = None) -> Any:
        rotated = rotate(self, positions, query, key, offsets)  # comes with an axis for the heads
        return tuple(new.reshape(old.shape) for new, old in zip(rotated, (query, key), strict=True))

    RotaryEmbedding.forward_native = in_the_callers_shape
