"""A whole run on the host without an engine: what is written, and what each fault leaves behind."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import signals
from harness.changes.code import frozen
from harness.config.file import load
from harness.errors import HostError, ProfilerError
from harness.instrument.checking import NATIVE_PASSES
from harness.instrument.pristine import OUT_OF_REACH
from harness.records.folder import RunFolder, read_run
from harness.records.machine import describe_machine, versions
from harness.records.remembered import recall
from harness.report import write_reports
from harness.running.extras import Extras
from harness.running.run import Run
from harness.running.starting import start_engine
from harness.running.took import last_start_s
from harness.seams import SEAMS
from patches.slot_mapping import Numpy
from tests.fakes import BlockTable, FakeHost, Runner, Silent
from tests.instrument.test_instrument import OffByOne, own

if TYPE_CHECKING:
    from harness.hosts.base import HostInfo

CONFIG = f"""\
engine: {{model: none}}
workload: {{requests: 3, prompt_tokens: 6, output_tokens: 5}}
seam: slot_mapping
arms: [list, cat_frombuffers, {{wrong: "{own(OffByOne)}"}}, {{late: "{__name__}:OnDemand"}}]
probes: [torch.tensor, compute_slot_mapping, torch.frombuffer, torch.cat]
protocol: {{groups: 4, bare: false, counters: false}}
"""
STEPS = 5
CHECKS = NATIVE_PASSES + 3 + 1
"""Native's, one of each of two arms and A/A, and a mixed one."""
BEFORE = CHECKS + 4
"""Passes before the first measured one: native warms up as well."""
FIELD = "calls.tests.fakes.BlockTable.compute_slot_mapping[0].self.slot_mapping.cpu"


class OnDemand:
    """Computes as numpy does, and raises at its call number `step` in the pass where that is set."""

    takes = "arrays"
    step: int | None = None

    def slots(self, *args):
        if OnDemand.step is not None:
            OnDemand.step -= 1
            if OnDemand.step < 0:
                raise ZeroDivisionError("on purpose")
        return Numpy().slots(*args)


@pytest.fixture
def make(tmp_path):
    def make_run(host: FakeHost, arms=("list", "cat_frombuffers"), *overrides: str) -> Run:
        path = tmp_path / "config.yaml"
        path.write_text(CONFIG)
        return Run(load(path, overrides, arms), host, RunFolder(tmp_path / "run"), Silent(), ["harness", "run"])

    return make_run


def test_a_run_checks_warms_up_and_measures_complete_groups(make) -> None:
    host = FakeHost()
    run = make(host, ("list", "cat_frombuffers"), "protocol.bare=true")
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status, outcome.message) == ("complete", 0, "")
    # Each of two arms and A/A, probed and bare, is six passes a group; at the end native and each arm
    # serve once more.
    assert host.passes == ["check"] * CHECKS + ["bare"] * 4 + ["mixed"] * 24 + ["check"] * 4 + ["probing"] * 6
    assert host.stopped
    assert run.observer.advanced == BEFORE + 24 + 4 + 6
    records = read_run(run.folder.path)
    frame = records.frame
    assert len(frame) == 24 * STEPS
    assert (frame.groupby(["group", "step", "arm", "probed"]).size() == 1).all()
    assert set(frame["arm"]) == {"list", "cat_frombuffers", "A/A"}
    calls = frame.groupby("arm")[["torch.frombuffer.calls", "torch.cat.calls", "torch.tensor.calls"]].sum() / 4
    assert calls.loc["cat_frombuffers"].tolist() == [3 * STEPS, STEPS, 0]
    assert calls.loc["list"].tolist() == calls.loc["A/A"].tolist() == [0, 0, STEPS]
    assert frame.loc[~frame["probed"], "scope.calls"].sum() == 0
    assert records.run["steps"]["num_tokens"] == [18, 3, 3, 3, 3]
    for key in ("config", "machine", "versions", "command", "started", "ended", "calibration", "host", "workload"):
        assert records.run[key]
    assert write_reports(run.folder.path).difference("A/A", "scope") is not None


