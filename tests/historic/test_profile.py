"""A profile of the real vLLM 0.5.4: its own phases, that add up to its turn, and nothing left behind."""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.analysis.anatomy import Anatomy, dissect
from harness.analysis.phase_exposure import shown_of_phases
from harness.config.file import load
from harness.config.profiled import profile_of
from harness.doctor.config import examine_historic
from harness.errors import ConfigError
from harness.instrument.anatomy import phases_of
from harness.records.folder import Records, RunFolder, read_run
from harness.running.run import Run
from tests.historic.conftest import MODEL, started

RUNNER = "vllm.worker.model_runner.ModelRunner"
PREPARE = f"{RUNNER}.prepare_model_input"
SCHEDULE = "vllm.core.scheduler.Scheduler.schedule"
BUILD = "vllm.worker.model_runner.ModelInputForGPUBuilder.build"
PREFILLS = "vllm.core.scheduler.Scheduler._schedule_prefills"
STEPS, REQUESTS = 20, 4
HAS_LINES = importlib.util.find_spec("line_profiler") is not None
CONFIG = f"""\
host: {{kind: vllm_v0}}
engine: {{model: {json.dumps(MODEL)}}}
workload: {{requests: {REQUESTS}, prompt_tokens: 12, output_tokens: {STEPS}}}
profile: {{into: [prepare inputs], depth: 2, targets: ["{PREFILLS}*"], steps: "2:18", exposed: true}}
protocol: {{groups: 6, counters: false, warmup: 1}}
"""


class Profiled(NamedTuple):
    run: Run
    outcome: Any
    records: Records
    untouched: bool


class Silent:
    def note(self, text: str) -> None: ...

    def stage(self, name: str, passes: int, seconds: float | None = None) -> None: ...

    def advance(self) -> None: ...


def functions(model: str) -> dict[str, tuple[Any, Any]]:
    """What stands under the names of all phases, and what that runs."""
    found = {}
    for phase in phases_of("turn", "v0", model):
        path = phase.name.split(".")
        owner: Any = sys.modules.get(".".join(path[:-1])) or getattr(sys.modules[".".join(path[:-2])], path[-2])
        held = vars(owner).get(path[-1])
        found[phase.name] = (held, getattr(held, "__code__", None))
    return found


@pytest.fixture(scope="module")
def profiled(tmp_path_factory) -> Profiled:
    from vllm.model_executor.models.llama import LlamaForCausalLM

    model = f"{LlamaForCausalLM.__module__}.{LlamaForCausalLM.__qualname__}"
    folder = tmp_path_factory.mktemp("profile")
    path = folder / "config.yaml"
    path.write_text(CONFIG)
    with started() as host:
        before = functions(model)
        run = Run(load(path), host, RunFolder(folder / "run"), Silent())
        outcome = run.execute()
        run.folder.close()
        untouched = before == functions(model)
    return Profiled(run, outcome, read_run(run.folder.path), untouched)


@pytest.fixture(scope="module")
def anatomy(profiled) -> Anatomy:
    return dissect(profiled.records)


def test_it_ends_well_and_leaves_vllm_as_it_was(profiled) -> None:
    assert (profiled.outcome.status, profiled.outcome.message) == ("complete", "")
    assert profiled.records.unreadable == {}
    assert profiled.untouched
    assert (sys.getprofile(), sys.gettrace()) == (None, None)


def test_every_phase_of_the_table_is_there_and_called_as_often_as_it_must_be(profiled) -> None:
    facts = profiled.run.facts
    model = facts["host"]["details"]["model_class"]
    assert facts["switch"]["turn"] == "vllm.engine.llm_engine.LLMEngine.step"
    table = {phase.name: phase.label for phase in phases_of("turn", "v0", model)}
    assert set(table) <= set(facts["anatomy"]["phases"])
    columns = profiled.records.columns
    probed = columns["probed"]
    calls = {}
    for name, label in table.items():
        calls.setdefault(label, []).append(set(columns[f"{name}.calls"][probed & (columns["step"] > 0)]))
    once = ("rest of the turn", "schedule", "rest of execute", "attention metadata", "forward", "logits", "sampling")
    for label in (*once, "logprobs", "bookkeeping", "update from output"):
        assert calls[label] == [{1}], label
    assert calls["prepare inputs"] == [{1}, {1}]
    assert calls["rest of output"] == [{REQUESTS}]
    assert calls["detokenising"] == [{0}]  # prompts and answers are token ids here
    assert all(found == {0} for found in calls["request made"])
    first = columns["step"] == 0
    assert set(columns["vllm.engine.llm_engine.LLMEngine.add_request.calls"][first & probed]) == {REQUESTS}


