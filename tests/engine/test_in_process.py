"""The instrument in the real engine: every arm, over batches of all kinds; faults; and nothing left behind."""

from __future__ import annotations

import json
import re
import statistics
import time
from importlib import resources

import jsonschema
import pytest
import torch

from harness import errors
from harness.config.experiment import Host as HostConfig
from harness.config.file import load
from harness.doctor.config import examine_config
from harness.doctor.engine import examine_engine, examine_generations
from harness.hosts.vllm import VllmHost
from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.instrumentation import Instrumentation
from harness.records.folder import RunFolder, read_run
from harness.report import write_reports
from harness.running.run import Run
from harness.running.trial import describe, forecast, plan_trial
from harness.sampling.stacks import ENTRY, PLANTED, SEAM, match, merge
from harness.seams import AA, SEAMS
from harness.workload.requests import Request, build
from patches.slot_mapping import Numpy
from tests.engine.conftest import CONFIG
from tests.sampling.test_pyspy import attaches

pytestmark = pytest.mark.engine

NATIVE_ARM = ("native", "", None)
ARMS = [NATIVE_ARM, *((name, reference, None) for name, reference in SEAMS["slot_mapping"].places["v1"].arms.items())]
PROBES = ["torch.tensor", "compute_slot_mapping", "torch.frombuffer", "torch.cat"]
SCOPE = "_prepare_inputs"
NOT_REPEATED = ["context.attn_metadata[model.layers.*.self_attn.attn].scheduler_metadata"]
"""Of native, from pass to pass: a struct of the CPU backend with uninitialised gaps."""


class WrongBlock:
    """Writes every token one block too far: reads stay inside the cache, but come from elsewhere."""

    takes = "arrays"

    def slots(self, block_tables, first_positions, counts, block_size):
        return Numpy().slots(block_tables, first_positions, counts, block_size) + block_size


class RaisesAt37:
    takes = "arrays"
    calls = 0

    def slots(self, *args):
        RaisesAt37.calls += 1
        if RaisesAt37.calls > 37:
            raise ZeroDivisionError("at last")
        return Numpy().slots(*args)


def requests(*lengths: tuple[int, int]) -> list[Request]:
    return [Request([(7 * i + 31 * n) % 1024 for i in range(prompt)], out) for n, (prompt, out) in enumerate(lengths)]


def install(host, arms=ARMS, probes=PROBES) -> list[str]:
    host.install(Instrumentation("slot_mapping", arms, probes, SCOPE))
    return [name for name, *_ in arms]


def known(host, work):
    """Native serves, until it is known what it does; its last pass."""
    for _ in range(NATIVE_PASSES):
        result = host.run_pass("check", [0], work)
        assert result.mismatches == []
    return result


def own(cls) -> str:
    return f"{__name__}:{cls.__name__}"


@pytest.fixture
def untouched(host):
    """Fails the test if it leaves anything of vLLM's or torch's replaced."""
    runner = host._llm.llm_engine.model_executor.driver_worker.worker.model_runner
    tables = runner.input_batch.block_table.block_tables

    def state():
        return (
            [name for owner in (runner, *tables) for name in vars(owner) if callable(getattr(type(owner), name, None))],
            [getattr(torch, name) for name in ("tensor", "frombuffer", "cat", "from_numpy")],
            [vars(type(table))["compute_slot_mapping"] for table in tables],
        )

    before = state()
    assert before[0] == []  # no instance hides a method of its class
    yield
    assert state() == before


MIXED = requests((1, 3), (31, 2), (32, 5), (33, 4), (64, 1), (65, 9), (128, 3), (200, 40), (2, 60), (90, 20), (1, 1))


