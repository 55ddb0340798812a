"""A profile with known times, as records."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.records.folder import Records
from harness.seams import AA, NATIVE
from tests.analysis.test_summarise import make_run

GROUPS, STEPS, REQUESTS = 6, 33, 4
INSIDE, OUTSIDE = 100.0, 50.0
ARRIVAL = "vllm.v1.engine.llm_engine.LLMEngine.add_request"
TURN = "vllm.v1.engine.core.EngineCore.step"
SCHEDULE = "vllm.v1.core.sched.scheduler.Scheduler.schedule"
NEW_BLOCKS = "vllm.v1.core.block_pool.BlockPool.get_new_blocks"
FORWARD = "vllm.v1.worker.gpu_model_runner.GPUModelRunner._model_forward"
OUTPUT = "vllm.v1.engine.output_processor.OutputProcessor.process_outputs"
LOGPROBS = "vllm.v1.engine.logprobs.LogprobsProcessor.update_from_output"
PHASES = {
    ARRIVAL: ("rest of arrival", "arrival"), TURN: ("rest of the turn", "turn"), SCHEDULE: ("schedule", "turn"),
    NEW_BLOCKS: ("new blocks", "turn"), FORWARD: ("forward", "turn"), OUTPUT: ("rest of output", "output"),
    LOGPROBS: ("logprobs", "output"),
}  # fmt: skip
OWN_US = {ARRIVAL: 30, TURN: 10, SCHEDULE: 100, NEW_BLOCKS: 5, FORWARD: 300, OUTPUT: 40, LOGPROBS: 0.1}
"""Of a call."""
OPENING = (8, 16, 24)
"""Steps in which each request opens a block, and scheduling takes `OPENING_US` more."""
OPENING_US = 50
BESIDE_US = 70
"""What the instrument itself takes in the middle of each turn, with the turn's clock stopped."""
DISTURBED = (2, 5)
"""The group and the step in which native's probed turn took a hundred times as long."""


def calls_of(name: str, step: int) -> int:
    """Of a function in a step."""
    return {
        ARRIVAL: REQUESTS * (step == 0), NEW_BLOCKS: REQUESTS * (step in (0, *OPENING)), LOGPROBS: REQUESTS,
    }.get(name, 1)  # fmt: skip


def own_us(name: str, step: int) -> float:
    """The own time of a function in a step."""
    more = OPENING_US if name == SCHEDULE and step in OPENING else 0
    return OWN_US[name] * calls_of(name, step) + more


def core_us(step: int) -> float:
    """The engine core's turn."""
    return sum(own_us(name, step) for name, (_, section) in PHASES.items() if section == "turn")


def make_profile(bare: float = 1.0, **profile: Any) -> Records:
    """Records of a profile whose phases take what `own_us` says, and whose probes cost what the calibration says.

    Turns without probes take `bare` times as long as they should.
    """
    rows = []
    for group in range(GROUPS):
        for step in range(STEPS):
            for arm in (NATIVE, AA):
                factor = 100 if (group, step, arm) == (*DISTURBED, NATIVE) else 1
                base = {
                    "group": group, "pass": group, "step": step, "arm": arm, "gc_collections": 0, "page_faults": 0,
                    "involuntary_switches": 0, "execute_ns": 1, "sample_ns": 1,
                }  # fmt: skip
                jitter = 1 + ((group + step) % 3) / 1000
                rows.append(
                    {**base, "probed": False, "turn_ns": core_us(step) * 1000 * (bare + (2 * group + step) % 5 / 2000)}
                )
                probed = {**base, "probed": True, "turn_ns": core_us(step) * 1000 * jitter * factor}
                total = 0.0
                for name in PHASES:
                    calls = calls_of(name, step)
                    nested = {TURN: 2 + calls_of(NEW_BLOCKS, step), OUTPUT: REQUESTS}.get(name, 0)
                    seen = own_us(name, step) * 1000 * jitter * factor + calls * INSIDE + nested * OUTSIDE
                    seen += 1000 * BESIDE_US * (name == TURN)
                    probed |= {f"{name}.calls": calls, f"{name}.self_ns": seen, f"{name}.total_ns": seen,
                               f"{name}.nested_calls": nested}  # fmt: skip
                    total += seen
                of_core = sum(probed[f"{name}.self_ns"] for name, (_, section) in PHASES.items() if section == "turn")
                probed |= {f"{TURN}.total_ns": of_core, "turn_ns": of_core - 1000 * BESIDE_US}
                scope = {"calls": 2, "self_ns": 2 * INSIDE, "total_ns": total + 2 * INSIDE, "nested_calls": 0}
                rows.append({**probed, **{f"scope.{key}": value for key, value in scope.items()}})
    frame = pd.DataFrame(rows).fillna(0).sample(frac=1, random_state=0)
    run = make_run(
        arms_measured=[NATIVE, AA],
        steps={
            "count": STEPS, "num_reqs": [REQUESTS] * STEPS, "num_tokens": [32 * REQUESTS] + [REQUESTS] * (STEPS - 1),
            "num_prefills": [REQUESTS] + [0] * (STEPS - 1),
        },
        equality={NATIVE: {"equal": True, "reason": ""}},
        switch={"turn": TURN},
        anatomy={"phases": {name: {"label": label, "section": section} for name, (label, section) in PHASES.items()}},
    )  # fmt: skip
    run["config"] |= {
        "seam": "", "arms": [{"name": NATIVE}], "baseline": NATIVE, "scope": f"{ARRIVAL} + {TURN} + {OUTPUT}",
        "probes": list(PHASES), "profile": profile,
    }  # fmt: skip
    return Records(run, frame)
