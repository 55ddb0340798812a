"""A profile of the real vLLM with all that it can look at, made once: its records, and nothing left behind."""

from __future__ import annotations

import inspect
import json
import statistics
import sys
from typing import Any, NamedTuple

import pytest

from harness.analysis.anatomy import dissect
from harness.analysis.phase_exposure import shown_of_phases
from harness.config.file import load
from harness.hosts.starting import resolve_model
from harness.records.folder import Records, RunFolder, read_run
from harness.report.anatomy_processes import processes_tables
from harness.running.profiling import FEWEST_GROUPS
from harness.running.run import Run
from tests.engine.conftest import CONFIG as SHARED_CONFIG
from tests.engine.conftest import ENGINE, Silent
from tests.processes import finish, session_of

pytestmark = pytest.mark.engine

RUNNER = "vllm.v1.worker.gpu_model_runner.GPUModelRunner"
PREPARE = f"{RUNNER}._prepare_inputs"
SCHEDULE = "vllm.v1.core.sched.scheduler.Scheduler.schedule"
UPDATE = f"{RUNNER}._update_states"
SLOTS = "vllm.v1.worker.block_table.MultiGroupBlockTable.compute_slot_mapping"
STEPS = 20
CONFIG = f"""\
engine: {{model: none}}
workload: {{requests: 4, prompt_tokens: 12, output_tokens: {STEPS}}}
profile: {{into: [prepare inputs], lines: [{UPDATE}], exposed: true}}
protocol: {{groups: 5, counters: false, warmup: 1}}
"""
OF_ITS_OWN = f"""\
host: {{process: subprocess}}
engine: {json.dumps({"model": "none", **ENGINE})}
workload: {{requests: 2, prompt_tokens: 12, output_tokens: 4}}
profile: {{memory: false}}
protocol: {{groups: 5, counters: false, warmup: 1, bare: false}}
"""


class Profiled(NamedTuple):
    run: Run
    outcome: Any
    records: Records
    untouched: bool


def functions() -> dict[str, tuple[Any, Any]]:
    """What stands under the methods' names that are looked at, and what they run."""
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.worker.block_table import MultiGroupBlockTable
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    return {
        f"{owner.__qualname__}.{name}": (value, getattr(value, "__code__", None))
        for owner in (Scheduler, GPUModelRunner, MultiGroupBlockTable)
        for name, value in vars(owner).items()
    }


@pytest.fixture(scope="module")
def profiled(host, tmp_path_factory) -> Profiled:
    folder = tmp_path_factory.mktemp("profile")
    path = folder / "config.yaml"
    path.write_text(CONFIG)
    before = functions()
    run = Run(load(path), host, RunFolder(folder / "run"), Silent())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("harness.running.planning.BESIDE_S", 4.0)  # for each kind of passes beside the measured ones
        outcome = run.execute()
    run.folder.close()
    return Profiled(run, outcome, read_run(run.folder.path), before == functions())


def test_it_ends_well_and_leaves_vllm_as_it_was(profiled) -> None:
    assert (profiled.outcome.status, profiled.outcome.message) == ("complete", "")
    assert profiled.records.unreadable == {}
    assert profiled.untouched
    assert (sys.getprofile(), sys.gettrace()) == (None, None)


def test_known_functions_in_an_opened_phase_are_found_and_timed(profiled) -> None:
    phases = profiled.run.facts["anatomy"]["phases"]
    inside = {name: about for name, about in phases.items() if about.get("within")}
    assert SLOTS in inside
    assert {(about["within"], about["depth"], about["section"]) for about in inside.values()} == {(PREPARE, 1, "turn")}
    columns = profiled.records.columns
    probed = columns["probed"]
    assert set(columns[f"{SLOTS}.calls"][probed]) == {1}
    assert columns[f"{SLOTS}.self_ns"][probed].min() > 0
    assert columns[f"{PREPARE}.total_ns"][probed].sum() > columns[f"{SLOTS}.total_ns"][probed].sum()


def test_what_phases_leave_behind_is_counted(profiled) -> None:
    memory = profiled.records.memory
    for counted in ("blocks", "tracked"):
        here = (memory["counted"] == counted) & (memory["name"] == SCHEDULE)
        assert memory["step"][here].tolist() == list(range(STEPS))
        assert set(memory["calls"][here]) == {1}
    usual = [
        memory["objects"][(memory["counted"] == "tracked") & (memory["name"] == name)].tolist()[2:-2]
        for name in (SCHEDULE, PREPARE)
    ]
    assert statistics.median(usual[0]) > 0  # what a turn hands on is made there


def test_what_shows_of_each_phase_is_measured(profiled) -> None:
    """Wide limits: a machine under load keeps them too."""
    exposed = profiled.records.exposed
    groups = int(exposed["group"].max()) + 1
    assert groups >= FEWEST_GROUPS
    names = set(exposed["name"])
    assert {"", SCHEDULE, PREPARE} <= names
    assert SLOTS not in names
    shares = shown_of_phases(exposed, {}, 0.95)
    assert set(shares) == names - {""}
    assert 0.3 < statistics.median(share.estimate for share in shares.values()) < 3


def test_lines_of_a_function_have_their_source_and_hits(profiled) -> None:
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    lines = profiled.records.lines
    source, first = inspect.getsourcelines(GPUModelRunner._update_states)
    assert lines["text"].tolist() == [line.rstrip()[:300] for line in source]
    assert lines["line"].tolist() == list(range(first, first + len(source)))
    assert lines["hits"].max() >= STEPS
    assert all((lines["ns"] > 0) == (lines["hits"] > 0))


def test_each_process_of_an_engine_of_its_own_is_timed_by_its_own_clock(tmp_path) -> None:
    path, folder = tmp_path / "config.yaml", tmp_path / "run"
    model = resolve_model("models/one-layer-llama", SHARED_CONFIG.parent)
    path.write_text(OF_ITS_OWN.replace('"none"', json.dumps(model)))
    with session_of(["-m", "harness", "profile", str(path), "--out", str(folder)]) as process:
        status, out, err = finish(process)
    assert (status, "Traceback" in err) == (0, False), err
    told = " ".join(out.split())  # as wide as a terminal
    assert "Beside the worker 0, in processes of their own and by their own clocks, a turn: front end" in told
    records = read_run(folder)
    assert records.unreadable == {}
    processes = records.run["anatomy"]["processes"]
    assert list(processes) == ["front end", "engine core"]
    apart = records.processes
    labels = {
        (process, processes[process]["phases"][name]["label"])
        for process, name in zip(apart["process"].tolist(), apart["name"].tolist(), strict=True)
    }
    assert {
        ("front end", "rest of arrival"), ("front end", "input processing"), ("front end", "rest of output"),
        ("engine core", "request queued"), ("engine core", "schedule"), ("engine core", "wait for workers"),
        ("engine core", "update from output"), ("engine core", "rest of the turn"),
    } <= labels  # fmt: skip
    assert not {label for process, label in labels if process == "engine core"} & {"forward", "rest of output"}
    schedules = (apart["process"] == "engine core") & (apart["name"] == SCHEDULE)
    assert sorted(set(apart["step"][schedules])) == list(range(records.run["steps"]["count"]))
    assert apart["self_ns"].min() > 0
    own = records.columns
    assert set(own[f"{RUNNER}.execute_model.calls"][own["probed"]]) >= {1}  # also as what is rest of the scope
    tables = dict(processes_tables(dissect(records)))
    assert [column.title for column in tables["Each process by its own clock: a decode turn"].columns] == [
        "front end", "engine core", "worker 0",
    ]  # fmt: skip