@pytest.mark.parametrize(
    "work",
    [MIXED, requests((1, 1)), requests(*[(64, 2)] * 8), requests(*[(150, 40)] * 12), requests(*[(1, 70)] * 3)],
    ids=["mixed", "one token", "whole chunks", "more than fit", "decodes over block edges"],
)
def test_every_arm_equals_native_in_every_step_of_the_real_loop(host, untouched, work) -> None:
    names = install(host)
    checked = known(host, work)
    assert host.checked()["not_repeated"] == NOT_REPEATED
    assert [set(calls) for calls in checked.watched["calls"].values()] == [{1}]
    assert [len(tokens) for tokens in checked.tokens] == [request.output_tokens for request in work]
    assert sum(checked.columns["num_tokens"]) >= sum(len(r.prompt_token_ids) + r.output_tokens - 1 for r in work)
    for arm in range(len(names)):
        result = host.run_pass("check", [arm], work)
        assert (result.mismatches, result.tokens) == ([], checked.tokens)
    schedule = [step % len(names) for step in range(len(checked.columns["step"]))]
    assert host.run_pass("check", schedule, work).mismatches == []


def test_chunked_prefill_and_mixed_steps_do_occur(host) -> None:
    """Or the test above would prove less than it says."""
    install(host)
    columns = host.run_pass("bare", [0], MIXED).columns
    steps = list(zip(columns["num_reqs"], columns["num_prefills"], strict=True))
    assert any(0 < prefills < reqs for reqs, prefills in steps)
    assert any(prefills == 0 for _, prefills in steps)
    assert max(columns["num_tokens"]) == 64


@pytest.mark.parametrize("arm", [name for name, *_ in ARMS])
def test_probes_fire_as_often_as_they_must(host, untouched, arm) -> None:
    """torch.cat once a step, torch.frombuffer once a sequence; `native` calls none of them."""
    names = install(host)
    columns = host.run_pass("probed", [names.index(arm)], MIXED).columns
    steps, sequences = len(columns["step"]), columns["num_reqs"]
    none, once = [0] * steps, [1] * steps
    expected = {
        "native": (none, none, none),
        "list": (once, none, none),
        "array": (none, once, none),
        "list_with_array": (none, once, none),
        "cat_frombuffers": (none, sequences, once),
        "numpy": (none, none, none),
    }[arm]
    found = tuple(columns[f"{probe}.calls"] for probe in ("torch.tensor", "torch.frombuffer", "torch.cat"))
    assert found == expected
    assert columns["compute_slot_mapping.calls"] == once
    assert columns["scope.calls"] == once


def test_in_each_step_the_parts_rebuild_the_scope_and_the_scope_fits_the_step(host) -> None:
    names = install(host)
    columns = host.run_pass("probed", list(range(len(names))), MIXED).columns
    for step in range(len(columns["step"])):
        parts = sum(columns[f"{name}.self_ns"][step] for name in ("scope", *PROBES))
        assert parts == columns["scope.total_ns"][step]
        assert 0 < parts < columns["execute_ns"][step]


def test_a_wrong_arm_is_caught_by_the_check_and_by_its_tokens(host, untouched) -> None:
    """The second is why the weights are not vLLM's dummies: with those a broken cache changes no token."""
    work = requests((40, 20), (90, 20), (5, 20))
    install(host, arms=[NATIVE_ARM, ("wrong", own(WrongBlock), None)])
    checked = known(host, work)
    (mismatch,) = host.run_pass("check", [1], work).mismatches
    assert (mismatch["arm"], mismatch["step"], mismatch["raised"]) == ("wrong", 0, False)
    assert mismatch["field"].endswith(".slot_mapping")
    assert re.search(r"slot_mapping\[0\]`: expected (\d+), found (\d+) \(\d+ of \d+ differ\)", mismatch["reason"])
    native = host.run_pass("bare", [0], work)
    assert native.tokens == checked.tokens
    assert host.run_pass("bare", [1], work).tokens != native.tokens
    assert host.run_pass("bare", [0], work).tokens == native.tokens


