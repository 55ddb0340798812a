"""Any change in the real engine: patches wrong in one place are struck there, and broken drop-ins leave it whole."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.instrumentation import ArmSpec, Instrumentation
from harness.running.equality import Equality
from harness.running.proving import Proving
from harness.running.reference import _others
from tests.engine.test_in_process import requests

if TYPE_CHECKING:
    from harness.hosts.vllm import VllmHost

pytestmark = pytest.mark.engine

WORK = requests((1, 3), (31, 2), (32, 5), (33, 4), (64, 1), (65, 9), (128, 3), (150, 30), (2, 40), (90, 20), (1, 1),
                (40, 33), (33, 33), (20, 12), (70, 8), (5, 30))  # fmt: skip
APPEND_ROW = "vllm.v1.worker.block_table.BlockTable.append_row"

WRONG = {
    "block": (
        "vllm/v1/worker/block_table.py",
        "self.block_table.np[row_idx, start : start + num_blocks] = block_ids",
        "self.block_table.np[row_idx, start : start + num_blocks] = [i + (i == 7) for i in block_ids]",
        ("block_table", "expected 7, found 8"),
    ),
    "position": (
        "vllm/v1/worker/gpu_model_runner.py",
        "        self._prepare_input_ids(\n            scheduler_output,\n",
        "        self.positions[total_num_scheduled_tokens - 1] += total_num_scheduled_tokens == 5\n"
        "        self._prepare_input_ids(\n            scheduler_output,\n",
        ("model[positions][4]", "expected"),
    ),
    "slot": (
        "vllm/v1/attention/backends/cpu_attn.py",
        "        slot_mapping = common_attn_metadata.slot_mapping\n",
        "        slot_mapping = common_attn_metadata.slot_mapping.clone()\n"
        "        slot_mapping[num_actual_tokens - 1] += num_actual_tokens == 5\n",
        ("slot_mapping[4]", "expected"),
    ),
    "token budget": (
        "vllm/v1/core/sched/scheduler.py",
        "        token_budget = self.max_num_scheduled_tokens\n",
        "        token_budget = self.max_num_scheduled_tokens - (len(self.running) == 7)\n",
        ("scheduler_output.num_scheduled_tokens[req#", "expected"),
    ),
    "forgotten array": (
        "vllm/v1/worker/gpu_input_batch.py",
        "            self.num_prompt_tokens[empty_index] = self.num_prompt_tokens[last_req_index]\n",
        "",
        ("num_prompt_tokens", "expected"),
    ),
}
"""By name: the file, what stands there, what stands there in the patch, and what is said of it."""

BROKEN = """
import gc, random, time

import numpy as np
import torch


def write(self, block_ids, row_idx):
    start = self.num_blocks_per_row[row_idx]
    self.num_blocks_per_row[row_idx] += len(block_ids)
    self.block_table.np[row_idx, start : start + len(block_ids)] = block_ids


def raises(self, block_ids, row_idx):
    raise ZeroDivisionError("at once")


calls = 0


def raises_later(self, block_ids, row_idx):
    global calls
    calls += 1
    if calls > 9:
        raise ValueError("at last")
    write(self, block_ids, row_idx)


def exits(self, block_ids, row_idx):
    raise SystemExit(3)


def does_nothing(self, block_ids, row_idx):
    return None


def one_off(self, block_ids, row_idx):
    write(self, [i + 1 for i in block_ids], row_idx)


def empties_its_input(self, block_ids, row_idx):
    write(self, block_ids, row_idx)
    block_ids.clear()


def forgets_the_count(self, block_ids, row_idx):
    self.block_table.np[row_idx, : len(block_ids)] = block_ids


def gives_something(self, block_ids, row_idx):
    write(self, block_ids, row_idx)
    return row_idx


def changes_the_default(self, block_ids, row_idx):
    write(self, block_ids, row_idx)
    torch.set_default_dtype(torch.float64)