@pytest.mark.parametrize(("lost", "status"), [(True, "interrupted"), (False, "failed")])
def test_a_terminal_that_goes_away_before_its_signal_is_heeded_interrupts(make, lost, status) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        if index == BEFORE + 1:
            with signals.deferred():
                if lost:
                    signal.raise_signal(signal.SIGHUP)
            raise OSError(errno.EIO, "Input/output error")

    outcome = make(FakeHost(before_pass=before_pass)).execute()
    assert outcome.status == status
    assert "1 of 12 passes were measured and kept" in outcome.message


class V2Host(FakeHost):
    """One whose engine takes another runner than configs are for that ask for none."""

    def start(self) -> HostInfo:
        info = super().start()
        return dataclasses.replace(info, details={**info.details, "generation": "v2"})


def test_which_runner_is_taken_matters_at_a_seam_and_where_one_was_asked_for(make) -> None:
    for options, why in (
        ((), "host.model_runner: auto was asked for, and fake 1.0 took a v2 runner; set v2, since where seam "
             "'slot_mapping' is depends on it"),
        (("host.model_runner=v1", "seam=''", "probes=[]", "swap=json.dumps", "arms=[{mine: 'json:loads'}]"),
         "host.model_runner: v1 was asked for, and fake 1.0 took a v2 runner; set v2, since another one was asked for"),
    ):  # fmt: skip
        outcome = make(V2Host(), (), *options).execute()
        assert (outcome.status, outcome.exit_status, outcome.message) == ("failed", 2, why)
    facts: dict[str, Any] = {}
    left_open = make(
        V2Host(), (), "seam=''", "probes=[]", "swap=json.dumps", "arms=[{mine: 'json:loads'}]"
    ).loaded.experiment
    assert start_engine(left_open, V2Host(), Silent(), facts, None).details["generation"] == "v2"
    assert facts["host"]["details"]["generation"] == "v2"


@pytest.mark.parametrize(("budget_s", "checks"), [(30.0, 3), (0.0, 1)])
def test_checks_between_groups_end_with_their_budget(make, monkeypatch, budget_s, checks) -> None:
    monkeypatch.setattr("harness.running.measuring.beside_s", lambda plan: budget_s)
    run = make(FakeHost(), ("list",), "protocol.groups=20")
    assert run.execute().status == "complete"
    assert len(run.facts["checked_after_groups"]) == checks
    assert run.facts["checked_at_end"]


def test_a_wrong_arm_is_struck_and_the_rest_is_measured(make) -> None:
    host = FakeHost()
    run = make(host, ("list", "cat_frombuffers", "wrong"))
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    (note,) = run.observer.notes[:1]
    told = re.fullmatch(
        rf"wrong is struck: (differs at step 0: `{re.escape(FIELD)}\[17\]`: "
        r"expected (\d+), found (\d+) \(1 of 512 differ\))",
        note,
    )
    assert told
    assert int(told[3]) == int(told[2]) + 1
    assert f"arm 'wrong' {told[1]}" in outcome.message
    assert set(read_run(run.folder.path).frame["arm"]) == {"list", "cat_frombuffers", "A/A"}
    summary = write_reports(run.folder.path)
    assert not summary.arms["wrong"].equal
    assert "**`wrong` is struck:** differs at step 0" in (run.folder.path / "report.md").read_text()


def test_where_no_arm_is_left_to_compare_nothing_is_measured(make) -> None:
    run = make(FakeHost(), ("list", "wrong"))
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status) == ("complete", 1)
    assert run.observer.notes[-1] == "no arm is left to compare, so nothing is measured"
    assert "arm 'wrong' differs at step 0" in outcome.message
    assert "passes_planned" not in read_run(run.folder.path).run


def test_an_arm_that_generates_other_tokens_is_struck(make, monkeypatch) -> None:
    """Even if the check pass were blind: served alone, a wrong arm changes what is generated."""
    monkeypatch.setattr("harness.instrument.checking.first_difference", lambda *args: None)
    run = make(FakeHost(), ("list", "wrong"))
    outcome = run.execute()
    assert outcome.exit_status == 1
    assert "arm 'wrong' generates other tokens: request 2 from its token 0 on" in outcome.message