def test_an_arm_that_raises_leaves_vllm_as_found_and_the_engine_in_use(host, untouched) -> None:
    work = requests((10, 50))
    install(host, arms=[NATIVE_ARM, ("late", own(RaisesAt37), None)])
    native = host.run_pass("bare", [0], work)
    RaisesAt37.calls = 0
    result = host.run_pass("probed", [1], work)
    assert (result.failure["arm"], result.failure["step"]) == ("late", 37)
    assert result.failure["error"].startswith("ZeroDivisionError: at last (test_in_process.py:")
    assert result.unrestored == []
    assert result.tokens == native.tokens
    outputs = host._llm.generate([{"prompt_token_ids": work[0].prompt_token_ids}], use_tqdm=False)
    assert len(outputs) == 1  # as a user of the same process would go on


def test_any_function_can_be_probed_by_its_dotted_name(host, untouched) -> None:
    probes = [
        "numpy.repeat",
        "torch.index_select",
        "vllm.v1.worker.gpu_input_batch.InputBatch.condense",
        "vllm.v1.worker.gpu_model_runner.GPUModelRunner._prepare_input_ids",
        SEAMS["slot_mapping"].places["v1"].target,
    ]
    install(host, probes=probes)
    columns = host.run_pass("probed", [0], MIXED).columns
    steps = len(columns["step"])
    assert columns["numpy.repeat.calls"] == [2] * steps  # one in _prepare_inputs, one in _get_cumsum_and_arange
    assert columns["torch.index_select.calls"] >= [1] * steps
    assert columns[f"{probes[3]}.calls"] == [1] * steps
    assert columns[f"{probes[4]}.calls"] == [1] * steps
    assert columns[f"{probes[2]}.calls"] == [0] * steps  # it is called, but outside the scope


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"probes": ["torch.tensr"]}, errors.ConfigError, "did you mean 'tensor'"),
        ({"arms": [("mine", "no.such.module:Mine", None)]}, errors.ConfigError, "importing no.such.module failed"),
    ],
)
def test_what_cannot_be_installed_is_said_across_the_rpc(host, untouched, change, error, message) -> None:
    with pytest.raises(error, match=message):
        install(host, **change)


def test_an_unknown_engine_argument_is_refused_with_the_nearest(host) -> None:
    with pytest.raises(errors.ConfigError, match=r"engine.max_modl_len: vLLM .* did you mean 'max_model_len'"):
        VllmHost(HostConfig(), {"model": "x", "max_modl_len": 3}).start()


def test_a_device_that_this_vllm_is_not_for_is_refused(host) -> None:
    other = "cuda" if host.start().device == "cpu" else "cpu"
    with pytest.raises(errors.ConfigError, match=f"host.device: {other} was asked for"):
        VllmHost(HostConfig(device=other), {"model": "x"}).start()