def never_returns(self, block_ids, row_idx):
    while True:
        time.sleep(0.01)
"""
ARMS = [line.removeprefix("def ").partition("(")[0] for line in BROKEN.splitlines() if line.startswith("def ")][1:]


class Nobody:
    """An observer that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stage(self, name: str, passes: int, seconds: float | None = None) -> None: ...

    def advance(self) -> None: ...


def proven(host: VllmHost, instrumentation: Instrumentation) -> tuple[dict[str, str], Nobody, Proving]:
    """Show which arms are equal: why the others are not, what was noted, and by what."""

    host.install(instrumentation)
    observer, struck = Nobody(), dict[str, str]()

    def restart() -> None:
        pytest.fail(observer.notes[-1])

    names = [arm.name for arm in instrumentation.arms]
    proving = Proving(host, observer, Equality(names, observer, struck, {}), names, WORK, 0, restart, {})
    proving.prove("the tests' own")
    return struck, observer, proving


def served_as_before(host: VllmHost, proving: Proving) -> bool:
    """Whether native still does, step by step and in tokens, what it did at first."""
    host.run_pass("soil", [0], _others(WORK))
    result = host.run_pass("check", [0], WORK)
    return (result.mismatches, result.tokens) == ([], proving.reference.answers.tokens)


def changed(folder: Path, file: str, old: str, new: str) -> str:
    """The folder of an arm that changes one file of vLLM in one place."""
    package = Path(str(find_spec("vllm").origin)).parents[1]
    text = (package / file).read_text()
    assert text.count(old) == 1
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text(text.replace(old, new))
    return str(folder)


def test_patches_that_are_wrong_in_one_place_are_struck_there(host, tmp_path) -> None:
    arms = [ArmSpec("native", "", None)]
    arms += [
        ArmSpec(name, "", None, changed(tmp_path / name.replace(" ", "-"), *where))
        for name, (*where, _) in WRONG.items()
    ]
    struck, _, proving = proven(host, Instrumentation("", arms, [], "auto"))
    assert set(struck) == set(WRONG)
    for name, (*_, said) in WRONG.items():
        assert struck[name].startswith("differs at step "), struck[name]
        assert all(part in struck[name] for part in (*said, "found")), struck[name]
    assert served_as_before(host, proving)
    assert proving.reached.scope("auto").count("vllm.v1.") >= 4


def test_broken_drop_ins_leave_the_engine_as_they_found_it(host, tmp_path) -> None:
    """Ten of them: native's tokens and whole fingerprint are what they were, and the engine is never started anew."""
    (tmp_path / "broken.py").write_text(BROKEN)
    arms = [ArmSpec("native", "", None), *(ArmSpec(name, f"{tmp_path}/broken.py:{name}", None) for name in ARMS)]
    plain = Instrumentation("", arms, [], "auto", step_timeout_s=2.0, swap=APPEND_ROW)
    assert len(ARMS) == 10
    struck, observer, proving = proven(host, plain)
    assert set(struck) == set(ARMS)
    assert "ZeroDivisionError: at once (broken.py:" in struck["raises"]
    assert "ValueError: at last (broken.py:" in struck["raises_later"]
    assert "SystemExit: 3" in struck["exits"]
    assert "block_table" in struck["does_nothing"]
    assert "block_table" in struck["one_off"]
    assert "calls." in struck["empties_its_input"] or "differs" in struck["empties_its_input"]
    assert "result`: expected NoneType None, found int" in struck["gives_something"]
    assert "changed torch's default dtype" in struck["changes_the_default"]
    assert "it had not returned after 2 s" in struck["never_returns"]
    assert not [note for note in observer.notes if "anew" in note]
    assert served_as_before(host, proving)
    # And nothing of it is left for whoever comes next.
    host.install(replace(plain, arms=arms[:1]))
    for _ in range(NATIVE_PASSES):
        assert host.run_pass("check", [0], WORK).tokens == proving.reference.answers.tokens
