"""Getting between vLLM 0.5.4's builders and `torch.tensor`, without touching their source.

The two modules that build a step's inputs call `torch.tensor(...)` by way of their own global name `torch`. For a pass
that name holds a module of ours, whose names are torch's own but for `tensor`. It is there whichever arm is in, the
host's own included, so that what it costs (a Python call for each tensor, outside the probe's clock) affects no
difference.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["torch_with"]


def torch_with(torch: Any, tensor: Callable[..., Any]) -> types.ModuleType:
    """A module that is `torch` with another `tensor`; what it lacks it takes from torch, once."""
    stand_in = _Torch(torch.__name__)
    stand_in.__dict__.update(_torch=torch, tensor=tensor)
    return stand_in


class _Torch(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__dict__["_torch"], name)
        if not callable(found) or isinstance(found, type):
            self.__dict__[name] = found  # dtypes and classes; a function may be probed, and is looked up each time
        return found