def test_the_main_job_in_small(host, untouched, silent, tmp_path) -> None:
    """The config of the main job, on the shared engine: its counts as derived by hand, its files and their schema."""
    loaded = load(CONFIG, ["protocol.groups=3", "workload.requests=4",
                           "workload.prompt_tokens=16", "workload.output_tokens=10"])  # fmt: skip
    run = Run(loaded, host, RunFolder(tmp_path / "run"), silent, trace_steps=2)
    outcome = run.execute()
    assert (outcome.exit_status, outcome.message) == (0, "")
    events = json.loads((run.folder.path / "trace.json").read_text())["traceEvents"]
    assert {event["name"] for event in events} >= {
        "process_name", "execute_model", "sample_tokens", "_prepare_inputs", "compute_slot_mapping", "torch.cat",
    }  # fmt: skip
    records = read_run(run.folder.path)
    assert records.run["steps"]["num_tokens"] == [64, *[4] * 9]  # all prompts in one step, then nine of one token each
    assert len(records.frame) == 3 * (6 + 1) * 2 * 10  # passes of six arms and A/A, probed and bare, of ten steps
    summary = write_reports(run.folder.path)
    calls = {
        name: [arm.probes[probe].calls for probe in ("torch.tensor", "torch.frombuffer", "torch.cat")]
        for name, arm in summary.arms.items()
    }
    assert calls == {
        "list": [10, 0, 0],
        "A/A": [10, 0, 0],
        "cat_frombuffers": [0, 40, 10],
        "array": [0, 10, 0],
        "list_with_array": [0, 10, 0],
        "numpy": [0, 0, 0],
        "native": [0, 0, 0],
    }
    schema = json.loads(resources.files("harness").joinpath("schemas/summary.schema.json").read_text())
    jsonschema.validate(json.loads((run.folder.path / "summary.json").read_text()), schema)
    assert "0 calls" in (run.folder.path / "report.md").read_text()
    counted = summary.counters
    assert set(counted) == {"list", "cat_frombuffers", "array", "list_with_array", "numpy", "native"}
    assert counted["list"]["step_aten_dispatches"] > counted["list"]["scope_aten_dispatches"]
    # torch.tensor is two ATen operators (lift_fresh and detach_), of which numpy has none
    assert counted["list"]["scope_aten_dispatches"] > counted["numpy"]["scope_aten_dispatches"] > 0
    assert set(records.frame) >= {"gc_collections", "page_faults", "involuntary_switches"}


@attaches
def test_py_spy_sees_the_arm_under_the_seam_and_a_planted_delay_stands_out(host, untouched, silent, tmp_path) -> None:
    """A delay of four times what the scope takes here, and as long under py-spy as some 30 looks at the seam need."""
    overrides = ["workload.requests=8", "workload.prompt_tokens=20", "workload.output_tokens=32"]
    install(host, arms=[NATIVE_ARM, ("numpy", "patches.slot_mapping:Numpy", None)])
    work = build(load(CONFIG, overrides).experiment.workload, CONFIG.parent, 1024, 256).requests
    columns = host.run_pass("probed", [1], work).columns
    scope_us, seam_us, step_us = (
        statistics.median(columns[name]) / 1e3
        for name in ("scope.total_ns", "compute_slot_mapping.total_ns", "execute_ns")
    )
    seconds = min(max(30 / 200 * step_us / seam_us, 3), 20)
    late = f"{{name: late, reference: 'patches.slot_mapping:Numpy', delay_us: {4 * scope_us:.0f}}}"
    overrides += [f"arms=[numpy, native, {late}]", "baseline=numpy", "protocol.groups=3",
                  f"flamegraph={{seconds: {seconds:.1f}, rate_hz: 200}}"]  # fmt: skip
    loaded = load(CONFIG, overrides, [])
    run = Run(loaded, host, RunFolder(tmp_path / "run"), silent, flamegraphs=True)
    assert run.execute().status == "complete"
    assert "flamegraphs_missing" not in run.facts
    flames = write_reports(run.folder.path).flames
    trees = {name: merge(match(flame.stacks, "compute_slot_mapping")) for name, flame in flames.items()}
    for name, tree in trees.items():
        (scope,) = tree.children.values()
        assert scope.frame.name == f"GPUModelRunner.{SCOPE}"
        (passed_on,) = (node for node in scope.children.values() if node.frame.function == "compute_slot_mapping")
        seam = passed_on.children[SEAM.key]
        if name != "late":  # there a look that meets the seam meets its delay, and by chance not once the arm
            assert (ENTRY.key in seam.children) == (name == "numpy")
        assert (PLANTED.key in seam.children) == (name == "late")
    # Four times the scope more in each step, by the samples as by the clock.
    assert flames["late"].scope_time > 2 * flames["numpy"].scope_time
    picture = (run.folder.path / "flamegraphs/late-against-numpy.svg").read_text()
    assert "planted delay +" in picture