def test_a_measured_pass_that_generates_other_tokens_fails_the_run(make) -> None:
    """A mixed pass, in which no arm is to blame, is checked like any other."""

    class OtherTokens(FakeHost):
        def run_pass(self, kind, schedule, requests, probed=()):
            result = super().run_pass(kind, schedule, requests, probed)
            if self.passes.count("mixed") == 4 and kind == "mixed":
                result.tokens[2][1] += 1
            return result

    run = make(OtherTokens())
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert "pass 3 generated other tokens than native alone: request 2 from its token 1 on" in outcome.message
    assert read_run(run.folder.path).partial == ["0003.partial.parquet"]


def test_a_second_ctrl_c_while_the_engine_stops_does_not_hide_how_the_run_ended(make) -> None:
    class SlowToStop(FakeHost):
        def stop(self) -> None:
            super().stop()
            raise KeyboardInterrupt

    def before_pass(index: int, host: FakeHost) -> None:
        if index == BEFORE + 3:
            raise KeyboardInterrupt

    for host, status in ((SlowToStop(before_pass=before_pass), "interrupted"), (SlowToStop(), "complete")):
        run = make(host)
        assert run.execute().status == status
        assert read_run(run.folder.path).run["status"] == status
        assert host.stopped
        shutil.rmtree(run.folder.path)


def test_an_arm_that_raises_fails_the_run_and_loses_nothing(make) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        OnDemand.step = 0 if index == BEFORE + 3 else None

    host = FakeHost(before_pass=before_pass)
    run = make(host, ("list", "late"))
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert "arm 'late' raised at step" in outcome.message
    assert "ZeroDivisionError: on purpose (test_run.py:" in outcome.message
    assert "); 3 of 12 passes were measured and kept" in outcome.message
    records = read_run(run.folder.path)
    assert len(records.frame) == 3 * STEPS
    assert records.partial == ["0003.partial.parquet"]
    assert not host.instrument.under_way


@pytest.mark.parametrize(
    ("error", "status", "exit_status", "message"),
    [
        (KeyboardInterrupt(), "interrupted", 130, "interrupted; 5 of 12 passes were measured and kept"),
        (RuntimeError("engine\ndied"), "failed", 1, "the engine failed: RuntimeError: engine died; 5 of 12 passes"),
        (HostError("the engine is gone"), "failed", 1, "the engine is gone; 5 of 12 passes were measured and kept"),
    ],
)
def test_an_end_in_the_middle_keeps_what_was_measured(make, error, status, exit_status, message) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        if index == BEFORE + 5:
            raise error

    host = FakeHost(before_pass=before_pass)
    run = make(host)
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status) == (status, exit_status)
    assert outcome.message.startswith(message)
    assert host.stopped
    assert not host.instrument.under_way
    assert "compute_slot_mapping" not in vars(host.runner.table)
    records = read_run(run.folder.path)
    assert len(records.frame) == 5 * STEPS
    assert records.run["status"] == status
    summary = write_reports(run.folder.path)
    assert summary.arms["list"].passes == 1  # five passes are one whole group
    assert any("1 of 2 groups lack a pass" in note for note in summary.notes)


def test_a_pass_cut_short_in_the_middle_of_its_steps_keeps_them(make) -> None:
    calls = {"steps": 0, "pass": 0}

    def work() -> None:
        calls["steps"] += 1
        if calls["pass"] == BEFORE + 2 and calls["steps"] == 4:
            raise KeyboardInterrupt

    def before_pass(index: int, host: FakeHost) -> None:
        calls.update(steps=0, **{"pass": index})

    run = make(FakeHost(runner=Runner(work=work), before_pass=before_pass))
    assert run.execute().exit_status == 130
    (partial,) = (run.folder.path / "passes").glob("*.partial.parquet")
    assert partial.name == "0002.partial.parquet"


def test_an_engine_that_does_not_start_leaves_a_run_that_says_so(make) -> None:
    class Broken(FakeHost):
        def start(self):
            raise HostError("the engine did not start: ValueError: no")

    host = Broken()
    run = make(host)
    outcome = run.execute()
    assert (outcome.exit_status, outcome.message) == (1, "the engine did not start: ValueError: no")
    assert host.stopped
    summary = write_reports(run.folder.path)
    assert summary.notes == ["the engine did not start: ValueError: no"]
    assert "No arm was measured" in (run.folder.path / "report.md").read_text()


