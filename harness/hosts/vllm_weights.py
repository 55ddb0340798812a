"""`load_format: scaled_dummy`: vLLM's dummy loader with the weights of `hosts.weights`."""

from __future__ import annotations

from typing import Any, Final

from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.dummy_loader import DummyModelLoader

from harness.hosts.weights import fill

__all__ = ["LOAD_FORMAT", "ScaledDummyLoader"]

LOAD_FORMAT: Final = "scaled_dummy"


@register_model_loader(LOAD_FORMAT)
class ScaledDummyLoader(DummyModelLoader):  # type: ignore[misc]  # vLLM is not followed by mypy
    """Weights of a trained model's scale."""

    def load_weights(self, model: Any, model_config: Any) -> None:
        """Fill every parameter, seeded by its name (so that replicated ones agree between ranks)."""
        super().load_weights(model, model_config)
        for name, parameter in model.named_parameters():
            if parameter.is_floating_point():
                fill(name, parameter.data, int(model_config.seed or 0))