def test_a_level_shift_planted_half_way_withholds_the_verdicts(host, untouched, silent, tmp_path, monkeypatch) -> None:
    """From half of the passes on the real runner's scope takes three times as long, under all arms alike."""
    loaded = load(CONFIG, ["protocol.groups=12", "workload.requests=4",
                           "workload.prompt_tokens=16", "workload.output_tokens=10", "protocol.counters=false"],
                  ["list"])  # fmt: skip
    passes: list[str] = []
    usual_ns: list[int] = []
    run_pass = host.run_pass

    def counted(kind, *args, **kwargs):
        passes.append(kind)
        return run_pass(kind, *args, **kwargs)

    runner = type(host._llm.llm_engine.model_executor.driver_worker.worker.model_runner)
    prepare_inputs = runner._prepare_inputs

    def delayed(*args, **kwargs):
        began = time.perf_counter_ns()
        result = prepare_inputs(*args, **kwargs)
        now = time.perf_counter_ns()
        if passes.count("mixed") <= 24:
            usual_ns.append(now - began)
        else:
            ends = now + 2 * statistics.median(usual_ns)
            while time.perf_counter_ns() < ends:
                pass
        return result

    monkeypatch.setattr(host, "run_pass", counted)
    monkeypatch.setattr(runner, "_prepare_inputs", delayed)
    run = Run(loaded, host, RunFolder(tmp_path / "run"), silent)
    assert run.execute().status == "complete"
    summary = write_reports(run.folder.path)
    assert summary.withheld
    assert {comparison.verdict for comparison in summary.comparisons} == {"withheld"}
    (shift,) = [shift for shift in summary.drift if shift.of == "share"]
    assert abs(shift.first_pass - 24) <= 3  # one alone can look like its neighbours on a busy machine
    assert "Verdicts are withheld" in (run.folder.path / "report.md").read_text()


def test_a_trial_tells_of_the_run(host, untouched, silent, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("harness.running.trial.TRIAL_S", 0.1)
    loaded = load(CONFIG, ["workload.requests=4", "workload.prompt_tokens=16", "workload.output_tokens=10"])
    run = Run(plan_trial(loaded), host, RunFolder(tmp_path / "run"), silent)
    assert run.execute().status == "complete"
    assert run.facts["arms_measured"] == ["list", AA], run.facts["equality"]
    found = forecast(loaded.experiment, read_run(run.folder.path))
    assert 0 < found.scope_us < found.step_us
    assert found.measure_s == pytest.approx(45, rel=0.5)  # to the nearest group of 14 passes
    assert found.resolves_scope_us > 0
    assert "_prepare_inputs takes" in describe(found, loaded.experiment.scope)["a step"]


def test_doctor_finds_no_fault_with_the_main_job(host) -> None:
    findings = [*examine_engine(), *examine_generations(), *examine_config(load(CONFIG))]
    assert [finding for finding in findings if finding.level == "fault"] == []
    assert {"vllm", "runner", "seam", "scope", "probe", "arm", "model", "v1 runner"} <= {
        finding.subject for finding in findings
    }


@pytest.mark.parametrize(
    ("override", "subject", "found"),
    [
        ("probes=[torch.tensr]", "probe", "did you mean 'tensor'"),
        ("scope=_prepare_outputs", "scope", "has no method '_prepare_outputs'"),
        ("host.model_runner=v2", "runner", "V2 needs Triton"),
        ("protocol.sync=true", "protocol", "sync needs a CUDA device"),
        ("protocol.nvtx=true", "protocol", "nvtx needs a CUDA device"),
        ("engine.model=./gone", "model", "with a config.json"),
        ("arms=[native, {mine: 'no.module:X'}]", "arm", "importing no.module failed"),
    ],
)
def test_doctor_names_what_is_amiss(host, override, subject, found) -> None:
    extra = ["baseline=native"] if override.startswith("arms") else []
    findings = list(examine_config(load(CONFIG, [override, *extra])))
    assert any(f.level == "fault" and f.subject == subject and found in f.found and f.mend for f in findings)
