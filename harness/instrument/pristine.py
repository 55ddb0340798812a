"""The engine as it was before its first pass: the same blocks in the same order, nothing cached, nothing to report.

vLLM hands out first the blocks that came back first, so block ids, slots and block tables are others in every pass
though tokens are the same; with this they repeat.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from harness.errors import told

__all__ = ["OUT_OF_REACH", "core_of", "is_core", "reset", "reset_after"]

CORE: Final = "EngineCore"
GRAMMARS_LATER: Final = "_use_async_grammar_compilation"
"""Of vLLM's StructuredOutputManager (vllm/v1/structured_output/__init__.py)."""
ADAPTER_MEMOS: Final = ("_last_mapping", "_last_slot_layout")
"""Of vLLM's LoRAModelManager (vllm/lora/model_manager.py), as it clears them itself."""
TURNS: Final = 8
"""After the last request has ended the engine needs a turn to tell its workers, and one for each batch still queued."""
OUT_OF_REACH: Final = "the engine core is out of reach"
"""Why nothing of it is reset where a worker has a process of its own, unless the host does it."""
PROCESS_BEGINS: Final = ("_bootstrap", "multiprocessing")
"""Where a forked process begins: frames above are the parent's, and what they hold is a copy that nobody uses."""


def core_of() -> Any | None:
    """The engine core that is calling this worker's method, however far up; None in a worker's own process."""
    frame = sys._getframe(1)
    above: Any = frame
    while above is not None:
        code = above.f_code
        if code.co_name == PROCESS_BEGINS[0] and PROCESS_BEGINS[1] in code.co_filename:
            return None
        if "self" in code.co_varnames and is_core(owner := above.f_locals.get("self")):
            return owner
        above = above.f_back
    return None


def is_core(value: Any) -> bool:
    """Whether it is vLLM's engine core, in whichever process."""
    return any(kind.__name__ == CORE for kind in type(value).__mro__)


def reset(core: Any | None, runner: Any | None = None, backwards: bool = False) -> str:
    """Put the engine in its first state, between passes.

    Call it before anything is bound: the engine may take a turn, to tell its workers of requests that have ended.

    Args:
        core: vLLM's engine core; None where it is out of reach, and then only the runner is reset.
        runner: of V2, whose requests have rows that are handed out in the order in which they came back.
        backwards: hand out the last blocks first, so that everything lies elsewhere than at first.

    Returns:
        Why it could not all be done; empty where it was.
    """
    _forget_adapters(runner)
    why = OUT_OF_REACH if core is None else _reset_core(core, backwards)
    _forget_guesses(runner)
    return _reset_rows(runner) or why


def reset_after(core: Any | None, runner: Any | None = None) -> str:
    """As `reset`, right after a pass: what an arm has left in the engine may raise anything."""
    try:
        return reset(core, runner)
    except Exception as error:  # noqa: BLE001 (see above)
        return f"the engine cannot be put in its first state: {told(error)}"


def _reset_core(core: Any, backwards: bool) -> str:
    scheduler = core.scheduler
    pool = getattr(getattr(scheduler, "kv_cache_manager", None), "block_pool", None)
    if pool is None:
        return "the engine core has no pool of blocks that is known"
    # Grammars are else compiled by threads, and requests begin in whichever step finds theirs ready.
    if hasattr(grammars := getattr(scheduler, "structured_output_manager", None), GRAMMARS_LATER):
        setattr(grammars, GRAMMARS_LATER, False)
    if scheduler.has_unfinished_requests():
        return "the engine core still has requests"
    for _ in range(TURNS):
        if not (scheduler.has_requests() or getattr(core, "batch_queue", None)):
            break
        core.step_fn()
    if scheduler.has_requests() or pool.get_num_free_blocks() != pool.num_gpu_blocks - 1:
        return "the engine core still holds blocks"
    if getattr(pool, "enable_caching", False) and not scheduler.reset_prefix_cache():
        return "the engine core cannot reset its prefix cache"
    blocks = sorted(
        (each for each in pool.blocks if not each.is_null), key=lambda each: each.block_id, reverse=backwards
    )
    for block in blocks:
        block.prev_free_block = block.next_free_block = None
    pool.free_block_queue = type(pool.free_block_queue)(blocks)
    return ""


def _forget_adapters(runner: Any | None) -> None:
    """The first step of a pass maps its tokens to LoRA adapters anew, whatever the last one of the pass before had."""
    manager = getattr(getattr(runner, "lora_manager", None), "_adapter_manager", None)
    for memo in ADAPTER_MEMOS:
        if hasattr(manager, memo):
            setattr(manager, memo, None)


def _forget_guesses(runner: Any | None) -> None:
    """With speculation guesses are written behind a request's tokens, and those that were wrong stay there.

    What an arm guessed would be found in native's next pass, in places that native never writes.
    """
    batch: Any = getattr(runner, "input_batch", None)
    tokens = getattr(batch, "token_ids_cpu_tensor", None)
    if getattr(runner, "speculative_config", None) is not None and tokens is not None and not batch.num_reqs:
        tokens.zero_()


def _reset_rows(runner: Any | None) -> str:
    states = getattr(runner, "req_states", None)
    free = getattr(states, "free_indices", None)
    if states is None or free is None:
        return ""
    if states.req_id_to_index:
        return "the model runner still has requests"
    free.sort()
    return ""