def test_other_work_in_a_later_pass_is_an_error_and_no_average(make) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        if index == BEFORE + 2:
            serve = host.runner.serve
            host.runner.serve = lambda lengths: serve([(7, 5), *lengths[1:]])

    run = make(FakeHost(before_pass=before_pass))
    outcome = run.execute()
    assert outcome.exit_status == 1
    assert "pass 2 did other work than the checking pass: step 0 had num_tokens 19 instead of 18" in outcome.message
    assert read_run(run.folder.path).partial == ["0002.partial.parquet"]  # the evidence is kept


def test_what_could_not_be_put_back_after_an_interrupt_is_said(make) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        if index == BEFORE + 1:
            raise KeyboardInterrupt

    host = FakeHost(before_pass=before_pass)
    partial = host.partial
    host.partial = lambda: (found := partial()) and dataclasses.replace(found, unrestored=["cat"])
    outcome = make(host).execute()
    assert outcome.exit_status == 130
    assert outcome.message.endswith("these could not be put back: cat")


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("interrupted", [False, True])
def test_what_goes_wrong_while_the_last_pass_is_kept_does_not_hide_how_the_run_ended(make, error, interrupted) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        if interrupted and index == BEFORE + 3:
            raise KeyboardInterrupt

    def partial():
        raise error

    host = FakeHost(before_pass=before_pass)
    host.partial = partial
    run = make(host)
    outcome = run.execute()
    status = "interrupted" if interrupted else "complete"
    assert (outcome.status, outcome.exit_status) == (status, 130 if interrupted else 0)
    assert outcome.message.startswith("interrupted; 3 of 12 passes" if interrupted else "the pass that was cut short")
    assert f"could not be kept: {type(error).__name__}" in outcome.message
    assert read_run(run.folder.path).run["status"] == status
    assert host.stopped


def test_an_engine_that_raises_while_it_stops_does_not_hide_how_the_run_ended(make) -> None:
    class Clumsy(FakeHost):
        def stop(self) -> None:
            raise RuntimeError("no")

    run = make(Clumsy())
    assert run.execute().status == "complete"
    assert run.observer.notes[-1] == "the engine did not stop well: RuntimeError: no"


def test_what_is_no_exception_and_comes_out_of_the_engine_ends_the_run_with_its_ending(make) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        if index == BEFORE + 3:
            raise SystemExit(0)

    run = make(FakeHost(before_pass=before_pass))
    outcome = run.execute()
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert outcome.message == "the engine failed: SystemExit: 0; 3 of 12 passes were measured and kept"
    assert read_run(run.folder.path).run["status"] == "failed"


def test_a_profiler_is_admitted_only_while_it_samples(make) -> None:
    host = FakeHost()
    run = make(host, ("list", "cat_frombuffers"), "flamegraph={seconds: 0.2, rate_hz: 50}")
    run.flamegraphs = True
    assert run.execute().status == "complete"
    assert host.admits in ([True, False], [True, False, True, False])  # once where it may not attach


def test_a_native_that_does_not_repeat_itself_is_an_error(make) -> None:
    host = FakeHost()
    serve = host.runner.serve
    host.runner.serve = lambda lengths: [[len(host.passes)], *serve(lengths)[1:]]
    outcome = make(host).execute()
    assert "two passes of native generated different tokens (request 0 from its token 0 on)" in outcome.message


def test_a_seam_that_is_never_reached_is_an_error_before_anything_is_timed(make) -> None:
    runner = Runner()
    table = runner.table
    written = frozen(BlockTable.compute_slot_mapping)
    table.compute_slot_mapping = lambda *args: written(table, *args)  # the class's own is not called
    host = FakeHost(runner=runner)
    outcome = make(host).execute()
    assert outcome.message == ("compute_slot_mapping was not called in step 0: this engine computes it in another way")
    assert (outcome.status, outcome.exit_status) == ("failed", 2)
    assert set(host.passes) == {"check"}


