"""Functions whose Python code a step no longer runs, since vLLM has compiled the model or captured it in a graph.

What vLLM traced once (vllm/compilation/decorators.py) runs as compiled code, and a full CUDA graph replays the kernels
of the step that was captured. Code that is set on such a function changes nothing, or changes some steps alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FunctionType

__all__ = ["why_not_run"]

OF_MODELS: Final = ("vllm.model_executor.", "vllm.attention.", "vllm.v1.attention.")
"""Modules whose code runs in a model's forward, which is what vLLM compiles and captures."""
FORWARD: Final = "_model_forward"
EAGER: Final = "set engine.enforce_eager: true"


def why_not_run(
    runner: Any,
    functions: Mapping[str, FunctionType],
    calls: Mapping[str, Sequence[int]],
    phases: Mapping[str, Mapping[str, int]],
) -> dict[str, str]:
    """By full name, why a step does not run a function's Python code, or not every step.

    Args:
        runner: vLLM's model runner; one without a compilation config compiles nothing.
        functions: what arms change.
        calls: of each in every step of a pass of native.
        phases: how many of them lay in which phase.
    """
    config = getattr(getattr(runner, "vllm_config", None), "compilation_config", None)
    graphs = getattr(config, "cudagraph_mode", None)
    compiles, replays = bool(getattr(config, "mode", None)), graphs is not None and graphs.has_full_cudagraphs()
    traced = getattr(config, "traced_files", ())
    found = {}
    for name, function in functions.items():
        lies_there = function.__module__.startswith(OF_MODELS) or function.__code__.co_filename in traced
        if replays and any(phase.endswith(FORWARD) for phase in phases.get(name, ())):
            found[name] = f"is captured in a CUDA graph, which replays without it; {EAGER}"
        elif (compiles or replays) and lies_there and not any(calls.get(name, ())):
            what = "compiles" if compiles else "captures in a CUDA graph"
            found[name] = f"lies in what vLLM {what}, and no step calls it; {EAGER}"
    return found
