"""Short names of functions, for tables and sentences: `Scheduler.schedule` for its name with all of its modules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "PHASES",
    "SEVERAL",
    "beside_turns",
    "full_names",
    "is_turn",
    "listed",
    "scope_in_words",
    "scope_parts",
    "scope_title",
    "short_names",
]

PARTS: Final = 2
"""A class and its method, or a module and its function."""
JOIN: Final = " + "
"""Between the functions of a scope that has several."""
NAMED: Final = 2
"""Functions of a scope that a sentence names, at most."""

SEVERAL: Final = "the scope"
"""What tables call a scope of several functions with long names."""

_CORE: Final = "vllm.v1.core.sched.scheduler.Scheduler."
_V1: Final = "vllm.v1.worker.gpu_model_runner.GPUModelRunner."
_V2: Final = "vllm.v1.worker.gpu.model_runner.GPUModelRunner."
PHASES: Final = {
    f"{_CORE}schedule": "schedule",
    f"{_CORE}get_grammar_bitmask": "grammar bitmask",
    f"{_V1}_update_states": "_update_states",
    f"{_V1}_prepare_inputs": "_prepare_inputs",
    f"{_V1}_build_attention_metadata": "attention metadata",
    f"{_V1}_model_forward": "model forward",
    f"{_V1}_sample": "sampling",
    f"{_V1}_bookkeeping_sync": "bookkeeping",
    f"{_V2}finish_requests": "finish_requests",
    f"{_V2}add_requests": "add_requests",
    f"{_V2}update_requests": "update_requests",
    f"{_V2}prepare_inputs": "prepare_inputs",
    f"{_V2}prepare_attn": "attention metadata",
    f"{_V2}sample": "sampling",
    f"{_V2}postprocess_sampled": "postprocess_sampled",
    f"{_CORE}update_from_output": "update_from_output",
    "vllm.v1.engine.output_processor.OutputProcessor.process_outputs": "output processing",
    "vllm.v1.engine.llm_engine.LLMEngine.add_request": "add_request",
    "vllm.v1.engine.core.EngineCore.add_request": "add_request of the core",
}
"""The phases of a turn of the engine core (`instrument.phases`), by the names that sentences have for them."""


BESIDE_TURNS: Final = frozenset(
    {
        "vllm.v1.engine.output_processor.OutputProcessor.process_outputs",
        "vllm.v1.engine.llm_engine.LLMEngine.add_request",
        "vllm.v1.engine.core.EngineCore.add_request",
    }
)
"""Phases before and after the engine core's turn: they take time of their own, and none of the turn's."""


TURNS: Final = frozenset(
    {"vllm.v1.engine.core.EngineCore.step", "vllm.v1.engine.core.EngineCore.step_with_batch_queue"}
)
"""A turn, whole: `auto` comes to it where no function is changed, as by a setting."""


def is_turn(scope: str) -> bool:
    """Whether a scope is the whole turn of the engine core."""
    return scope in TURNS


def beside_turns(scope: str) -> list[str]:
    """The functions of a scope that lie beside the engine core's turn, by the names that sentences have for them."""
    return [PHASES[part] for part in scope_parts(scope) if part in BESIDE_TURNS]


def short_names(names: Iterable[str]) -> dict[str, str]:
    """The last two parts of each name, and more where two names would then be one. Two parts or fewer stay."""
    parts = {name: name.split(".") for name in names}
    kept = dict.fromkeys(parts, PARTS)
    while True:
        short = {name: ".".join(path[-kept[name] :]) for name, path in parts.items()}
        taken = Counter(short.values())
        twice = [name for name in short if taken[short[name]] > 1 and kept[name] < len(parts[name])]
        if not twice:
            return short
        for name in twice:
            kept[name] += 1


def full_names(run: Mapping[str, Any]) -> list[str]:
    """All functions that a run's report may name, as run.json has them."""
    config, switch = run["config"], run.get("switch", {})
    found = [*(part for part in scope_parts(config["scope"]) if "." in part), *config["probes"]]
    found += [*([config["swap"]] if config.get("swap") else []), *switch.get("functions", [])]
    for arm in switch.get("arms", {}).values():
        found += [name for key in ("swapped", "called_through", "values", "added") for name in arm.get(key, [])]
        found += [left["name"] for left in arm.get("left", [])]
    for change in run.get("changes", {}).values():
        found += [*change.get("changed", []), *(refused["name"] for refused in change.get("refused", []))]
    found += [name for calls in run.get("calls", {}).values() for name in calls]
    return list(dict.fromkeys(found))


def scope_parts(scope: str) -> list[str]:
    """The functions of a scope."""
    return scope.split(JOIN)


def scope_title(scope: str, short: Mapping[str, str]) -> str:
    """What tables call the scope: its function, or `the scope` where it is several with long names."""
    parts = scope_parts(scope)
    if not any("." in part for part in parts):
        return scope
    return short.get(scope, scope) if len(parts) == 1 else SEVERAL


def scope_in_words(scope: str, short: Mapping[str, str]) -> str:
    """What sentences call the scope: `schedule, _update_states and 3 more phases`."""
    parts = scope_parts(scope)
    if not any("." in part for part in parts):
        return scope
    kind = "phase" if all(part in PHASES for part in parts) else "function"
    return listed([PHASES.get(part) or short.get(part, part) for part in parts], NAMED, kind)


def listed(names: Iterable[str], most: int, kind: str = "") -> str:
    """`a`; `a and b`; `a, b and 3 more functions`."""
    names = list(names)
    shown, more = names[:most], len(names) - most
    if more > 0:
        shown.append(f"{more} more{f' {kind}' if kind else ''}{'s' if kind and more > 1 else ''}")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""