def test_a_full_disk_ends_the_run_and_keeps_the_passes_before(make, monkeypatch) -> None:
    full = {"now": False}
    fsync = os.fsync

    def maybe_full(descriptor: int) -> None:
        if full["now"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", maybe_full)
    host = FakeHost(before_pass=lambda index, host: full.update(now=index >= BEFORE + 6))
    run = make(host)
    outcome = run.execute()
    assert outcome.exit_status == 1
    assert "No space left on device" in outcome.message
    full["now"] = False
    records = read_run(run.folder.path)
    assert len(records.frame) == 6 * STEPS
    assert records.run["status"] == "running"  # the last that could be written
    summary = write_reports(run.folder.path)
    assert "this run never ended by itself" in summary.notes[0]
    assert summary.arms["list"].passes == 2  # what is on the disk can be rendered, as after a SIGKILL


def test_a_baseline_that_is_struck_has_no_floor_and_the_others_are_measured(make) -> None:
    run = make(FakeHost(), ("list", "wrong"), "baseline=wrong")
    assert run.execute().exit_status == 1
    assert set(read_run(run.folder.path).frame["arm"]) == {"list"}
    summary = write_reports(run.folder.path)
    assert "the baseline 'wrong' was not measured, so there are no differences" in summary.notes


@pytest.mark.parametrize("override", ["protocol.order=rotate", "protocol.grain=pass", "protocol.warmup=3"])
def test_the_protocols_choices_run(make, override) -> None:
    host = FakeHost()
    run = make(host, ("list", "cat_frombuffers"), override)
    assert run.execute().exit_status == 0
    frame = read_run(run.folder.path).frame
    assert (frame.groupby(["group", "step", "arm"]).size() == 1).all()
    if override == "protocol.grain=pass":
        assert (frame.groupby("pass")["arm"].nunique() == 1).all()
    assert host.passes.count("bare") == (12 if override == "protocol.warmup=3" else 4)


def test_run_json_holds_no_path_of_this_machine(make) -> None:
    run = make(FakeHost())
    run.execute()
    text = (run.folder.path / "run.json").read_text()
    assert str(Path.home()) not in text
    assert str(run.folder.path.parent) not in text
    assert json.loads(text)["config"]["arms"][0]["reference"] == SEAMS["slot_mapping"].places["v1"].arms["list"]


@pytest.mark.parametrize("admitted", [True, False])
def test_whether_py_spy_may_attach_is_tried_before_anything_is_measured(make, monkeypatch, admitted) -> None:
    tried, sampled = [], []

    class Attached:
        def __init__(self, pid: int, rate_hz: int) -> None:
            tried.append((pid, rate_hz, list(host.passes)))

        def __enter__(self) -> None:
            if not admitted:
                raise ProfilerError("py-spy may not attach")

        def __exit__(self, *error: object) -> None:
            pass

    host = FakeHost()
    monkeypatch.setattr("harness.running.stages.Recorder", Attached)
    monkeypatch.setattr(Extras, "sample", lambda self, arms, *how: sampled.append((arms, how)))
    run = make(host)
    run.flamegraphs = True
    assert run.execute().status == "complete"
    assert tried == [(os.getpid(), 10, [])]
    experiment = run.loaded.experiment
    if admitted:
        whole = (["list", "cat_frombuffers"], (host.admit_profiler, experiment.flamegraph, experiment.scope))
        assert sampled == [whole]
        assert "flamegraphs_missing" not in run.facts
    else:
        assert sampled == []
        assert run.facts["flamegraphs_missing"] == "py-spy may not attach"
        assert run.observer.notes[0] == "there will be no flamegraphs: py-spy may not attach"


def test_an_interrupt_before_the_first_measured_pass_says_that_nothing_was_measured(make) -> None:
    def before_pass(index: int, host: FakeHost) -> None:
        raise KeyboardInterrupt

    outcome = make(FakeHost(before_pass=before_pass)).execute()
    assert (outcome.status, outcome.exit_status) == ("interrupted", 130)
    assert outcome.message == "interrupted; nothing had been measured yet"


def test_how_a_run_went_is_kept_fact_by_fact(make) -> None:
    """What reports and later runs read of it, apart from times and the machine."""
    host = FakeHost()
    run = make(host, ("list", "cat_frombuffers"), "protocol.bare=true")
    run.selftest = "selftest: fine"
    assert run.execute().exit_status == 0
    facts = read_run(run.folder.path).run
    assert (facts["status"], facts["exit_status"], facts["message"]) == ("complete", 0, "")
    assert (facts["command"], facts["config_file"], facts["selftest"]) == (
        ["harness", "run"], "config.yaml", "selftest: fine",
    )  # fmt: skip
    assert facts["config"] == run.loaded.experiment.model_dump(mode="json")
    assert facts["machine"] == {**describe_machine(), "load_average": facts["machine"]["load_average"]}
    assert facts["versions"] == versions()
    assert len(facts["load_average_at_end"]) == 3
    for when in ("started", "ended"):
        assert dt.datetime.fromisoformat(facts[when]).utcoffset() == dt.timedelta(0)
        assert "." not in facts[when]  # whole seconds
    assert (facts["passes_planned"], facts["passes_done"], facts["other_threads"]) == (24, 24, 0)
    assert facts["arms_measured"] == ["list", "cat_frombuffers", "A/A"]
    assert facts["equality"] == {name: {"equal": True, "reason": ""} for name in ("list", "cat_frombuffers", "A/A")}
    assert facts["arm_sources"].keys() == {"list", "cat_frombuffers", "A/A"}
    assert facts["calibration"] == {"inside_ns": 0.0, "outside_ns": 0.0, "spread_ns": 0.0}
    assert facts["host"] == {
        "engine": "fake", "version": "1.0", "runner": "Runner", "device": "cpu", "model": "NoModel",
        "vocab_size": 100, "max_model_len": 100, "world_size": 1,
        "details": {"process": "in_process", "torch_threads": 1, "dtype": "float32", "block_size": [4]},
    }  # fmt: skip
    assert facts["engine_args"] == {"model": run.loaded.experiment.engine["model"]}
    assert facts["environment"] == {}
    assert facts["workload"] == {"requests": 3, "prompt_tokens": 18, "output_tokens": 15, "clipped": 0}
    assert facts["steps"] == {
        "count": STEPS, "num_reqs": [3] * STEPS, "num_tokens": [18, 3, 3, 3, 3],
        "num_prefills": [3, 0, 0, 0, 0],
    }  # fmt: skip
    function = "tests.fakes.BlockTable.compute_slot_mapping"
    assert facts["calls"] == {name: {function: STEPS} for name in ("native", "list", "cat_frombuffers", "A/A")}
    assert facts["switch"].items() >= {"functions": [function], "trampolines": [function], "turns": False}.items()
    checked = {"not_repeated": [], "cut": [], "ignored": [], "not_reset": OUT_OF_REACH}
    assert facts["checked"] == {"leaves": facts["checked"]["leaves"], **checked}
    assert facts["checked"]["leaves"] > 10 * STEPS
    assert run.observer.stages[:5] == [
        ("starting the engine", 0), ("checking that all arms compute the same", CHECKS),
        ("warming up, comparing tokens", 4), ("measuring", 24), ("checking all arms once more", 4),
    ]  # fmt: skip
    assert facts["pass_s"] > 0
    assert facts["start_s"] > 0


def test_how_long_the_start_and_the_check_took_is_remembered_and_said_the_next_time(
    make, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "vllm", raising=False)  # so that its import would be part of the start
    said: list[dict[str, float | None]] = []
    for _ in range(2):
        run = make(FakeHost())
        stages: dict[str, float | None] = {}
        monkeypatch.setattr(
            run.observer, "stage", lambda name, passes, seconds=None, told=stages: told.update({name: seconds})
        )
        assert run.execute().exit_status == 0
        said.append(stages)
        took_s = run.facts["start_s"]
        assert last_start_s(run.loaded.experiment) == took_s
        remembered = recall("took")
        assert remembered["vllm, in_process, none"] == took_s
        assert set(remembered) == {"vllm, in_process, none", "check of config.yaml, 4 arms"}
        shutil.rmtree(run.folder.path)
        if len(said) == 1:
            first = remembered
    check = "checking that all arms compute the same"
    assert (said[0]["starting the engine"], said[0][check]) == (None, None)
    assert said[1]["starting the engine"] == first["vllm, in_process, none"]
    assert said[1][check] == first["check of config.yaml, 4 arms"]