def test_the_phases_add_up_to_the_turn(profiled, anatomy) -> None:
    """To each probed turn exactly; against turns without probes within wide limits, since the machine may be loaded."""
    (decode, arrival) = anatomy.kinds
    assert (decode.kind, arrival.kind) == ("decode", "arrival")
    assert decode.count == 16  # of the window; the prefill is before it
    assert abs(decode.rest_us) < 0.02 * decode.whole_us.estimate
    assert sum(phase.us.estimate for phase in decode.phases) == pytest.approx(decode.whole_us.estimate, rel=0.02)
    assert decode.told is not None
    assert decode.told.low < 1.2
    assert decode.told.high > 0.8
    assert {phase.section for phase in decode.phases} == {"turn"}  # the output is in it
    assert arrival.count == REQUESTS


def test_an_opened_phase_and_further_targets_are_timed(profiled) -> None:
    phases = profiled.run.facts["anatomy"]["phases"]
    assert (phases[BUILD]["within"], phases[BUILD]["depth"], phases[BUILD]["section"]) == (PREPARE, 2, "turn")
    assert phases[PREFILLS] == {"label": PREFILLS, "section": ""}
    columns = profiled.records.columns
    assert set(columns[f"{BUILD}.calls"][columns["probed"]]) == {1}
    assert set(columns[f"{PREFILLS}.calls"][columns["probed"]]) == {1}


def test_what_phases_leave_behind_and_what_shows_of_them_is_there(profiled) -> None:
    memory, exposed = profiled.records.memory, profiled.records.exposed
    here = (memory["counted"] == "tracked") & (memory["name"] == SCHEDULE)
    assert memory["step"][here].tolist() == list(range(STEPS))
    assert statistics.median(memory["objects"][here].tolist()[2:-2]) > 0
    assert {"", SCHEDULE, PREPARE} <= set(exposed["name"])
    assert BUILD not in set(exposed["name"])
    shares = shown_of_phases(exposed, {}, 0.95)
    assert 0.3 < statistics.median(share.estimate for share in shares.values()) < 3


@pytest.mark.skipif(not HAS_LINES, reason="line_profiler is not installed in this environment")
def test_lines_are_timed(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        CONFIG.replace("into: [prepare inputs], depth: 2,", f"lines: [{PREPARE}],").replace("true", "false")
    )
    with started() as host:
        run = Run(load(path), host, RunFolder(tmp_path / "run"), Silent())
        assert run.execute().status == "complete"
        run.folder.close()
    lines = read_run(tmp_path / "run").lines
    assert set(lines["name"]) == {PREPARE}
    assert lines["hits"].max() >= STEPS


@pytest.mark.skipif(HAS_LINES, reason="line_profiler is installed in this environment")
def test_lines_are_refused_before_the_start_and_the_environment_is_named() -> None:
    with pytest.raises(ConfigError, match=rf"profile\.lines: line_profiler is not installed.*{sys.prefix}"):
        profile_of(Path("configs/profile/historic_decode.yaml"), {"lines": [PREPARE]}, [])


def test_doctor_finds_every_phase() -> None:
    for name in ("historic_decode", "historic_prefill"):
        findings = list(examine_historic(load(Path("configs/profile") / f"{name}.yaml")))
        assert [finding for finding in findings if finding.level == "fault"] == []
        (phases,) = [finding.found for finding in findings if finding.subject == "phases"]
        count = len(phases_of("turn", "v0", "the.models.Class"))
        assert phases == f"v0 runner: {count} of {count} functions are there"
