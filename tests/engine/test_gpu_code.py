"""The code that vLLM runs on a GPU, its Triton kernels by Triton's interpreter: what it computes, and no times.

Both generations of model runners, with asynchronous scheduling on and off.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.analysis.frames import load_run
from tests.processes import finish, session_of

if TYPE_CHECKING:
    from pathlib import Path

    from harness.analysis.frames import LoadedRun

pytestmark = pytest.mark.engine

ONE_OFF = """
from patches.slot_mapping import List


class OneOff(List):
    def slots(self, *batch):
        slots = super().slots(*batch).clone()
        slots[-1] += 1
        return slots
"""


RUNNERS = ["v1", "v2", "v1 async", "v2 async"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Chunked prefill and decode under every arm (some of them, where scheduling is asynchronous), and a wrong one."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "one_off.py").write_text(ONE_OFF)
    commands = [_command(runner, folder) for runner in RUNNERS]
    with session_of(["-m", "tests.engine.interpreted_triton", json.dumps(commands)]) as process:
        status, out, err = finish(process)
    said = f"{out[-4000:]}{err[-4000:]}"
    assert status == 0, said
    assert json.loads(out.splitlines()[-1]) == [1] * len(RUNNERS), said  # the wrong arm
    return {runner: folder / runner for runner in RUNNERS}


def _command(runner: str, folder: Path) -> list[str]:
    generation, _, asynchronous = runner.partition(" ")
    settings = [
        f"host.model_runner={generation}", f"engine.async_scheduling={str(bool(asynchronous)).lower()}",
        "engine.max_num_batched_tokens=256", "workload.requests=3", "workload.prompt_tokens=150",
        "workload.output_tokens=3", "protocol.groups=2", "protocol.bare=false", "protocol.counters=false",
    ]  # fmt: skip
    arms = "list,cat_frombuffers," + ("" if asynchronous else "array,list_with_array,numpy,")
    arms += f"native,{folder}/one_off.py:OneOff"
    words = [word for setting in settings for word in ("--set", setting)] + ["--no-report"]
    return ["run", "configs/slot_mapping.yaml", *words, "--arms", arms, "--out", str(folder / runner)]


@pytest.fixture(scope="module", params=RUNNERS)
def run(request, folders) -> LoadedRun:
    generation, _, asynchronous = request.param.partition(" ")
    found = load_run(folders[request.param])
    assert found.run["status"] == "complete", found.run["message"]
    details = found.run["host"]["details"]
    assert (details["generation"], details["async_scheduling"]) == (generation, bool(asynchronous))
    assert details["runner_module"].startswith("vllm.v1.worker.")
    return found


def test_every_arm_equals_the_kernel_padding_included_and_the_wrong_one_is_struck(run) -> None:
    equality = run.run["equality"]
    assert {name for name, found in equality.items() if not found["equal"]} == {"OneOff"}
    assert "differs at step 0" in equality["OneOff"]["reason"]


def test_each_step_is_one_call_of_the_seam(run) -> None:
    steps = run.steps[run.steps["probed"]]
    methods = run.run["config"]["scope"].split(" + ")
    assert methods == (["_prepare_inputs"] if _generation(run) == "v1" else ["prepare_inputs", "prepare_attn"])
    assert set(steps["scope.calls"]) == {len(methods)}
    assert set(steps["compute_slot_mapping.calls"]) == {1}
    of_arm = steps[steps["arm"] == "cat_frombuffers"]
    assert np.array_equal(of_arm["torch.frombuffer.calls"], of_arm["num_reqs"])


def test_prefills_and_decodes_are_told_apart(run) -> None:
    steps = run.steps[run.steps["pass"] == 0]
    decodes = steps["num_prefills"] == 0
    assert np.array_equal(steps.loc[decodes, "num_tokens"], steps.loc[decodes, "num_reqs"]), "a token each"
    assert steps.loc[steps["num_prefills"] == 2, "num_tokens"].max() == 256, "two chunks that fill a step"


def test_only_a_v2_runs_report_says_what_host_arms_are_spared(run) -> None:
    told = any("block tables on the device alone" in note for note in run.summary.notes)
    assert told == (_generation(run) == "v2")


def _generation(run: LoadedRun) -> str:
    return str(run.run["host"]["details"]["generation"])
